package kernels

// Implementations of windows compute a 3×3 DEPTHWISE_CONV_2D with depth multiplier 1.
// They round ties away from zero and are immutable.
type windows interface {
	// pixels computes n ≥ 1 adjacent pixels and stores them in out. Tap t of the first
	// pixel starts at taps[t][0]. Each following pixel's taps start step bytes later.
	// pixels reads nothing beyond the channels of the last pixel.
	pixels(out []byte, taps [9][]byte, step, n int)
}

// Implementations of rows compute whole rows of a 3×3 DEPTHWISE_CONV_2D with depth
// multiplier 1. They round ties away from zero and are immutable.
type rows interface {
	// compute computes the output rows lo ≤ row < hi of the geometry that the rows were
	// made for. in and out are whole tensors. blank is an input line of zero points.
	compute(out, in, blank []byte, g *geometry, lo, hi int)
}

// newRows returns w's rows or, if the chosen implementation has none, its windows. pad is
// the input's zero point.
func newRows(w *weights, g *geometry, pad byte) (windows, rows, error) {
	i, err := chosen()
	if err != nil {
		return nil, nil, err
	}
	if i.rows != nil {
		if r := i.rows(w, g, pad); r != nil {
			return nil, r, nil
		}
	}
	v, err := newWindows(w)
	return v, nil, err
}

// newWindows returns w's windows in the chosen implementation.
func newWindows(w *weights) (windows, error) {
	i, err := chosen()
	if err != nil {
		return nil, err
	}
	if i.windows != nil {
		if v := i.windows(w); v != nil {
			return v, nil
		}
	}
	p := plainWindows{signed: w.signed, channels: make([]nineTaps, w.channels), outZero: w.outZero, lo: w.lo, hi: w.hi}
	for c := range p.channels {
		p.channels[c].bias, p.channels[c].scale = w.bias[c], w.scale[c]
		for t := range 9 {
			p.channels[c].w[t] = int32(w.codes[9*c+t])
		}
	}
	return &p, nil
}

// row3x3 computes one row of output pixels. It computes border pixels one by one and the
// pixels between them together.
func (d *depthwise) row3x3(out, in []byte, row int) {
	image, oy := row/d.outH, row%d.outH
	y0 := oy*d.StrideH - d.padTop
	step := d.StrideW * d.channels
	var taps [9][]byte
	for ox := 0; ox < d.outW; {
		x0 := ox*d.StrideW - d.padLeft
		n := 1
		if last := d.inW - 1 - 2*d.DilationW; x0 >= 0 && x0 <= last {
			n = min((last-x0)/d.StrideW+1, d.outW-ox)
		}
		for t := range taps {
			taps[t] = tap(&d.geometry, in, d.blank, image, y0+t/3*d.DilationH, x0+t%3*d.DilationW)
		}
		d.windows.pixels(out[ox*d.channels:][:n*d.channels], taps, step, n)
		ox += n
	}
}

// plainWindows implements windows in plain Go.
type plainWindows struct {
	channels        []nineTaps
	outZero, lo, hi int32
	signed          bool
}

// nineTaps keeps the parameters of one channel together in memory.
type nineTaps struct {
	w     [9]int32
	bias  int32
	scale multiplier
}

func (p *plainWindows) pixels(out []byte, taps [9][]byte, step, n int) {
	var at [9][]byte
	for i := range n {
		for t := range at {
			at[t] = taps[t][i*step:]
		}
		pixel := out[i*len(p.channels):][:len(p.channels)]
		if !p.signed {
			plainPixel(p, pixel, &at)
			continue
		}
		var values [9][]int8
		for t := range values {
			values[t] = signed(at[t])
		}
		plainPixel(p, pixel, &values)
	}
}

// plainPixel computes one pixel. Each sum stays in a register.
func plainPixel[T byte | int8](p *plainWindows, out []byte, taps *[9][]T) {
	n := len(out)
	x0, x1, x2 := taps[0][:n], taps[1][:n], taps[2][:n]
	x3, x4, x5 := taps[3][:n], taps[4][:n], taps[5][:n]
	x6, x7, x8 := taps[6][:n], taps[7][:n], taps[8][:n]
	channels := p.channels[:n]
	zero, lo, hi := p.outZero, p.lo, p.hi
	for c := range channels {
		t := &channels[c]
		acc := t.bias +
			int32(x0[c])*t.w[0] + int32(x1[c])*t.w[1] + int32(x2[c])*t.w[2] +
			int32(x3[c])*t.w[3] + int32(x4[c])*t.w[4] + int32(x5[c])*t.w[5] +
			int32(x6[c])*t.w[6] + int32(x7[c])*t.w[7] + int32(x8[c])*t.w[8]
		out[c] = byte(clamp(t.scale.apply(acc)+zero, lo, hi))
	}
}
