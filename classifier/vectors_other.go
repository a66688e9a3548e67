//go:build !amd64 || purego

package classifier

// There is no assembly, so these functions process no values.

func dotBlocks(a, b []float64) (sum float64, n int) { return 0, 0 }

func axpyBlocks(f float64, x, y []float64) int { return 0 }

func divideBlocks(v []float64, norm float64) int { return 0 }

func rootsBlocks(dst, v []float64) int { return 0 }

func roundBlocks(x []int16, v []float64) int { return 0 }

func addFeaturesBlocks(f float64, x []int16, y []float64) int { return 0 }

func addScaledBlocks(f float64, x []int32, y []float64) int { return 0 }

func addSquaresBlocks(f float64, x []int32, y []float64) int { return 0 }

func subtractIntegersBlocks(dst, a, b []int16) int { return 0 }

func dotIntegersBlocks(a, b []int16) (sum int32, n int) { return 0, 0 }

func sumSquaresBlocks(x []int16, sums []int64) (all int64, n int) { return 0, 0 }
