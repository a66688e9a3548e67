//go:build !purego

package classifier

// The functions below do the work of the function that calls them for the first values, with AVX-512.
// They return how many values they have processed, which is 0 for short vectors.

// shortVector is the length up to which calling assembly does not pay.
const shortVector = 16

// blocks returns the largest multiple of size up to n, or 0 if assembly can't run or does not pay.
func blocks(n, size int) int {
	if !hasAVX512 || n < shortVector {
		return 0
	}
	return n &^ (size - 1)
}

func dotBlocks(a, b []float64) (sum float64, n int) {
	if n = blocks(len(a), 8); n > 0 {
		sum = dotAVX512(a[:n], b[:n])
	}
	return sum, n
}

func axpyBlocks(f float64, x, y []float64) int {
	n := blocks(len(x), 8)
	if n > 0 {
		axpyAVX512(f, x[:n], y[:n])
	}
	return n
}

func divideBlocks(v []float64, norm float64) int {
	n := blocks(len(v), 8)
	if n > 0 {
		divideAVX512(v[:n], norm)
	}
	return n
}

func rootsBlocks(dst, v []float64) int {
	n := blocks(len(v), 8)
	if n > 0 {
		rootsAVX512(dst[:n], v[:n])
	}
	return n
}

func roundBlocks(x []int16, v []float64) int {
	n := blocks(len(v), 16)
	if n > 0 {
		roundAVX512(x[:n], v[:n])
	}
	return n
}

func addFeaturesBlocks(f float64, x []int16, y []float64) int {
	n := blocks(len(x), 8)
	if n > 0 {
		addFeaturesAVX512(f, x[:n], y[:n])
	}
	return n
}

func addScaledBlocks(f float64, x []int32, y []float64) int {
	n := blocks(len(x), 8)
	if n > 0 {
		addScaledAVX512(f, x[:n], y[:n])
	}
	return n
}

func addSquaresBlocks(f float64, x []int32, y []float64) int {
	n := blocks(len(x), 8)
	if n > 0 {
		addSquaresAVX512(f, x[:n], y[:n])
	}
	return n
}

func subtractIntegersBlocks(dst, a, b []int16) int {
	n := blocks(len(b), 32)
	if n > 0 {
		subtractIntegersAVX512(dst[:n], a[:n], b[:n])
	}
	return n
}

func dotIntegersBlocks(a, b []int16) (sum int32, n int) {
	if n = blocks(len(a), 32); n > 0 {
		sum = dotIntegersAVX512(a[:n], b[:n])
	}
	return sum, n
}

func sumSquaresBlocks(x []int16, sums []int64) (all int64, n int) {
	if n = blocks(len(x), 8); n > 0 {
		all = sumSquaresAVX512(x[:n], sums[:n])
	}
	return all, n
}

//go:noescape
func dotAVX512(a, b []float64) float64

//go:noescape
func axpyAVX512(f float64, x, y []float64)

//go:noescape
func divideAVX512(v []float64, norm float64)

//go:noescape
func rootsAVX512(dst, v []float64)

//go:noescape
func roundAVX512(x []int16, v []float64)

//go:noescape
func addFeaturesAVX512(f float64, x []int16, y []float64)

//go:noescape
func addScaledAVX512(f float64, x []int32, y []float64)

//go:noescape
func addSquaresAVX512(f float64, x []int32, y []float64)

//go:noescape
func subtractIntegersAVX512(dst, a, b []int16)

//go:noescape
func dotIntegersAVX512(a, b []int16) int32

//go:noescape
func sumSquaresAVX512(x []int16, sums []int64) int64
