package compiled

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Uncompiled returns the model that a file which [Template.WriteHead] wrote with frozen
// would have been compiled from: frozen's layers up to the embedding, and the last
// layer as the file's bytes have it. Its tensors are named as the twin's; embedding is
// the one that its last layer reads, before any reshaping. In the Edge TPU's arithmetic
// it answers what the device answers with the file.
func (t *Pair) Uncompiled(file []byte, frozen *tflite.Model) (m *tflite.Model, embedding int32, err error) {
	fail := func(err error) (*tflite.Model, int32, error) {
		return nil, 0, fmt.Errorf("read what was written into the template: %w", err)
	}
	_, f, stage, err := t.lastLayer(file)
	if err != nil {
		return fail(err)
	}
	twin := *t.twin
	twin.Subgraphs = []tflite.Subgraph{t.twin.Subgraphs[0]}
	twin.Buffers = slices.Clone(twin.Buffers)
	m = &twin
	g, from := &m.Subgraphs[0], &frozen.Subgraphs[0]
	g.Tensors = slices.Clone(g.Tensors)
	l := &t.layers[t.last()]
	at := g.Operators[l.operator].Inputs[0]
	embedding = at
	for op, _ := source(m, at); op >= len(from.Operators); op, _ = source(m, embedding) { // a RESHAPE that frozen has not
		embedding = g.Operators[op].Inputs[0]
	}
	last, _ := source(m, embedding)
	if last < 0 || last >= len(from.Operators) {
		return fail(fmt.Errorf("%w: no layer is before its last", ErrCompiled))
	}
	for i := range last + 1 {
		to, of := &g.Operators[i], &from.Operators[i]
		if len(to.Inputs) != len(of.Inputs) || len(to.Outputs) != len(of.Outputs) {
			return fail(fmt.Errorf("layer %q: %w: it has other inputs than that of the frozen model", t.layers[i].name, ErrCompiled))
		}
		for j, into := range append(slices.Clone(to.Inputs), to.Outputs...) {
			was := append(slices.Clone(of.Inputs), of.Outputs...)[j]
			if into < 0 || was < 0 {
				continue
			}
			tensor := &g.Tensors[into]
			tensor.Quantization = from.Tensors[was].Quantization
			if c := frozen.TensorBytes(0, was); c != nil {
				tensor.Buffer = m.AddBuffer(c)
			}
		}
	}
	g.Tensors[at].Quantization = g.Tensors[embedding].Quantization
	return m, embedding, l.putBack(m, f, stage)
}

// lastLayer reads the last layer out of a file that was written into t.
func (t *Pair) lastLayer(file []byte) (m *tflite.Model, f *executable.Filter, stage executable.Stage, err error) {
	fail := func(err error) (*tflite.Model, *executable.Filter, executable.Stage, error) {
		return nil, nil, executable.Stage{}, err
	}
	at := t.last()
	if at < 0 || t.layers[at].found != 1 || len(t.layers[at].stages) == 0 {
		return fail(fmt.Errorf("%w: where its last layer is isn't known", ErrCompiled))
	}
	l := &t.layers[at]
	if m, err = tflite.Parse(file); err != nil {
		return fail(err)
	}
	i := slices.IndexFunc(m.Subgraphs[0].Operators, func(op tflite.Operator) bool { return op.CustomOptions != nil })
	if i < 0 {
		return fail(fmt.Errorf("%w: the file is not compiled", ErrCompiled))
	}
	p, err := executable.Parse(m.Subgraphs[0].Operators[i].CustomOptions)
	if err != nil {
		return fail(err)
	}
	if p.Caching == nil && !l.streamed || len(l.parameters(p)) != len(l.parameters(t.program)) ||
		!slices.EqualFunc(p.Main.Chunks, t.program.Main.Chunks, func(a, b executable.InstructionChunk) bool { return len(a.Bytes) == len(b.Bytes) }) {
		return fail(fmt.Errorf("%w: the file was not written into it", ErrCompiled))
	}
	old := *l.layer.filter
	return m, &old, p.Main.Stage(l.stages[0]), old.Decode(l.parameters(p)[l.place.Offset:], l.place.Form)
}

// putBack makes f the constants of layer l of m, the twin.
func (l *placed) putBack(m *tflite.Model, f *executable.Filter, stage executable.Stage) error {
	g := &m.Subgraphs[0]
	op := &g.Operators[l.operator]
	in, out := g.Tensors[op.Inputs[0]].Quantization.Scale[0], g.Tensors[op.Outputs[0]].Quantization.Scale[0]
	flip := byte(0)
	if l.signed {
		flip = 0x80
	}
	weights := &g.Tensors[op.Inputs[1]]
	codes := make([]byte, len(f.Weights))
	for i, c := range f.Weights {
		codes[i] = c ^ flip
	}
	weights.Buffer = m.AddBuffer(codes)
	multipliers, zeros := f.Multipliers, f.Zeros
	if multipliers == nil {
		multipliers, zeros = []float32{stage.Multiplier}, []byte{stage.WeightZero}
	}
	q := &tflite.Quantization{Dimension: weights.Quantization.Dimension}
	biases := &tflite.Quantization{}
	for i, multiplier := range multipliers {
		scale, err := weightScale(in, out, multiplier)
		if err != nil {
			return fmt.Errorf("layer %q: %w", l.name, err)
		}
		zero := int64(zeros[i])
		if l.signed {
			zero -= 128
		}
		q.Scale, q.ZeroPoint = append(q.Scale, scale), append(q.ZeroPoint, zero)
		biases.Scale, biases.ZeroPoint = append(biases.Scale, in*scale), append(biases.ZeroPoint, 0)
	}
	weights.Quantization = q
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 && f.Biases != nil {
		var b []byte
		for _, v := range f.Biases {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
		bias := &g.Tensors[op.Inputs[2]]
		bias.Buffer, bias.Quantization = m.AddBuffer(b), biases
	}
	return nil
}

// weightScale finds a scale of weights from which the compiler would have made that
// multiplier.
func weightScale(in, out, multiplier float32) (float32, error) {
	scale := multiplier * out / in
	for range 100 {
		got := executable.Multiplier(in, scale, out)
		if got == multiplier {
			return scale, nil
		}
		towards := float32(math.Inf(1))
		if got > multiplier {
			towards = 0
		}
		scale = math.Nextafter32(scale, towards)
	}
	return 0, fmt.Errorf("%w: no scale of weights gives the multiplier %v", ErrCompiled, multiplier)
}
