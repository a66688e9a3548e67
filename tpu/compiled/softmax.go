package compiled

import (
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// softmax is the SOFTMAX after the last layer, with codes as input and output. How a
// device rounds is not known: a score can differ by one code.
type softmax struct {
	power [256]float64 // e to the minus n times the scale of the input
	out   quantization
}

// softmaxAfter returns the SOFTMAX that follows layer at, or nil if there is none.
func (p *Pair) softmaxAfter(at int) *softmax {
	g := &p.uncompiled.Subgraphs[0]
	for i := at + 1; i < len(p.layers); i++ {
		if p.layers[i].kind != tflite.OpSoftmax {
			continue
		}
		op := &g.Operators[i]
		in, out, ok := endsOf(g, op)
		if !ok {
			return nil
		}
		if scale := float64(in.scale) * float64(op.Options.Softmax().Beta); scale > 0 {
			return newSoftmax(scale, out)
		}
		return nil
	}
	return nil
}

func newSoftmax(scale float64, out quantization) *softmax {
	// The power series instead of math.Exp, whose last bit depends on the processor.
	e, term := 1.0, 1.0
	for n := 1.0; n < 100; n++ {
		term = term * scale / n
		e += term
	}
	s := &softmax{out: out}
	s.power[0] = 1
	for n := 1; n < len(s.power); n++ {
		s.power[n] = s.power[n-1] / e
	}
	return s
}

// scores sets dst to the codes of the first scores for codes of the last layer. A nil
// softmax copies them.
func (s *softmax) scores(dst, codes []float64) {
	copy(dst, codes)
	if s == nil {
		return
	}
	top, sum := codes[best(codes)], 0.0
	for _, c := range codes {
		sum += s.power[int(top-c)]
	}
	for i := range dst {
		dst[i] = min(math.RoundToEven(s.power[int(top-codes[i])]/sum/float64(s.out.scale))+float64(s.out.zero), 255)
	}
}
