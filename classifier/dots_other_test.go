//go:build !amd64 || purego

package classifier

func ways() map[string]func(t *tile, a, b *[4]*float64, n int) { return nil }
