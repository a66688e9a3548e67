package dataset

// Hash returns a 64-bit fingerprint of w×h RGB pixels (shape [h][w][3]). Copies of a photo at a
// different size or compression usually have the same hash, and near-duplicates differ in only
// a few bits. A photo without contrast, or smaller than 9×8, has hash 0.
//
// Hash computes Neal Krawetz's difference hash (2013) from the mean luma of each cell in a 9×8
// grid. A bit is 1 if its cell is darker than the cell to its right.
func Hash(rgb []byte, w, h int) uint64 {
	if w < 9 || h < 8 {
		return 0
	}
	var hash uint64
	for y := range 8 {
		var left float64
		for x := range 9 {
			mean := meanLuma(rgb, w, x*w/9, (x+1)*w/9, y*h/8, (y+1)*h/8)
			if x > 0 {
				hash <<= 1
				if left < mean {
					hash |= 1
				}
			}
			left = mean
		}
	}
	return hash
}

// meanLuma returns the mean luma (ITU-R BT.601) of a rectangle, times 1000.
func meanLuma(rgb []byte, w, x0, x1, y0, y1 int) float64 {
	sum := 0
	for y := y0; y < y1; y++ {
		row := rgb[3*(y*w+x0) : 3*(y*w+x1)]
		for i := 0; i < len(row); i += 3 {
			sum += 299*int(row[i]) + 587*int(row[i+1]) + 114*int(row[i+2])
		}
	}
	return float64(sum) / float64((x1-x0)*(y1-y0))
}
