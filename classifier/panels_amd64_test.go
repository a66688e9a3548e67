//go:build !purego

package classifier

// implementations returns the multipliers in assembly that this processor can run.
func implementations[T element](avx512, avx2 multiplier[T]) map[string]multiplier[T] {
	m := make(map[string]multiplier[T])
	if hasAVX512 {
		m["AVX-512"] = avx512
	}
	if hasAVX2 {
		m["AVX2"] = avx2
	}
	return m
}

func implementations64() map[string]multiplier[float64] {
	return implementations[float64](multiply64AVX512, multiply64AVX2)
}

func implementations32() map[string]multiplier[float32] {
	return implementations[float32](multiply32AVX512, multiply32AVX2)
}

func implementationsOfPairs() map[string]multiplier[int32] {
	m := implementations[int32](multiplyPairsAVX512, multiplyPairsAVX2)
	if hasVNNI {
		m["AVX-512 VNNI"] = multiplyPairsVNNI
	}
	return m
}
