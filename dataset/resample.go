package dataset

import (
	"image"
	"image/color"
	"slices"
)

// axis holds the samples and weights for interpolation along one dimension. Output i is
// interpolated between the samples pairs[2i] and pairs[2i+1]. weight[i] is the weight of the
// second sample, at least 0 and below 1.
type axis struct {
	pairs  []int // indexes into source
	weight []float32
	source []int // coordinates of the necessary samples, in ascending order
}

// set prepares the axis for n outputs, interpolated over the source coordinates c with from ≤ c
// < to. Each source sample covers reduce coordinates.
func (a *axis) set(n, from, to, reduce int) {
	a.pairs, a.weight, a.source = slices.Grow(a.pairs[:0], 2*n), slices.Grow(a.weight[:0], n), slices.Grow(a.source[:0], min(2*n, to-from))
	scale := float32(to-from) / float32(n)
	first, last := from/reduce, (to-1)/reduce
	within := float32(from - first*reduce)
	for i := range n {
		// Here and below, conversions prevent the compiler from fusing products with sums.
		pos := float32((float32(i) + 0.5) * scale)
		pos = max(0, float32((pos+within)/float32(reduce))-0.5)
		lower := min(first+int(pos), last)
		a.pairs = append(a.pairs, a.sample(lower), a.sample(min(lower+1, last)))
		a.weight = append(a.weight, pos-float32(lower-first))
	}
}

// sample returns the index of coordinate c in source, and appends c if necessary. c must be one
// of the last two coordinates in source or be larger than both.
func (a *axis) sample(c int) int {
	n := len(a.source)
	for i := n - 1; i >= max(0, n-2); i-- {
		if a.source[i] == c {
			return i
		}
	}
	a.source = append(a.source, c)
	return n
}

// layout is the arrangement of the pixels of a w×h image in a byte slice: pixel (x, y) is
// at start + x·dx + y·dy. Negative or swapped steps rotate or flip the image.
type layout struct {
	w, h          int
	start, dx, dy int
}

// resampler resizes images and reuses its memory.
type resampler struct {
	cols, rows   axis
	top, bottom  []byte // RGB of the two source rows in use
	upper, lower [256]float32
}

// run resizes rectangle r of an image and writes the result to dst in the layout out. img is the
// image at 1/reduce of its size, and r is in pixels of the full size.
func (s *resampler) run(dst []byte, out layout, img image.Image, r image.Rectangle, reduce int) {
	s.cols.set(out.w, r.Min.X, r.Max.X, reduce)
	s.rows.set(out.h, r.Min.Y, r.Max.Y, reduce)
	// Enlarging uses each row several times, first as the lower row, then as the upper
	// row.
	n := 3 * len(s.cols.source)
	top, bottom := append(s.top[:0], make([]byte, n)...), append(s.bottom[:0], make([]byte, n)...)
	haveTop, haveBottom := -1, -1
	for y := range out.h {
		y0, y1 := s.rows.pairs[2*y], s.rows.pairs[2*y+1]
		if haveTop != y0 {
			if haveBottom == y0 {
				top, bottom = bottom, top
				haveBottom = haveTop
			} else {
				sampleRow(top, img, s.rows.source[y0], s.cols.source)
			}
			haveTop = y0
		}
		if haveBottom != y1 {
			sampleRow(bottom, img, s.rows.source[y1], s.cols.source)
			haveBottom = y1
		}
		// Each sample is first multiplied by the weight of its row. There are only 256 sample
		// values, so tables hold these products.
		wy1 := s.rows.weight[y]
		wy0 := 1 - wy1
		for i := range 256 {
			s.upper[i], s.lower[i] = float32(i)*wy0, float32(i)*wy1
		}
		to := out.start + y*out.dy
		for x, wx1 := range s.cols.weight {
			wx0 := 1 - wx1
			x0, x1 := 3*s.cols.pairs[2*x], 3*s.cols.pairs[2*x+1]
			t0, t1, b0, b1 := (*[3]byte)(top[x0:]), (*[3]byte)(top[x1:]), (*[3]byte)(bottom[x0:]), (*[3]byte)(bottom[x1:])
			o := (*[3]byte)(dst[to:])
			for c := range 3 {
				// The order of products and sums affects the result.
				v := float32(s.upper[t0[c]]*wx0) + float32(s.lower[b0[c]]*wx0) +
					float32(s.upper[t1[c]]*wx1) + float32(s.lower[b1[c]]*wx1)
				o[c] = uint8(int32(v + 0.5))
			}
			to += out.dx
		}
	}
	s.top, s.bottom = top, bottom
}

// sampleRow writes the colors of the pixels (x, y) for x in xs to dst as R, G, B.
func sampleRow(dst []byte, img image.Image, y int, xs []int) {
	switch img := img.(type) {
	case *image.YCbCr:
		// This code computes the same offsets as YOffset and COffset, but only once per row
		// instead of once per pixel.
		across := 0 // a chroma sample applies to 1<<across luma samples
		switch img.SubsampleRatio {
		case image.YCbCrSubsampleRatio422, image.YCbCrSubsampleRatio420:
			across = 1
		case image.YCbCrSubsampleRatio411, image.YCbCrSubsampleRatio410:
			across = 2
		}
		r := img.Rect
		row := img.Y[img.YOffset(r.Min.X, y):]
		at := img.COffset(r.Min.X, y)
		cb, cr := img.Cb[at:], img.Cr[at:]
		for i, x := range xs {
			c := x>>across - r.Min.X>>across
			if r.Min.X < 0 { // where shifts and divisions round differently
				c = img.COffset(x, y) - at
			}
			d := (*[3]byte)(dst[3*i:])
			d[0], d[1], d[2] = color.YCbCrToRGB(row[x-r.Min.X], cb[c], cr[c])
		}
	case *image.Gray:
		row := img.Pix[img.PixOffset(img.Rect.Min.X, y):]
		for i, x := range xs {
			v := row[x-img.Rect.Min.X]
			d := dst[3*i : 3*i+3]
			d[0], d[1], d[2] = v, v, v
		}
	case *image.NRGBA:
		row := img.Pix[img.PixOffset(img.Rect.Min.X, y):]
		for i, x := range xs {
			p := row[4*(x-img.Rect.Min.X):][:4]
			put(dst[3*i:3*i+3], p[0], p[1], p[2], p[3])
		}
	default:
		for i, x := range xs {
			putAny(dst[3*i:3*i+3], img, x, y)
		}
	}
}
