package compiled

import (
	"errors"
	"fmt"
	"math"
	"math/bits"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A Written says what became of a head in a template's last layer.
type Written struct {
	// Layer is the head as it was written, on the embedding as it is, but for the
	// rounding of its weights and biases to codes: what [Template.ReadHead] gives.
	Layer *classifier.Head
	// Sharpened is the factor by which logits were multiplied to make use of the
	// template's output: scores are bolder, or with less than 1 more timid, by as much.
	LogitScale float64
	// Differ is the number of examples, of Examples, whose winner is another than the
	// head's.
	Disagreements, Examples int
}

// fill is how much of the range of the output's codes the best logits of the examples
// take, and mostSharpened how much they are multiplied for that at most. Outputs have 8
// bits: on clothing the winners that rounding turns are about 10 % divided by the
// factor.
const (
	fill          = 0.9
	mostSharpened = 16
)

// WriteHead returns the template with h as its last layer, with h's labels. frozen is
// the model whose embedding h was taught on: the twin, or one of its architecture up
// to the embedding, whose weights are then written too. The layer takes the embedding
// as it is, where h takes it scaled to length 1: the head that is written gives about the
// same winners without, and rows that h has no class for are kept below all others.
func (t *Pair) WriteHead(h *classifier.Head, examples []classifier.Example, frozen *tflite.Model) ([]byte, *Written, error) {
	if err := h.Check(); err != nil {
		return nil, nil, err
	}
	at := t.last()
	if at < 0 {
		return nil, nil, fmt.Errorf("%w: it ends in no layer with weights", ErrCompiled)
	}
	last := &t.layers[at]
	if err := t.givesClasses(at); err != nil {
		return nil, nil, fmt.Errorf("layer %q, %v: %w: %w", last.name, last.kind, ErrCompiled, err)
	}
	f := last.layer.filter
	switch {
	case h.Sqrt:
		return nil, nil, fmt.Errorf("a head on square roots can't be a layer of the Edge TPU: %w", classifier.ErrShape)
	case last.found != 1:
		return nil, nil, fmt.Errorf("layer %q: %w: its weights are at %d places of the template's parameters, not at 1", last.name, ErrCompiled, last.found)
	case h.Dim != f.Inputs || f.Height*f.Width != 1 || f.Depthwise:
		return nil, nil, fmt.Errorf("layer %q: %w: it takes %d values, and the head %d", last.name, ErrCompiled, f.Inputs, h.Dim)
	case len(h.Labels) > f.Outputs:
		return nil, nil, fmt.Errorf("layer %q: %w: it has room for %d classes, not for %d", last.name, ErrCompiled, f.Outputs, len(h.Labels))
	case len(examples) == 0:
		return nil, nil, fmt.Errorf("no examples to choose scales by: %w", classifier.ErrShape)
	}
	changes, err := t.changes(frozen, at)
	if err != nil {
		return nil, nil, err
	}
	in, err := t.embedding(frozen, at)
	if err != nil {
		return nil, nil, err
	}
	q, w, err := last.quantise(h, examples, in)
	if err != nil {
		return nil, nil, fmt.Errorf("layer %q: %w", last.name, err)
	}
	file, _, err := t.write(append(changes, *q))
	if err != nil {
		return nil, nil, err
	}
	out, err := tflite.Parse(file)
	if err != nil {
		return nil, nil, err
	}
	if err := out.SetLabels(h.Labels); err != nil {
		return nil, nil, err
	}
	file, err = out.Encode()
	return file, w, err
}

// last is the layer that gives the classes: the last with weights.
func (t *Pair) last() int {
	for i := len(t.layers) - 1; i >= 0; i-- {
		if t.layers[i].layer.filter != nil {
			return i
		}
	}
	return -1
}

// givesClasses says why layer at, the last with weights, is not one whose outputs are
// scores of classes, but for what turns logits into scores.
func (t *Pair) givesClasses(at int) error {
	g := &t.twin.Subgraphs[0]
	if t.onCPU(at) {
		return errors.New("the compiler left it to the CPU")
	}
	out := g.Operators[at].Outputs[0]
	if n := g.Tensors[out].NumElements(); n != t.layers[at].filter.Outputs {
		return fmt.Errorf("it is no classifier's last layer: its output has the shape %v", g.Tensors[out].Shape)
	}
	for i := at + 1; i < len(g.Operators); i++ {
		op := &g.Operators[i]
		switch kind := t.layers[i].kind; kind {
		case tflite.OpReshape, tflite.OpSqueeze, tflite.OpSoftmax, tflite.OpLogistic, tflite.OpQuantize, tflite.OpDequantize:
			if op.Inputs[0] != out {
				return fmt.Errorf("it is no classifier's last layer: %v does not read it", kind)
			}
		default:
			return fmt.Errorf("it is no classifier's last layer: %v comes after it", kind)
		}
		out = op.Outputs[0]
	}
	if !slices.Equal(g.Outputs, []int32{out}) {
		return fmt.Errorf("the model has %d outputs, want one of scores", len(g.Outputs))
	}
	return nil
}

// embedding gives the numerics in frozen of what layer at reads.
func (t *Pair) embedding(frozen *tflite.Model, at int) (numerics, error) {
	tensor := t.twin.Subgraphs[0].Operators[at].Inputs[0]
	for {
		op, output := source(t.twin, tensor)
		if op < 0 {
			return numerics{}, fmt.Errorf("%w: no layer is before its last", ErrCompiled)
		}
		if all := frozen.Subgraphs[0].Operators; op < len(all) {
			scale, zero, err := quantisation(&frozen.Subgraphs[0].Tensors[all[op].Outputs[output]])
			return numerics{scale, zero}, err
		}
		tensor = t.twin.Subgraphs[0].Operators[op].Inputs[0] // of a RESHAPE that frozen has not
	}
}

// quantise makes codes of h for the place of layer l, whose output stays as it is and
// whose input is in.
func (l *placed) quantise(h *classifier.Head, examples []classifier.Example, in numerics) (*change, *Written, error) {
	out := l.numerics[len(l.numerics)-1]
	old := l.layer.filter
	var length float64
	for _, e := range examples {
		length += e.Norm / float64(len(examples))
	}
	if !(length > 0) {
		return nil, nil, fmt.Errorf("embeddings of zeros: %w", classifier.ErrShape)
	}
	p := plain(h, examples)
	logits, x := make([]float64, len(h.Labels)), make([]float64, h.Dim)
	high := 0.0
	for _, e := range examples {
		for i, v := range e.Unit {
			x[i] = v * e.Norm / length
		}
		p.Logits(logits, x)
		high = max(high, slices.Max(logits))
	}
	// Of logits that add up to 0 the winner's is never below. It must have a code, and a
	// score above those of all rows without a class, which have the code 0; what the
	// losers have doesn't matter.
	noBias := l.place.Form.NoBias
	// Products are converted before they are added, so that no processor fuses the two.
	top, bottom := float64(float64(out.scale)*(255*(1+fill)/2-float64(out.zero))), 0.0
	if !noBias {
		bottom = float64(float64(out.scale) * (255*(1-fill)/2 - float64(out.zero)))
		if spare := old.Outputs - len(h.Labels); spare > 0 {
			// Their logarithm by the number of bits: that is the same on all processors.
			bottom += min(float64(float64(bits.Len(uint(spare)))*math.Ln2)+2, (top-bottom)/2)
		}
	}
	w := &Written{Examples: len(examples), LogitScale: 1}
	if high > 0 && top > bottom {
		w.LogitScale = min((top-bottom)/high, mostSharpened)
	}
	shift := top - float64(w.LogitScale*high)
	if noBias {
		shift = 0
	}
	w.Layer = &classifier.Head{Labels: h.Labels, Dim: h.Dim}
	for _, v := range p.Weights {
		w.Layer.Weights = append(w.Layer.Weights, float32(float64(v)*w.LogitScale/length))
	}
	for range h.Labels {
		w.Layer.Bias = append(w.Layer.Bias, float32(shift))
	}

	below := -(float64(out.zero) + 2) * float64(out.scale) // every code
	f := &executable.Filter{Outputs: old.Outputs, Inputs: old.Inputs, Height: 1, Width: 1, FullyConnected: old.FullyConnected}
	// Scales so small that a bias had more than 30 bits would only be of weights that
	// make no difference.
	scales := l.weightCodes(f, w.Layer, max(math.Abs(shift), math.Abs(below))/float64(in.scale)/(1<<30))
	stage := *l.layer.stage
	stage.InZero = in.zero
	if f.Multipliers == nil {
		stage.Multiplier = executable.Multiplier(in.scale, scales[0], out.scale)
		stage.WeightZero = f.Zeros[0]
	} else {
		for c := range f.Multipliers {
			f.Multipliers[c] = executable.Multiplier(in.scale, scales[c], out.scale)
		}
	}
	if !noBias {
		f.Biases = make([]int32, f.Outputs)
		for c := range f.Biases {
			b := below
			if c < len(h.Labels) {
				b = shift
			}
			f.Biases[c] = int32(math.RoundToEven(b / (float64(in.scale) * float64(scales[min(c, len(scales)-1)]))))
		}
	} else if len(h.Labels) < f.Outputs && out.zero != 0 {
		return nil, nil, fmt.Errorf("%w: it has no biases to keep the %d rows without a class down", ErrCompiled, f.Outputs-len(h.Labels))
	}
	c := &change{placed: l, filter: f, stage: stage}
	codes := make([]float64, len(h.Labels))
	for _, e := range examples {
		for o := range codes {
			codes[o] = c.code(o, e, in)
		}
		h.Logits(logits, e.Unit)
		if classifier.ArgMax(codes) != classifier.ArgMax(logits) {
			w.Disagreements++
		}
	}
	return c, w, nil
}

// weightCodes quantises the weights of h into f as the template's layer is, and gives
// the scales, of which none is below least.
func (l *placed) weightCodes(f *executable.Filter, h *classifier.Head, least float64) []float32 {
	old := l.layer.filter
	row := func(c int) []float32 {
		if c < len(h.Labels) {
			return h.Row(c)
		}
		return nil
	}
	f.Weights = make([]byte, f.Outputs*f.Inputs)
	put := func(c int, scale float32, zero byte) {
		codes := f.Weights[c*f.Inputs:][:f.Inputs]
		for i := range codes {
			codes[i] = zero
		}
		for i, v := range row(c) {
			codes[i] = byte(min(max(math.RoundToEven(float64(v)/float64(scale))+float64(zero), 1), 255))
		}
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
	case old.Multipliers != nil:
		f.Multipliers = make([]float32, f.Outputs)
		for c := range f.Outputs {
			scales, f.Zeros = append(scales, symmetric(row(c))), append(f.Zeros, 128)
		}
	case l.signed:
		scales, f.Zeros = []float32{symmetric(h.Weights)}, []byte{128}
	default:
		low, high := float64(min(slices.Min(h.Weights), 0)), float64(max(slices.Max(h.Weights), 0))
		scale := float32(max((high-low)/254, least))
		scales, f.Zeros = []float32{scale}, []byte{byte(1 + math.RoundToEven(-low/float64(scale)))}
	}
	for c := range f.Outputs {
		i := min(c, len(scales)-1)
		put(c, scales[i], f.Zeros[i])
	}
	return scales
}

// code is what the chip gives for output o and an example.
func (c *change) code(o int, e classifier.Example, in numerics) float64 {
	f := c.filter
	acc, zero, multiplier := int32(0), int32(f.Zeros[0]), c.stage.Multiplier
	if f.Multipliers != nil {
		zero, multiplier = int32(f.Zeros[o]), f.Multipliers[o]
	}
	if f.Biases != nil {
		acc = f.Biases[o]
	}
	for i, v := range e.Unit {
		x := min(max(math.RoundToEven(v*e.Norm/float64(in.scale))+float64(in.zero), 0), 255)
		acc += (int32(x) - int32(in.zero)) * (int32(f.Weights[o*f.Inputs+i]) - zero)
	}
	v := min(max(float32(acc)*multiplier, c.stage.Low), c.stage.High)
	return math.RoundToEven(float64(v)) + float64(c.stage.Zero)
}

// ReadHead returns the last layer of a file that was written into this template with
// the layers of frozen: a head on the embedding as it is, in real units, with the
// file's labels.
func (t *Pair) ReadHead(file []byte, frozen *tflite.Model) (*classifier.Head, error) {
	m, f, stage, err := t.lastLayer(file)
	if err != nil {
		return nil, err
	}
	at := t.last()
	in, err := t.embedding(frozen, at)
	if err != nil {
		return nil, err
	}
	labels, err := m.Labels()
	if err != nil {
		return nil, err
	}
	if len(labels) > f.Outputs {
		return nil, fmt.Errorf("%w: it has room for %d classes, and the file has %d labels", ErrCompiled, f.Outputs, len(labels))
	}
	out := t.layers[at].numerics[len(t.layers[at].numerics)-1]
	h := &classifier.Head{Labels: labels, Dim: f.Inputs, Bias: make([]float32, len(labels))}
	for c := range labels {
		multiplier, zero := stage.Multiplier, stage.WeightZero
		if f.Multipliers != nil {
			multiplier, zero = f.Multipliers[c], f.Zeros[c]
		}
		step := float64(multiplier) * float64(out.scale) // of the accumulator, in real units
		for _, w := range f.Weights[c*f.Inputs:][:f.Inputs] {
			h.Weights = append(h.Weights, float32(float64(int(w)-int(zero))*step/float64(in.scale)))
		}
		if f.Biases != nil {
			h.Bias[c] = float32(float64(f.Biases[c]) * step)
		}
	}
	return h, h.Check()
}
