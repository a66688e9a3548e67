//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

// implementations returns the implementations in assembly, the fastest first.
func implementations() []implementation {
	return []implementation{
		{
			name:      "dotprod",
			available: func() bool { return cpu.ARM64.HasASIMDDP },
			product:   packDot,
			windows:   packWindowsDot,
			adder:     newBlockAdder,
		},
		{
			name:      "neon",
			available: func() bool { return cpu.ARM64.HasASIMD },
			product:   packNEON,
			windows:   packWindows,
			adder:     newBlockAdder,
		},
	}
}
