package compiled

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A LastLayer is a fully connected layer that computes one logit per label. Its weights are in the
// order [label][input].
type LastLayer struct {
	Labels  []string
	Inputs  int
	Weights []float32
	Bias    []float32
}

// row returns the weights of class c.
func (l *LastLayer) row(c int) []float32 { return l.Weights[c*l.Inputs:][:l.Inputs] }

// check returns an error unless the parts of l are consistent and finite.
func (l *LastLayer) check() error {
	n := len(l.Labels)
	if n == 0 || l.Inputs <= 0 || len(l.Weights) != n*l.Inputs || len(l.Bias) != n {
		return fmt.Errorf("%d labels, %d inputs, %d weights and %d biases: %w", n, l.Inputs, len(l.Weights), len(l.Bias), ErrLayer)
	}
	for _, v := range slices.Concat(l.Weights, l.Bias) {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return fmt.Errorf("a weight or bias is %v: %w", v, ErrLayer)
		}
	}
	return nil
}

// logits writes the logits of x into dst. It converts each product explicitly before
// adding it, so that no processor fuses the two operations.
func (l *LastLayer) logits(dst, x []float64) {
	for c := range dst[:len(l.Labels)] {
		sum := float64(l.Bias[c])
		for i, w := range l.row(c) {
			sum += float64(float64(w) * x[i])
		}
		dst[c] = sum
	}
}

// best returns the index of the largest value. If there are several, it returns the
// first.
func best(v []float64) int { return slices.Index(v, slices.Max(v)) }

// keepsBest reports whether all classes with the highest score have the highest logit.
func keepsBest(scores, logits []float64) bool {
	top, want := slices.Max(scores), slices.Max(logits)
	for i, s := range scores {
		if s == top && logits[i] != want {
			return false
		}
	}
	return true
}

// An Embedding is the embedding of a training photo: a unit vector, and its length before scaling.
type Embedding struct {
	Unit []float64
	Norm float64
}

// Written describes a last layer that was written into a compiled model.
type Written struct {
	// Layer is the layer before its weights and biases were rounded to codes. It takes embeddings
	// that are not scaled to unit vectors. ReadLastLayer returns the rounded layer.
	Layer *LastLayer
	// LogitScale is the factor by which logits were multiplied to fill the 8 bits of the layer's
	// output. A factor above 1 makes scores more confident, a factor below 1 less confident.
	LogitScale float64
	// Disagreements is the number of embeddings whose class changes or no longer has a
	// higher score than all others, in the codes of the model's output. Embeddings is the
	// number of all embeddings.
	Disagreements, Embeddings int
}

// WriteLastLayer returns the compiled model with l as its last layer and with l's labels. l
// computes the logits of unit embeddings. Spare rows of the compiled layer get lower logits than
// the predicted class.
//
// frozen is the model that computes the embeddings: the uncompiled model, or a model of the same
// architecture up to the embedding. In the second case its layers are written too.
//
// embeddings holds the embeddings of l's training photos. They determine the quantization. The
// compiled layer does not scale embeddings to length 1, so a few predictions may differ from l's.
//
// Errors wrap ErrCompiled, ErrUncompiled or ErrLayer.
func (p *Pair) WriteLastLayer(l *LastLayer, embeddings []Embedding, frozen *tflite.Model) ([]byte, *Written, error) {
	if err := l.check(); err != nil {
		return nil, nil, err
	}
	at, err := p.writableLast(l, embeddings)
	if err != nil {
		return nil, nil, err
	}
	changes, err := p.changes(frozen, at)
	if err != nil {
		return nil, nil, err
	}
	in, err := p.embedding(frozen, at)
	if err != nil {
		return nil, nil, err
	}
	last := &p.layers[at]
	c, w, err := last.quantize(l, embeddings, in, p.softmaxAfter(at))
	if err != nil {
		return nil, nil, fmt.Errorf("layer %q: %w", last.name, err)
	}
	file, _, err := p.write(append(changes, *c))
	if err != nil {
		return nil, nil, err
	}
	out, err := tflite.Parse(file)
	if err != nil {
		return nil, nil, err
	}
	if err := out.SetLabels(l.Labels); err != nil {
		return nil, nil, err
	}
	file, err = out.Encode()
	return file, w, err
}

// CheckRoom returns an error if a last layer with that many labels and inputs can't be
// written, whatever its weights. WriteLastLayer makes the same checks, but needs the
// embeddings of all photos first. Errors wrap ErrCompiled.
func (p *Pair) CheckRoom(labels, inputs int) error {
	at := p.last()
	if at < 0 {
		return fmt.Errorf("%w: it has no layer with weights", ErrCompiled)
	}
	last := &p.layers[at]
	if err := p.isClassifier(at); err != nil {
		return fmt.Errorf("layer %q, %v: %w: %w", last.name, last.kind, ErrCompiled, err)
	}
	switch f := last.filter; {
	case last.found != 1:
		return fmt.Errorf("layer %q: %w: its weights are at %d places in the parameters, want 1", last.name, ErrCompiled, last.found)
	case inputs != f.Inputs || f.Height*f.Width != 1 || f.Depthwise:
		return fmt.Errorf("layer %q: %w: it takes %d values, but the new layer takes %d", last.name, ErrCompiled, f.Inputs, inputs)
	case labels > f.Outputs:
		return fmt.Errorf("layer %q: %w: it has room for %s, not for %d", last.name, ErrCompiled, classes(f.Outputs), labels)
	case labels < f.Outputs && last.place.Form.NoBias && last.output().zero != 0:
		return fmt.Errorf("layer %q: %w: it has %d rows for %s, and no biases to keep spare rows below the others", last.name, ErrCompiled, f.Outputs, classes(labels))
	}
	return nil
}

// writableLast returns the index of the last layer with weights if l can be written into it.
func (p *Pair) writableLast(l *LastLayer, embeddings []Embedding) (int, error) {
	if err := p.CheckRoom(len(l.Labels), l.Inputs); err != nil {
		return 0, err
	}
	at := p.last()
	if len(embeddings) == 0 {
		return 0, fmt.Errorf("no embeddings to derive the quantization from: %w", ErrLayer)
	}
	for _, e := range embeddings {
		if len(e.Unit) != l.Inputs {
			return 0, fmt.Errorf("an embedding has %d values, but the layer takes %d: %w", len(e.Unit), l.Inputs, ErrLayer)
		}
	}
	return at, nil
}

// classes returns a number of classes as text, such as "2 classes".
func classes(n int) string {
	if n == 1 {
		return "1 class"
	}
	return fmt.Sprintf("%d classes", n)
}

// last returns the index of the last layer with weights, or -1 if there is none.
func (p *Pair) last() int {
	for i := len(p.layers) - 1; i >= 0; i-- {
		if p.layers[i].filter != nil {
			return i
		}
	}
	return -1
}

// isClassifier returns an error unless layer at computes the logits of the model's only output. at
// must be the last layer with weights.
func (p *Pair) isClassifier(at int) error {
	g := &p.uncompiled.Subgraphs[0]
	if p.onCPU(at) {
		return errors.New("the compiler left it to the CPU")
	}
	out := g.Operators[at].Outputs[0]
	if n := g.Tensors[out].NumElements(); n != p.layers[at].filter.Outputs {
		return fmt.Errorf("it is not the last layer of a classifier: its output has the shape %v", g.Tensors[out].Shape)
	}
	for i := at + 1; i < len(g.Operators); i++ {
		op := &g.Operators[i]
		switch kind := p.layers[i].kind; kind {
		case tflite.OpReshape, tflite.OpSqueeze, tflite.OpSoftmax, tflite.OpLogistic, tflite.OpQuantize, tflite.OpDequantize:
			if op.Inputs[0] != out {
				return fmt.Errorf("it is not the last layer of a classifier: %v does not read it", kind)
			}
		default:
			return fmt.Errorf("it is not the last layer of a classifier: %v follows it", kind)
		}
		out = op.Outputs[0]
	}
	if !slices.Equal(g.Outputs, []int32{out}) {
		return fmt.Errorf("the model has %d outputs, want only the scores", len(g.Outputs))
	}
	return nil
}

// embedding returns frozen's quantization of the embedding that layer at reads. It skips a RESHAPE
// that frozen lacks.
func (p *Pair) embedding(frozen *tflite.Model, at int) (quantization, error) {
	tensor := p.uncompiled.Subgraphs[0].Operators[at].Inputs[0]
	for next := at; ; {
		op, output := p.sources[tensor].op, p.sources[tensor].output
		if op < 0 || op >= next { // an input or a constant, or a cycle: operators are in execution order
			return quantization{}, fmt.Errorf("%w: it has no layer before the last", ErrCompiled)
		}
		if all := frozen.Subgraphs[0].Operators; op < len(all) {
			return quantizationOf(&frozen.Subgraphs[0].Tensors[all[op].Outputs[output]])
		}
		tensor, next = p.uncompiled.Subgraphs[0].Operators[op].Inputs[0], op
	}
}

// ReadLastLayer returns the last layer of a file that WriteLastLayer made with frozen. The layer
// computes the logits of embeddings that are not scaled to unit vectors.
func (p *Pair) ReadLastLayer(file []byte, frozen *tflite.Model) (*LastLayer, error) {
	m, f, stage, err := p.readLast(file)
	if err != nil {
		return nil, err
	}
	at := p.last()
	in, err := p.embedding(frozen, at)
	if err != nil {
		return nil, err
	}
	labels, err := m.Labels()
	if err != nil {
		return nil, err
	}
	if len(labels) > f.Outputs {
		return nil, fmt.Errorf("%w: it has room for %s, but the file has %d labels", ErrCompiled, classes(f.Outputs), len(labels))
	}
	l := &LastLayer{Labels: labels, Inputs: f.Inputs, Bias: make([]float32, len(labels))}
	for c := range labels {
		multiplier, zero := stage.Multiplier, stage.WeightZero
		if f.Multipliers != nil {
			multiplier, zero = f.Multipliers[c], f.Zeros[c]
		}
		step := float64(multiplier) * float64(p.layers[at].output().scale) // real number that one unit of the accumulator represents
		for _, w := range f.Weights[c*f.Inputs:][:f.Inputs] {
			l.Weights = append(l.Weights, float32(float64(int(w)-int(zero))*step/float64(in.scale)))
		}
		if f.Biases != nil {
			l.Bias[c] = float32(float64(f.Biases[c]) * step)
		}
	}
	return l, l.check()
}

// readLast reads the last layer of a file that was made from p.
func (p *Pair) readLast(file []byte) (m *tflite.Model, f *executable.Filter, stage executable.Stage, err error) {
	fail := func(err error) (*tflite.Model, *executable.Filter, executable.Stage, error) {
		return nil, nil, executable.Stage{}, err
	}
	at := p.last()
	if at < 0 || p.layers[at].found != 1 || len(p.layers[at].stages) == 0 {
		return fail(fmt.Errorf("%w: the place of its last layer is not known", ErrCompiled))
	}
	l := &p.layers[at]
	if m, err = tflite.Parse(file); err != nil {
		return fail(err)
	}
	i := slices.IndexFunc(m.Subgraphs[0].Operators, func(op tflite.Operator) bool { return op.CustomOptions != nil })
	if i < 0 {
		return fail(fmt.Errorf("%w: the file is not compiled for the Edge TPU", ErrCompiled))
	}
	program, err := executable.Parse(m.Subgraphs[0].Operators[i].CustomOptions)
	if err != nil {
		return fail(err)
	}
	if program.Caching == nil && !l.streamed || len(l.parameters(program)) != len(l.parameters(p.program)) ||
		!slices.EqualFunc(program.Main.Chunks, p.program.Main.Chunks, func(a, b executable.InstructionChunk) bool { return len(a.Bytes) == len(b.Bytes) }) {
		return fail(fmt.Errorf("%w: the file was not made from it", ErrCompiled))
	}
	read := *l.filter
	return m, &read, program.Main.Stage(l.stages[0]), read.Decode(l.parameters(program)[l.place.Offset:], l.place.Form)
}

// output returns the quantization of the layer's output.
func (l *layer) output() quantization { return l.around[len(l.around)-1] }
