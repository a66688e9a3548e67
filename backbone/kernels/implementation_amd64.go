//go:build !purego

package kernels

import "golang.org/x/sys/cpu"

// implementations returns the implementations in assembly, the fastest first. AVX-VNNI
// was tested only with an emulator of its instruction. Therefore, each product for
// AVX-VNNI is compared with plain Go before it is used.
func implementations() []implementation {
	avx2 := implementation{
		name:      "avx2",
		available: func() bool { return cpu.X86.HasAVX2 },
		product:   newAVX2Product, windows: newBlockWindows, adder: newPanelAdder,
	}
	avxvnni := avx2
	avxvnni.name, avxvnni.product, avxvnni.verify = "avxvnni", newAVXProduct, true
	avxvnni.available = func() bool { return cpu.X86.HasAVX2 && cpu.X86.HasAVXVNNI }
	avx512vnni := avx2
	avx512vnni.name, avx512vnni.product, avx512vnni.rows = "avx512vnni", newWideProduct, newWideRows
	avx512vnni.adder, avx512vnni.lines = newWideAdder, true
	avx512vnni.available = func() bool {
		return cpu.X86.HasAVX2 && cpu.X86.HasAVX512F && cpu.X86.HasAVX512VL && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512VNNI
	}
	return []implementation{avx512vnni, avxvnni, avx2}
}
