//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

// implementations are those in assembly, the best first.
func implementations() []implementation {
	return []implementation{
		{name: "avx2", available: func() bool { return cpu.X86.HasAVX2 }, product: newPanelProduct, windows: newBlockWindows, adder: newPanelAdder},
	}
}
