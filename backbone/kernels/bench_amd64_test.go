//go:build !purego

package kernels

import (
	"testing"

	"golang.org/x/sys/cpu"
)

// BenchmarkWordsPeak is the most that AVX2 can do in 16 bits: each turn of the
// loop multiplies 8·16 pairs.
func BenchmarkWordsPeak(b *testing.B) {
	if !cpu.X86.HasAVX2 {
		b.Skip("no AVX2")
	}
	const turns = 1 << 16
	b.ReportAllocs()
	for b.Loop() {
		wordsPeak(turns)
	}
	b.ReportMetric(float64(b.N)*turns*8*16/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
}

// BenchmarkWidePeak is the most that AVX-512's dot products of bytes can do.
func BenchmarkWidePeak(b *testing.B) {
	if !cpu.X86.HasAVX512VNNI {
		b.Skip("no AVX-512 VNNI")
	}
	const turns = 1 << 16
	b.ReportAllocs()
	for b.Loop() {
		widePeak(turns)
	}
	b.ReportMetric(float64(b.N)*turns*16*64/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
}
