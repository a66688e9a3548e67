//go:build !amd64 || purego

package classifier

// fastTile is nil: there is no better way than Go's.
var fastTile func(t *tile, a, b *[4]*float64, n int)
