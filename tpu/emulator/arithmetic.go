package emulator

import (
	"math"

	"github.com/imprintkit/imprint/tpu/executable"
)

// run computes the program's outputs, on the wire, from its inputs and the parameters on the chip, nil if none are.
//
// How the chip computes is not published. The rule for convolutions, and for what else has a stage, reproduces what was
// recorded on a physical device: exact accumulators, one product rounded to float32, rounding half to even. SOFTMAX is
// the exact function rounded to the nearest code, which two published scores agree with.
func (n *network) run(p *program, k *cached) error {
	n.prepare(p, k)
	for i, t := range n.ins {
		// What arrives is in unsigned terms already.
		copy(t.data, p.inputs[i])
	}
	for _, l := range n.layers {
		l.run(n, l)
	}
	for i, t := range n.outs {
		l := &p.executable.Outputs[i]
		if l.Type == executable.Int8 { // ToDevice flips signed codes, and these are flipped
			flip(t.data)
		}
		if err := l.ToDevice(p.outputs[i], t.data); err != nil {
			return err
		}
	}
	return nil
}

func flip(b []byte) {
	for i := range b {
		b[i] ^= 0x80
	}
}

// prepare reads the numbers of all layers out of what was sent, unless they are those of the last run.
func (n *network) prepare(p *program, k *cached) {
	same := n.prepared && !n.haveStreams && k != nil && k.version == n.version
	n.prepared, n.version = k != nil, 0
	if k != nil {
		n.version = k.version
	}
	for _, l := range n.layers {
		changed := false
		for i, at := range l.places {
			s := at.read(p.chunks)
			s.sane()
			changed = changed || s != l.stages[i]
			l.stages[i] = s
		}
		if l.factors != nil {
			l.readFactors(p.chunks)
		}
		if l.layout == nil || same && !changed {
			continue
		}
		stream := p.parameters
		if !l.streamed && p.caching != nil {
			if stream = nil; k != nil {
				stream = k.bytes
			}
		}
		l.decode(stream)
	}
}

// decode reads a layer's weights, biases and multipliers; what is not on the chip reads 0.
func (l *layer) decode(stream []byte) {
	y := l.layout
	if end := y.offset + y.tiles()*y.tile(); stream == nil {
		stream = make([]byte, end)
	}
	for o := range y.outputs {
		l.biases[o] = 0
		if y.bias {
			l.biases[o] = int32At(stream, y.biasAt(o))
		}
		s := *l.stage(o)
		if y.perChannel {
			s.multiplier *= float32At(stream, y.multiplierAt(o))
			s.weightZero = int32At(stream, y.zeroAt(o))
		}
		s.sane()
		l.channels[o] = s
	}
	if y.depthwise {
		y.eachWeight(func(i, at int) bool {
			l.weights[i] = int16(int32(stream[at]) - l.channels[i%y.outputs].weightZero)
			return true
		})
		return
	}
	inner := y.height * y.width * y.inputs
	clear(l.pairs)
	y.eachWeight(func(i, at int) bool {
		o := i / inner
		w := int64(int32(stream[at]) - l.channels[o].weightZero)
		l.pairs[o/2*inner+i%inner] += w << (o % 2 * 32)
		return true
	})
}

// convolve is CONV_2D, and FULLY_CONNECTED as one of a single place. It computes two output channels by one
// multiplication: the sum of the products of a and b + 2³²·c is the sum of a·b plus 2³² times that of a·c.
func (n *network) convolve(l *layer) {
	out, outputs := l.out, l.layout.outputs
	places := out.height * out.width
	inner := l.layout.height * l.layout.width * l.layout.inputs
	patches := n.gather(l, inner)
	for o := 0; o < outputs; o += 4 {
		w0 := l.pairs[o/2*inner : (o/2+1)*inner]
		w1 := w0
		if o+2 < outputs {
			w1 = l.pairs[(o/2+1)*inner : (o/2+2)*inner]
		}
		for p := range places {
			a, b := dotPairs(patches[p*inner:(p+1)*inner], w0, w1)
			sums := [4]int32{int32(a), int32((a - int64(int32(a))) >> 32), int32(b), int32((b - int64(int32(b))) >> 32)}
			to := out.data[p*outputs+o : (p+1)*outputs]
			for i := range min(len(to), 4) {
				to[i] = l.channels[o+i].requantise(sums[i] + l.biases[o+i])
			}
		}
	}
}

// dotPairs returns the sums of the products of x with w0 and with w1, which are no shorter.
//
// The race detector takes twenty times as long over it, and has nothing to look for: one goroutine at a time runs a network.
//
//go:norace
func dotPairs(x []int16, w0, w1 []int64) (a, b int64) {
	w0, w1 = w0[:len(x)], w1[:len(x)]
	for i, x := range x {
		a += int64(x) * w0[i]
		b += int64(x) * w1[i]
	}
	return a, b
}

// gather copies the windows of a convolution, less the input's zero point, which bytes outside of the image count as.
func (n *network) gather(l *layer, inner int) []int16 {
	in, out, w := l.in[0], l.out, &l.window
	patches := n.patches[:out.height*out.width*inner]
	zero := int16(l.stages[0].inZero) // the same in all stages of a layer
	i := 0
	for oy := range out.height {
		for ox := range out.width {
			for fy := range w.height {
				iy := oy*w.strideY + fy*w.dilationY - w.top
				for fx := range w.width {
					ix := ox*w.strideX + fx*w.dilationX - w.left
					patch := patches[i : i+in.channels]
					i += in.channels
					if iy < 0 || iy >= in.height || ix < 0 || ix >= in.width {
						clear(patch)
						continue
					}
					at := (iy*in.width + ix) * in.channels
					for c, v := range in.data[at : at+in.channels] {
						patch[c] = int16(v) - zero
					}
				}
			}
		}
	}
	return patches
}

// each calls visit for every place of the input under the window at (oy, ox) that is inside of the image, with its
// offset and its number in the window.
func (w *window) each(in *tensor, oy, ox int, visit func(at, place int)) {
	for fy := range w.height {
		iy := oy*w.strideY + fy*w.dilationY - w.top
		if iy < 0 || iy >= in.height {
			continue
		}
		for fx := range w.width {
			if ix := ox*w.strideX + fx*w.dilationX - w.left; ix >= 0 && ix < in.width {
				visit((iy*in.width+ix)*in.channels, fy*w.width+fx)
			}
		}
	}
}

// convolveDepthwise is DEPTHWISE_CONV_2D with one output for each input channel.
func (n *network) convolveDepthwise(l *layer) {
	in, out := l.in[0], l.out
	zero := l.stages[0].inZero
	sums := n.sums[:out.channels]
	add := func(at, place int) {
		addProducts(sums, in.data[at:at+len(sums)], zero, l.weights[place*len(sums):(place+1)*len(sums)])
	}
	for oy := range out.height {
		for ox := range out.width {
			copy(sums, l.biases)
			l.window.each(in, oy, ox, add)
			to := out.data[(oy*out.width+ox)*len(sums):]
			for c, a := range sums {
				to[c] = l.channels[c].requantise(a)
			}
		}
	}
}

// addProducts adds to each of sums the product of a byte, less zero, and a weight. As with dotPairs there are no races.
//
//go:norace
func addProducts(sums []int32, bytes []byte, zero int32, weights []int16) {
	bytes, weights = bytes[:len(sums)], weights[:len(sums)]
	for c, w := range weights {
		sums[c] += (int32(bytes[c]) - zero) * int32(w)
	}
}

// averagePool is AVERAGE_POOL_2D. A window that hangs over the edge is divided by the places it has.
func (n *network) averagePool(l *layer) {
	in, out, s := l.in[0], l.out, l.stages[0]
	whole := s.multiplier
	sums := n.sums[:out.channels]
	places := 0
	add := func(at, place int) {
		places++
		for c, v := range in.data[at : at+len(sums)] {
			sums[c] += int32(v) - in.zero
		}
	}
	for oy := range out.height {
		for ox := range out.width {
			clear(sums)
			places = 0
			l.window.each(in, oy, ox, add)
			s.multiplier = whole
			if places != l.window.height*l.window.width {
				s.multiplier = float32(1) / float32(places)
			}
			to := out.data[(oy*out.width+ox)*len(sums):]
			for c, a := range sums {
				to[c] = s.requantise(a)
			}
		}
	}
}

// sum is ADD: the two inputs on a common scale, which a fraction of small integers makes.
func (n *network) sum(l *layer) {
	a, b, s := l.in[0], l.in[1], &l.stages[0]
	for i, v := range a.data {
		l.out.data[i] = s.requantise(l.numerators[0]*int32(v) + l.numerators[1]*int32(b.data[i]) + l.bias)
	}
}

// rescale is QUANTIZE from bytes to bytes.
func (n *network) rescale(l *layer) {
	in, s := l.in[0], &l.stages[0]
	for i, v := range in.data {
		l.out.data[i] = s.requantise(int32(v) - s.inZero)
	}
}

func (n *network) reshape(l *layer) { copy(l.out.data, l.in[0].data) }

// concatenate is CONCATENATION of the channels of inputs of one scale, which is brought to the output's.
func (n *network) concatenate(l *layer) {
	s := &l.stages[0]
	for place := range l.out.elements / l.out.channels {
		to := l.out.data[place*l.out.channels:]
		for _, t := range l.in {
			for c, v := range t.data[place*t.channels : (place+1)*t.channels] {
				to[c] = s.requantise(int32(v) - s.inZero)
			}
			to = to[t.channels:]
		}
	}
}

// softmax is SOFTMAX over the channels.
func (n *network) softmax(l *layer) {
	in, out := l.in[0], l.out
	var powers [256]float64 // of the distance from the largest
	for i := range powers {
		powers[i] = math.Exp(-float64(in.scale) * float64(i))
	}
	for at := 0; at < in.elements; at += in.channels {
		row := in.data[at : at+in.channels]
		var largest byte
		for _, v := range row {
			largest = max(largest, v)
		}
		total := 0.0
		for _, v := range row {
			total += powers[largest-v]
		}
		for i, v := range row {
			code := math.RoundToEven(powers[largest-v] / total / float64(out.scale))
			out.data[at+i] = byte(min(max(code+float64(out.zero), 0), 255))
		}
	}
}
