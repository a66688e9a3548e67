//go:build !amd64 || purego

package classifier

// fastTile is nil because there is no assembly for this processor.
var fastTile func(t *tile, a, b *[4]*float64, n int)
