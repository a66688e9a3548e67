//go:build purego || (!amd64 && !arm64)

package kernels

// implementations returns the implementations in assembly: none.
func implementations() []implementation { return nil }
