//go:build !amd64 || purego

package classifier

func implementations64() map[string]multiplier[float64] { return nil }

func implementations32() map[string]multiplier[float32] { return nil }

func implementationsOfPairs() map[string]multiplier[int32] { return nil }
