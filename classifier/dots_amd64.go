//go:build !purego

package classifier

import "golang.org/x/sys/cpu"

// fastTile fills a tile with the inner products of vectors of n values, where n is a multiple
// of 8. It is nil on processors without AVX2.
var fastTile = func() func(t *tile, a, b *[4]*float64, n int) {
	switch {
	case cpu.X86.HasAVX512F && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL:
		return tileAVX512
	case cpu.X86.HasAVX2:
		return tileAVX2
	}
	return nil
}()

//go:noescape
func tileAVX512(t *tile, a, b *[4]*float64, n int)

func tileAVX2(t *tile, a, b *[4]*float64, n int) {
	for i := 0; i < 4; i += 2 {
		for j := 0; j < 4; j += 2 {
			quarterAVX2(&t[i][j], a[i], a[i+1], b[j], b[j+1], n)
		}
	}
}

// quarterAVX2 writes a0·b0 and a0·b1 to t, and a1·b0 and a1·b1 to the next row of the tile.
//
//go:noescape
func quarterAVX2(t, a0, a1, b0, b1 *float64, n int)
