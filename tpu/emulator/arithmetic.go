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
			changed = changed || s != l.stages[i]
			l.stages[i] = s
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
	if stream == nil {
		clear(l.weights)
		clear(l.biases)
		clear(l.channel)
		return
	}
	for o := range y.outputs {
		l.biases[o] = 0
		if y.bias {
			l.biases[o] = int32At(stream, y.biasAt(o))
		}
		l.channel[o] = l.stage(o).multiplier
		if y.perChannel {
			l.channel[o] *= float32At(stream, y.multiplierAt(o))
		}
	}
	zero := func(o int) int32 {
		if y.perChannel {
			return int32At(stream, y.zeroAt(o))
		}
		return l.stage(o).weightZero
	}
	if y.depthwise {
		y.eachWeight(func(i, at int) bool {
			l.weights[i] = int16(int32(stream[at]) - zero(i%y.outputs))
			return true
		})
		return
	}
	inner := y.height * y.width * y.inputs
	for o := range y.outputs {
		z, row, i := zero(o), l.weights[o*inner:(o+1)*inner], 0
		for fy := range y.height {
			for fx := range y.width {
				for c := range y.inputs {
					row[i] = int16(int32(stream[y.weightAt(o, fy, fx, c)]) - z)
					i++
				}
			}
		}
	}
}

// convolve is CONV_2D, and FULLY_CONNECTED as one of a single place.
func (n *network) convolve(l *layer) {
	in, out, y := l.in[0], l.out, l.layout
	inner := y.height * y.width * y.inputs
	places := out.height * out.width
	patches := n.patches[:places*inner]
	// The input's zero point is the same in all stages of a layer; bytes outside of the image count as it.
	zero := int16(l.stages[0].inZero)
	w := &l.window
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
	o := 0
	for ; o+4 <= y.outputs; o += 4 {
		w0, w1 := l.weights[o*inner:(o+1)*inner], l.weights[(o+1)*inner:(o+2)*inner]
		w2, w3 := l.weights[(o+2)*inner:(o+3)*inner], l.weights[(o+3)*inner:(o+4)*inner]
		for p := range places {
			patch := patches[p*inner : (p+1)*inner]
			var a0, a1, a2, a3 int32
			w0, w1, w2, w3 := w0[:len(patch)], w1[:len(patch)], w2[:len(patch)], w3[:len(patch)]
			for i, x := range patch {
				x := int32(x)
				a0 += x * int32(w0[i])
				a1 += x * int32(w1[i])
				a2 += x * int32(w2[i])
				a3 += x * int32(w3[i])
			}
			at := p*y.outputs + o
			out.data[at] = l.stage(o).requantise(a0+l.biases[o], l.channel[o])
			out.data[at+1] = l.stage(o+1).requantise(a1+l.biases[o+1], l.channel[o+1])
			out.data[at+2] = l.stage(o+2).requantise(a2+l.biases[o+2], l.channel[o+2])
			out.data[at+3] = l.stage(o+3).requantise(a3+l.biases[o+3], l.channel[o+3])
		}
	}
	for ; o < y.outputs; o++ {
		row := l.weights[o*inner : (o+1)*inner]
		for p := range places {
			acc := l.biases[o]
			for i, x := range patches[p*inner : (p+1)*inner] {
				acc += int32(x) * int32(row[i])
			}
			out.data[p*y.outputs+o] = l.stage(o).requantise(acc, l.channel[o])
		}
	}
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
	var zero int32
	sums := n.sums[:out.channels]
	add := func(at, place int) {
		weights := l.weights[place*len(sums) : (place+1)*len(sums)]
		for c, v := range in.data[at : at+len(sums)] {
			sums[c] += (int32(v) - zero) * int32(weights[c])
		}
	}
	zero = l.stages[0].inZero
	for oy := range out.height {
		for ox := range out.width {
			copy(sums, l.biases)
			l.window.each(in, oy, ox, add)
			to := out.data[(oy*out.width+ox)*len(sums):]
			for c, a := range sums {
				to[c] = l.stage(c).requantise(a, l.channel[c])
			}
		}
	}
}

// averagePool is AVERAGE_POOL_2D. A window that hangs over the edge is divided by the places it has.
func (n *network) averagePool(l *layer) {
	in, out, s := l.in[0], l.out, &l.stages[0]
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
			multiplier := s.multiplier
			if places != l.window.height*l.window.width {
				multiplier = float32(1) / float32(places)
			}
			to := out.data[(oy*out.width+ox)*len(sums):]
			for c, a := range sums {
				to[c] = s.requantise(a, multiplier)
			}
		}
	}
}

// sum is ADD: the two inputs on a common scale, which a fraction of small integers makes.
func (n *network) sum(l *layer) {
	a, b, s := l.in[0], l.in[1], &l.stages[0]
	for i, v := range a.data {
		acc := l.numerators[0]*(int32(v)-a.zero) + l.numerators[1]*(int32(b.data[i])-b.zero)
		l.out.data[i] = s.requantise(acc, s.multiplier)
	}
}

// rescale is QUANTIZE from bytes to bytes.
func (n *network) rescale(l *layer) {
	in, s := l.in[0], &l.stages[0]
	for i, v := range in.data {
		l.out.data[i] = s.requantise(int32(v)-s.inZero, s.multiplier)
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
				to[c] = s.requantise(int32(v)-s.inZero, s.multiplier)
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
