//go:build !amd64 || purego

package classifier

var (
	multiply64    multiplier[float64] = multiplyGo[float64]
	multiply32    multiplier[float32] = multiplyGo[float32]
	multiplyPairs multiplier[int32]   = multiplyPairsGo
)
