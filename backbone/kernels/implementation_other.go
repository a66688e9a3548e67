//go:build purego || (!amd64 && !arm64)

package kernels

// implementations returns nil, because there is no assembly for this processor.
func implementations() []implementation { return nil }
