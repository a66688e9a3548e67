//go:build !purego

package classifier

import "golang.org/x/sys/cpu"

// tileImplementations returns the implementations of fastTile that this processor can run.
func tileImplementations() map[string]func(t *tile, a, b *[4]*float64, n int) {
	w := make(map[string]func(t *tile, a, b *[4]*float64, n int))
	if cpu.X86.HasAVX2 {
		w["AVX2"] = tileAVX2
	}
	if cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL {
		w["AVX-512"] = tileAVX512
	}
	return w
}
