package compiled

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Uncompiled returns the uncompiled model of file, which WriteLastLayer made with frozen. It has
// frozen's layers up to the embedding, and the last layer of the file. In the Edge TPU's
// arithmetic, it produces the same results as a device that runs the file.
//
// Its tensors have the names of the pair's uncompiled model. embedding is the index of the tensor
// that the last layer reads, before any RESHAPE.
func (p *Pair) Uncompiled(file []byte, frozen *tflite.Model) (m *tflite.Model, embedding int32, err error) {
	fail := func(err error) (*tflite.Model, int32, error) {
		return nil, 0, fmt.Errorf("read the file made from the compiled model: %w", err)
	}
	_, f, stage, err := p.readLast(file)
	if err != nil {
		return fail(err)
	}
	clone := *p.uncompiled
	clone.Subgraphs = []tflite.Subgraph{p.uncompiled.Subgraphs[0]}
	clone.Buffers = slices.Clone(clone.Buffers)
	m = &clone
	g, from := &m.Subgraphs[0], &frozen.Subgraphs[0]
	g.Tensors = slices.Clone(g.Tensors)
	l := &p.layers[p.last()]
	input := g.Operators[l.operator].Inputs[0]
	embedding = input
	last := p.sources[embedding].op
	for last >= len(from.Operators) { // a RESHAPE that frozen lacks
		next := last
		embedding = g.Operators[last].Inputs[0]
		if last = p.sources[embedding].op; last >= next { // a cycle: operators are in execution order
			last = -1
		}
	}
	if last < 0 {
		return fail(fmt.Errorf("%w: it has no layer before the last", ErrCompiled))
	}
	for i := range last + 1 {
		to, of := &g.Operators[i], &from.Operators[i]
		if len(to.Inputs) != len(of.Inputs) || len(to.Outputs) != len(of.Outputs) {
			return fail(fmt.Errorf("layer %q: %w: it has other inputs in the frozen model", p.layers[i].name, ErrCompiled))
		}
		fromTensors := tensorsOf(of)
		for j, t := range tensorsOf(to) {
			was := fromTensors[j]
			if t < 0 || was < 0 {
				continue
			}
			tensor := &g.Tensors[t]
			tensor.Quantization = from.Tensors[was].Quantization
			if c := frozen.TensorBytes(0, was); c != nil {
				tensor.Buffer = m.AddBuffer(c)
			}
		}
	}
	g.Tensors[input].Quantization = g.Tensors[embedding].Quantization
	return m, embedding, l.setConstants(m, f, stage)
}

// setConstants sets the weights, biases and quantization of layer l of m to the values in f and
// stage.
func (l *placed) setConstants(m *tflite.Model, f *executable.Filter, stage executable.Stage) error {
	g := &m.Subgraphs[0]
	op := &g.Operators[l.operator]
	in, out := g.Tensors[op.Inputs[0]].Quantization.Scale[0], g.Tensors[op.Outputs[0]].Quantization.Scale[0]
	weights := &g.Tensors[op.Inputs[1]]
	codes := make([]byte, len(f.Weights))
	for i, c := range f.Weights {
		codes[i] = c ^ l.signBit()
	}
	weights.Buffer = m.AddBuffer(codes)
	multipliers, zeros := f.Multipliers, f.Zeros
	if multipliers == nil {
		multipliers, zeros = []float32{stage.Multiplier}, []byte{stage.WeightZero}
	}
	q := &tflite.Quantization{Dimension: weights.Quantization.Dimension}
	biasQuantization := &tflite.Quantization{}
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
		biasQuantization.Scale, biasQuantization.ZeroPoint = append(biasQuantization.Scale, in*scale), append(biasQuantization.ZeroPoint, 0)
	}
	weights.Quantization = q
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 && f.Biases != nil {
		var b []byte
		for _, v := range f.Biases {
			b = binary.LittleEndian.AppendUint32(b, uint32(v))
		}
		bias := &g.Tensors[op.Inputs[2]]
		bias.Buffer, bias.Quantization = m.AddBuffer(b), biasQuantization
	}
	return nil
}

// weightScale returns a weight scale that the compiler would convert to the given multiplier.
func weightScale(in, out, multiplier float32) (float32, error) {
	scale := multiplier * out / in
	for range 100 {
		got := executable.Multiplier(in, scale, out)
		if got == multiplier {
			return scale, nil
		}
		toward := float32(math.Inf(1))
		if got > multiplier {
			toward = 0
		}
		scale = math.Nextafter32(scale, toward)
	}
	return 0, fmt.Errorf("%w: no weight scale produces the multiplier %v", ErrCompiled, multiplier)
}
