package compiled

import (
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/imprintkit/imprint/tpu/executable"
)

const (
	// outputFill is the fraction of the output's code range that the largest logits of the embeddings
	// fill.
	outputFill = 0.9
	// maxLogitScale is the maximum factor by which logits are multiplied to fill the output's code
	// range. On the clothing set, with a factor of f, rounding to 8 bits changes about 10/f % of the
	// predictions.
	maxLogitScale = 16
)

// quantize returns the change that replaces p with l. in is the quantization of the input. The output
// keeps p's quantization. The SOFTMAX after p may be nil.
//
// Here and below, each product is converted explicitly before it is added, so that no
// processor fuses the two operations.
func (p *placed) quantize(l *LastLayer, embeddings []Embedding, in quantization, after *softmax) (*change, *Written, error) {
	length := 0.0 // mean length of the embeddings
	for _, e := range embeddings {
		length += e.Norm / float64(len(embeddings))
	}
	if !(length > 0) {
		return nil, nil, fmt.Errorf("embeddings are all zeros: %w", ErrLayer)
	}
	folded := foldBias(l, embeddings)
	scale, shift := p.fitOutput(len(l.Labels), bestLogit(folded, embeddings, length))
	w := &Written{Embeddings: len(embeddings), LogitScale: scale}
	w.Layer = &LastLayer{Labels: l.Labels, Inputs: l.Inputs}
	for _, v := range folded.Weights {
		w.Layer.Weights = append(w.Layer.Weights, float32(float64(v)*scale/length))
	}
	for range l.Labels {
		w.Layer.Bias = append(w.Layer.Bias, float32(shift))
	}
	c, err := p.encode(w.Layer, shift, in)
	if err != nil {
		return nil, nil, err
	}
	// Spare rows have no weights, so one code for all embeddings. They take part in SOFTMAX.
	classes := len(l.Labels)
	codes, logits := make([]float64, p.filter.Outputs), make([]float64, classes)
	for o := classes; o < len(codes); o++ {
		codes[o] = c.code(o, Embedding{}, in)
	}
	scores := make([]float64, classes)
	for _, e := range embeddings {
		for o := range classes {
			codes[o] = c.code(o, e, in)
		}
		after.scores(scores, codes)
		l.logits(logits, e.Unit)
		if !keepsBest(scores, logits) {
			w.Disagreements++
		}
	}
	return c, w, nil
}

// bestLogit returns the largest logit of l for any of the embeddings, each divided by length. It
// returns 0 if all logits are negative.
func bestLogit(l *LastLayer, embeddings []Embedding, length float64) float64 {
	high := 0.0
	logits, x := make([]float64, len(l.Labels)), make([]float64, l.Inputs)
	for _, e := range embeddings {
		for i, v := range e.Unit {
			x[i] = v * e.Norm / length
		}
		l.logits(logits, x)
		high = max(high, slices.Max(logits))
	}
	return high
}

// fitOutput returns the factor and the bias that map logits up to high into the range of p's output.
//
// The logits of all classes add up to 0, so the logit of the predicted class is never below 0. Spare
// rows have code 0. The predicted class needs a higher code than a spare row, and a score above the
// sum of the spare rows' scores. The codes of the other classes don't matter.
func (p *placed) fitOutput(classes int, high float64) (scale, shift float64) {
	out, biased := p.output(), !p.place.Form.NoBias
	top, bottom := float64(float64(out.scale)*(255*(1+outputFill)/2-float64(out.zero))), 0.0
	if biased {
		bottom = float64(float64(out.scale) * (255*(1-outputFill)/2 - float64(out.zero)))
		if spare := p.filter.Outputs - classes; spare > 0 {
			// The number of bits of spare gives an upper bound of ln spare that is the same on all
			// processors.
			bottom += min(float64(float64(bits.Len(uint(spare)))*math.Ln2)+2, (top-bottom)/2)
		}
	}
	scale = 1
	if high > 0 && top > bottom {
		scale = min((top-bottom)/high, maxLogitScale)
	}
	if biased {
		shift = top - float64(scale*high)
	}
	return scale, shift
}

// encode rounds l to the codes of p. All biases of l are shift.
func (p *placed) encode(l *LastLayer, shift float64, in quantization) (*change, error) {
	out, classes := p.output(), len(l.Labels)
	below := -(float64(out.zero) + 2) * float64(out.scale) // bias of spare rows, below all codes
	f := &executable.Filter{Outputs: p.filter.Outputs, Inputs: p.filter.Inputs, Height: 1, Width: 1, FullyConnected: p.filter.FullyConnected}
	// With a smaller scale, a bias would take more than 30 bits. Only weights too small to matter
	// would need a smaller scale.
	scales := p.encodeWeights(f, l, max(math.Abs(shift), math.Abs(below))/float64(in.scale)/(1<<30))
	stage := *p.stage
	stage.InZero = in.zero
	if f.Multipliers == nil {
		stage.Multiplier = executable.Multiplier(in.scale, scales[0], out.scale)
		stage.WeightZero = f.Zeros[0]
	}
	for c := range f.Multipliers {
		f.Multipliers[c] = executable.Multiplier(in.scale, scales[c], out.scale)
	}
	if p.place.Form.NoBias {
		return &change{placed: p, filter: f, stage: stage}, nil
	}
	f.Biases = make([]int32, f.Outputs)
	for c := range f.Biases {
		b := below
		if c < classes {
			b = shift
		}
		f.Biases[c] = int32(math.RoundToEven(b / (float64(in.scale) * float64(scales[min(c, len(scales)-1)]))))
	}
	return &change{placed: p, filter: f, stage: stage}, nil
}

// encodeWeights sets the weights and zero points of f. It quantizes them as p does: per channel,
// symmetrically, or with a zero point. It returns one scale, or one per channel. No scale is below
// least.
func (p *placed) encodeWeights(f *executable.Filter, l *LastLayer, least float64) []float32 {
	row := func(c int) []float32 {
		if c < len(l.Labels) {
			return l.row(c)
		}
		return nil
	}
	symmetric := func(v []float32) float32 {
		largest := 0.0
		for _, x := range v {
			largest = max(largest, math.Abs(float64(x)))
		}
		return float32(max(largest/127, least))
	}
	var scales []float32
	switch {
	case p.filter.Multipliers != nil:
		f.Multipliers = make([]float32, f.Outputs)
		for c := range f.Outputs {
			scales, f.Zeros = append(scales, symmetric(row(c))), append(f.Zeros, 128)
		}
	case p.signed:
		scales, f.Zeros = []float32{symmetric(l.Weights)}, []byte{128}
	default:
		low, high := float64(min(slices.Min(l.Weights), 0)), float64(max(slices.Max(l.Weights), 0))
		scale := float32(max((high-low)/254, least))
		scales, f.Zeros = []float32{scale}, []byte{byte(1 + math.RoundToEven(-low/float64(scale)))}
	}
	f.Weights = make([]byte, f.Outputs*f.Inputs)
	for c := range f.Outputs {
		scale, zero := scales[min(c, len(scales)-1)], f.Zeros[min(c, len(scales)-1)]
		codes := f.Weights[c*f.Inputs:][:f.Inputs]
		for i := range codes {
			codes[i] = zero
		}
		for i, v := range row(c) {
			codes[i] = byte(min(max(math.RoundToEven(float64(v)/float64(scale))+float64(zero), 1), 255))
		}
	}
	return scales
}

// code returns the code that the Edge TPU computes from an embedding for output o.
func (c *change) code(o int, e Embedding, in quantization) float64 {
	f := c.filter
	sum, zero, multiplier := int32(0), int32(f.Zeros[0]), c.stage.Multiplier
	if f.Multipliers != nil {
		zero, multiplier = int32(f.Zeros[o]), f.Multipliers[o]
	}
	if f.Biases != nil {
		sum = f.Biases[o]
	}
	for i, v := range e.Unit { // none for a row without weights
		x := min(max(math.RoundToEven(v*e.Norm/float64(in.scale))+float64(in.zero), 0), 255)
		sum += (int32(x) - int32(in.zero)) * (int32(f.Weights[o*f.Inputs+i]) - zero)
	}
	v := min(max(float32(sum)*multiplier, c.stage.Low), c.stage.High)
	return math.RoundToEven(float64(v)) + float64(c.stage.Zero)
}
