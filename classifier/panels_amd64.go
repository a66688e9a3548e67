//go:build !purego

package classifier

import "golang.org/x/sys/cpu"

// hasVNNI, hasAVX512 and hasAVX2 report whether the processor can run the assembly.
var (
	hasVNNI   = hasAVX512 && cpu.X86.HasAVX512VNNI
	hasAVX512 = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW
	hasAVX2   = cpu.X86.HasAVX2
)

// The multipliers are the fastest that the processor can run.
var (
	multiply64    = fastest[float64](multiply64AVX512, multiply64AVX2, multiplyGo[float64])
	multiply32    = fastest[float32](multiply32AVX512, multiply32AVX2, multiplyGo[float32])
	multiplyPairs = fastest[int32](fastestPairs512(), multiplyPairsAVX2, multiplyPairsGo)
)

func fastestPairs512() multiplier[int32] {
	if hasVNNI {
		return multiplyPairsVNNI
	}
	return multiplyPairsAVX512
}

func fastest[T element](avx512, avx2, other multiplier[T]) multiplier[T] {
	switch {
	case hasAVX512:
		return avx512
	case hasAVX2:
		return avx2
	}
	return other
}

//go:noescape
func multiply64AVX512(tile, a, b []float64, n int)

//go:noescape
func multiply32AVX512(tile, a, b []float32, n int)

//go:noescape
func multiplyPairsAVX512(tile, a, b []int32, n int)

//go:noescape
func multiplyPairsVNNI(tile, a, b []int32, n int)

func multiply64AVX2(tile, a, b []float64, n int) { eachQuarter(tile, a, b, n, quarter64AVX2) }

func multiply32AVX2(tile, a, b []float32, n int) { eachQuarter(tile, a, b, n, quarter32AVX2) }

func multiplyPairsAVX2(tile, a, b []int32, n int) { eachQuarter(tile, a, b, n, quarterPairsAVX2) }

// eachQuarter fills a tile in quarters, because its sums do not fit in the registers.
func eachQuarter[T element](tile, a, b []T, n int, fill func(tile, a, b *T, n int)) {
	if n == 0 {
		clear(tile)
		return
	}
	width := len(tile) / tileRows
	for i := 0; i < tileRows; i += tileRows / 2 {
		for j := 0; j < width; j += width / 2 {
			fill(&tile[i*width+j], &a[i], &b[j], n)
		}
	}
}

// quarter64AVX2 fills four rows of half a tile.
//
//go:noescape
func quarter64AVX2(tile, a, b *float64, n int)

//go:noescape
func quarter32AVX2(tile, a, b *float32, n int)

//go:noescape
func quarterPairsAVX2(tile, a, b *int32, n int)
