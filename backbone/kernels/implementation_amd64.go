//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

// implementations are those in assembly, the best first. That with AVX-VNNI has
// been compared with plain Go where an emulator stood in for the instruction, not
// on a processor that has it: each product is tried before it is used.
func implementations() []implementation {
	avx2 := implementation{
		name:      "avx2",
		available: func() bool { return cpu.X86.HasAVX2 },
		product:   newAVX2Product, windows: newBlockWindows, adder: newPanelAdder,
	}
	avxvnni := avx2
	avxvnni.name, avxvnni.product, avxvnni.tried = "avxvnni", newAVXProduct, true
	avxvnni.available = func() bool { return cpu.X86.HasAVX2 && cpu.X86.HasAVXVNNI }
	avx512vnni := avx2
	avx512vnni.name, avx512vnni.product, avx512vnni.windows = "avx512vnni", newWideProduct, newWideWindows
	avx512vnni.lines = true
	avx512vnni.available = func() bool {
		return cpu.X86.HasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VNNI
	}
	return []implementation{avx512vnni, avxvnni, avx2}
}
