package emulator

import (
	"math"

	"github.com/imprintkit/imprint/tpu/executable"
)

// run computes the program's outputs, as bytes on the wire, from its inputs and from k, the parameters on the chip. If
// there are no parameters, k is nil.
//
// The chip's arithmetic is not published. Operators with a stage reproduce recordings of a physical device: exact
// accumulators, one product rounded to float32, rounding half to even. SOFTMAX is the exact function, rounded to the
// nearest code. The results agree with two published scores.
func (n *network) run(p *program, k *cached) error {
	n.prepare(p, k)
	for i, t := range n.ins {
		// Codes on the wire are unsigned already.
		copy(t.data, p.inputs[i])
	}
	n.err = nil
	for _, l := range n.layers {
		l.run(n, l)
	}
	if n.err != nil {
		return n.err
	}
	for i, t := range n.outs {
		l := &p.executable.Outputs[i]
		if l.Type == executable.Int8 { // ToDevice flips signed codes, but these are unsigned already
			flip(t.data)
		}
		if err := l.ToDevice(p.outputs[i], t.data); err != nil {
			return err
		}
	}
	return nil
}

// flip converts codes between signed and unsigned.
func flip(b []byte) {
	for i := range b {
		b[i] ^= 0x80
	}
}

// prepare reads the weights and stages of all layers from the bytes that the chip received. It skips weights that are
// unchanged since the last run.
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
			s.clampLimits()
			changed = changed || s != l.stages[i]
			l.stages[i] = s
		}
		if l.factors != nil {
			l.readFactors(p.chunks)
		}
		if l.softmax != nil && k != nil && len(k.bytes) >= l.softmax.Offset+4 {
			l.inScale = float32At(k.bytes, l.softmax.Offset)
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

// decode reads a layer's weights, biases and multipliers from a stream of parameters. Without a stream they are 0.
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
		s.clampLimits()
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

// convolve computes CONV_2D, and FULLY_CONNECTED as a 1×1 convolution of a single pixel. It computes two output
// channels with one multiplication: the sum of a·(b + 2³²·c) is the sum of a·b plus 2³² times the sum of a·c.
func (n *network) convolve(l *layer) {
	out, outputs := l.out, l.layout.outputs
	positions := out.height * out.width
	inner := l.layout.height * l.layout.width * l.layout.inputs
	patches := n.gather(l, inner)
	for o := 0; o < outputs; o += 4 {
		w0 := l.pairs[o/2*inner : (o/2+1)*inner]
		w1 := w0
		if o+2 < outputs {
			w1 = l.pairs[(o/2+1)*inner : (o/2+2)*inner]
		}
		for p := range positions {
			a, b := dotPairs(patches[p*inner:(p+1)*inner], w0, w1)
			sums := [4]int32{int32(a), int32((a - int64(int32(a))) >> 32), int32(b), int32((b - int64(int32(b))) >> 32)}
			to := out.data[p*outputs+o : (p+1)*outputs]
			for i := range min(len(to), 4) {
				to[i] = l.channels[o+i].requantize(sums[i] + l.biases[o+i])
			}
		}
	}
}

// dotPairs returns the dot products of x with w0 and with w1, which must not be shorter than x.
//
// The race detector would make dotPairs twenty times slower and find nothing: only one goroutine at a time runs a network.
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

// gather copies the windows of a convolution and subtracts the input's zero point. Values outside the image are 0.
func (n *network) gather(l *layer, inner int) []int16 {
	in, out, w := l.in[0], l.out, &l.window
	patches := n.patches[:out.height*out.width*inner]
	zero := int16(l.stages[0].inZero) // equal in all stages of a layer
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

// each calls visit for every position inside the image that the window of output (oy, ox) covers. It passes the
// position's offset in the input and its index in the window.
func (w *window) each(in *tensor, oy, ox int, visit func(at, position int)) {
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

// convolveDepthwise computes DEPTHWISE_CONV_2D with one output per input channel.
func (n *network) convolveDepthwise(l *layer) {
	in, out := l.in[0], l.out
	zero := l.stages[0].inZero
	sums := n.sums[:out.channels]
	add := func(at, position int) {
		addProducts(sums, in.data[at:at+len(sums)], zero, l.weights[position*len(sums):(position+1)*len(sums)])
	}
	for oy := range out.height {
		for ox := range out.width {
			copy(sums, l.biases)
			l.window.each(in, oy, ox, add)
			to := out.data[(oy*out.width+ox)*len(sums):]
			for c, a := range sums {
				to[c] = l.channels[c].requantize(a)
			}
		}
	}
}

// addProducts adds (byte − zero)·weight to each of sums. As in dotPairs, there are no races to detect.
//
//go:norace
func addProducts(sums []int32, bytes []byte, zero int32, weights []int16) {
	bytes, weights = bytes[:len(sums)], weights[:len(sums)]
	for c, w := range weights {
		sums[c] += (int32(bytes[c]) - zero) * int32(w)
	}
}

// averagePool computes AVERAGE_POOL_2D. At an edge it divides by the number of positions inside the image.
func (n *network) averagePool(l *layer) {
	in, out, s := l.in[0], l.out, l.stages[0]
	whole := s.multiplier
	sums := n.sums[:out.channels]
	positions := 0
	add := func(at, _ int) {
		positions++
		for c, v := range in.data[at : at+len(sums)] {
			sums[c] += int32(v) - in.zero
		}
	}
	for oy := range out.height {
		for ox := range out.width {
			clear(sums)
			positions = 0
			l.window.each(in, oy, ox, add)
			s.multiplier = whole
			if positions != l.window.height*l.window.width {
				s.multiplier = float32(1) / float32(positions)
			}
			to := out.data[(oy*out.width+ox)*len(sums):]
			for c, a := range sums {
				to[c] = s.requantize(a)
			}
		}
	}
}

// sum computes ADD. Two integer factors bring the inputs to a common scale.
func (n *network) sum(l *layer) {
	a, b, s := l.in[0], l.in[1], &l.stages[0]
	for i, v := range a.data {
		l.out.data[i] = s.requantize(l.numerators[0]*int32(v) + l.numerators[1]*int32(b.data[i]) + l.bias)
	}
}

// rescale computes QUANTIZE between 8-bit types.
func (n *network) rescale(l *layer) {
	in, s := l.in[0], &l.stages[0]
	for i, v := range in.data {
		l.out.data[i] = s.requantize(int32(v) - s.inZero)
	}
}

// reshape computes RESHAPE and SQUEEZE.
func (n *network) reshape(l *layer) { copy(l.out.data, l.in[0].data) }

// pad computes PAD. The new pixels are 0.
func (n *network) pad(l *layer) {
	in, out := l.in[0], l.out
	for i := range out.data {
		out.data[i] = byte(in.zero)
	}
	row := in.width * in.channels
	for y := range in.height {
		copy(out.data[((y+l.window.top)*out.width+l.window.left)*in.channels:], in.data[y*row:(y+1)*row])
	}
}

// mean computes MEAN over an image.
func (n *network) mean(l *layer) {
	in, s := l.in[0], &l.stages[0]
	for c := range in.channels {
		var sum int32
		for at := c; at < in.elements; at += in.channels {
			sum += int32(in.data[at]) - s.inZero
		}
		l.out.data[c] = s.requantize(sum)
	}
}

// concatenate computes CONCATENATION. All inputs have the same scale. concatenate converts it to the output's scale.
func (n *network) concatenate(l *layer) {
	s := &l.stages[0]
	to := l.out.data
	for block := range l.blocks {
		for _, t := range l.in {
			n := t.elements / l.blocks
			for i, v := range t.data[block*n : (block+1)*n] {
				to[i] = s.requantize(int32(v) - s.inZero)
			}
			to = to[n:]
		}
	}
}

// softmax computes SOFTMAX over the channels.
func (n *network) softmax(l *layer) {
	in, out := l.in[0], l.out
	var powers [256]float64 // exponentials, by distance from the largest code
	for i := range powers {
		powers[i] = math.Exp(-float64(l.inScale) * float64(i))
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
