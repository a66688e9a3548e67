package dataset

import (
	"image"
	"image/color"
	"slices"
)

// axis holds, for each output coordinate, the two samples it lies between and the
// weight of the second, from 0 up to below 1.
type axis struct {
	at     []int // numbers of samples, in pairs
	weight []float32
	places []int // of the samples in the source, ascending
}

// set makes an axis of n outputs for the source coordinates from to to−1, of which
// each so many, reduce, have become one.
func (a *axis) set(n, from, to, reduce int) {
	a.at, a.weight, a.places = slices.Grow(a.at[:0], 2*n), slices.Grow(a.weight[:0], n), slices.Grow(a.places[:0], min(2*n, to-from))
	scale := float32(to-from) / float32(n)
	first, last := from/reduce, (to-1)/reduce
	within := float32(from - first*reduce)
	for i := range n {
		// The conversions keep products from being fused with sums, here and below.
		pos := float32((float32(i) + 0.5) * scale)
		pos = max(0, float32((pos+within)/float32(reduce))-0.5)
		lower := min(first+int(pos), last)
		a.at = append(a.at, a.sample(lower), a.sample(min(lower+1, last)))
		a.weight = append(a.weight, pos-float32(lower-first))
	}
}

// sample gives the number of the sample at place, which is one of the last two or
// comes after them.
func (a *axis) sample(place int) int {
	n := len(a.places)
	for i := n - 1; i >= max(0, n-2); i-- {
		if a.places[i] == place {
			return i
		}
	}
	a.places = append(a.places, place)
	return n
}

// layout says where the pixels of a picture, which may have to be turned, go: pixel
// (x, y) of w×h to start + x·dx + y·dy.
type layout struct {
	w, h          int
	start, dx, dy int
}

// resampler resizes pictures and keeps its memory.
type resampler struct {
	cols, rows   axis
	top, bottom  []byte
	upper, lower [256]float32
}

// run resizes a rectangle of a picture to out. Of the picture is given img, reduced:
// r is in pixels before that.
func (s *resampler) run(dst []byte, out layout, img image.Image, r image.Rectangle, reduce int) {
	s.cols.set(out.w, r.Min.X, r.Max.X, reduce)
	s.rows.set(out.h, r.Min.Y, r.Max.Y, reduce)
	// The colours of the two source rows in use. Enlarging meets each row several
	// times, first as the lower and then as the upper one.
	n := 3 * len(s.cols.places)
	top, bottom := append(s.top[:0], make([]byte, n)...), append(s.bottom[:0], make([]byte, n)...)
	haveTop, haveBottom := -1, -1
	for y := range out.h {
		y0, y1 := s.rows.at[2*y], s.rows.at[2*y+1]
		if haveTop != y0 {
			if haveBottom == y0 {
				top, bottom = bottom, top
				haveBottom = haveTop
			} else {
				sample(top, img, s.rows.places[y0], s.cols.places)
			}
			haveTop = y0
		}
		if haveBottom != y1 {
			sample(bottom, img, s.rows.places[y1], s.cols.places)
			haveBottom = y1
		}
		// Every sample is first multiplied by its row's weight. There are only
		// 256 samples.
		wy1 := s.rows.weight[y]
		wy0 := 1 - wy1
		for i := range 256 {
			s.upper[i], s.lower[i] = float32(i)*wy0, float32(i)*wy1
		}
		to := out.start + y*out.dy
		for x, wx1 := range s.cols.weight {
			wx0 := 1 - wx1
			x0, x1 := 3*s.cols.at[2*x], 3*s.cols.at[2*x+1]
			t0, t1, b0, b1 := (*[3]byte)(top[x0:]), (*[3]byte)(top[x1:]), (*[3]byte)(bottom[x0:]), (*[3]byte)(bottom[x1:])
			o := (*[3]byte)(dst[to:])
			for c := range 3 {
				// The order of products and sums is part of the result.
				v := float32(s.upper[t0[c]]*wx0) + float32(s.lower[b0[c]]*wx0) +
					float32(s.upper[t1[c]]*wx1) + float32(s.lower[b1[c]]*wx1)
				o[c] = uint8(int32(v + 0.5))
			}
			to += out.dx
		}
	}
	s.top, s.bottom = top, bottom
}

// sample writes the colours of the pixels (x, y), x from xs, to dst as R, G, B.
func sample(dst []byte, img image.Image, y int, xs []int) {
	switch img := img.(type) {
	case *image.YCbCr:
		// What YOffset and COffset do, but much of it once.
		across := 0 // a colour sample is for 1<<across others
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
			if r.Min.X < 0 { // where shifts round otherwise than divisions
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
