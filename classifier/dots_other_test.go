//go:build !amd64 || purego

package classifier

func tileImplementations() map[string]func(t *tile, a, b *[4]*float64, n int) { return nil }
