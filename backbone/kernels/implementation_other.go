//go:build purego || (!amd64 && !arm64)

package kernels

// implementations are those in assembly: none.
func implementations() []implementation { return nil }
