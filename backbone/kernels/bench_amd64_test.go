//go:build !purego

package kernels

import (
	"testing"

	"golang.org/x/sys/cpu"
)

// BenchmarkWordsPeak measures the peak speed of AVX2 with 16-bit values. Each iteration
// multiplies 8·16 pairs.
func BenchmarkWordsPeak(b *testing.B) {
	if !cpu.X86.HasAVX2 {
		b.Skip("no AVX2")
	}
	const n = 1 << 16
	b.ReportAllocs()
	for b.Loop() {
		wordsPeak(n)
	}
	b.ReportMetric(float64(b.N)*n*8*16/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
}

// BenchmarkWidePeak measures the peak speed of AVX-512's dot products of bytes.
func BenchmarkWidePeak(b *testing.B) {
	if !cpu.X86.HasAVX512VNNI {
		b.Skip("no AVX-512 VNNI")
	}
	const n = 1 << 16
	b.ReportAllocs()
	for b.Loop() {
		widePeak(n)
	}
	b.ReportMetric(float64(b.N)*n*16*64/float64(b.Elapsed().Nanoseconds()), "GMAC/s")
}
