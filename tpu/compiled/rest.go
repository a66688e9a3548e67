package compiled

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// matchRest finds which operators of the twin the compiler left to the CPU: those that
// write the tensors, by name, that an operator of the template of the same kind writes.
func (t *Pair) matchRest() {
	t.rest = map[int]int{}
	twin, g := &t.twin.Subgraphs[0], &t.model.Subgraphs[0]
	writer := map[string]int{}
	for i, op := range twin.Operators {
		for _, o := range op.Outputs {
			writer[twin.Tensors[o].Name] = i
		}
	}
	for k, op := range g.Operators {
		if k == t.operator || len(op.Outputs) == 0 {
			continue
		}
		i, ok := writer[g.Tensors[op.Outputs[0]].Name]
		if !ok {
			continue
		}
		as := twin.Operators[i]
		if t.twin.OperatorCodes[as.Opcode].Builtin == t.model.OperatorCodes[op.Opcode].Builtin && len(as.Inputs) == len(op.Inputs) && len(as.Outputs) == len(op.Outputs) {
			t.rest[i] = k
		}
	}
}

// onCPU reports whether the compiler left operator i of the twin to the CPU.
func (t *Pair) onCPU(i int) bool {
	_, ok := t.rest[i]
	return ok
}

// rewriteRest gives the operators on the CPU of out, which was written into this
// template, the constants and scales of m, and reports whether anything is another.
func (t *Pair) rewriteRest(out, m *tflite.Model) (changed bool, err error) {
	twin, g, from := &t.twin.Subgraphs[0], &out.Subgraphs[0], &m.Subgraphs[0]
	if n := len(g.Operators) - 1; n != len(t.rest) {
		return false, fmt.Errorf("%w: of its %d operators on the CPU only %d are the uncompiled model's", ErrCompiled, n, len(t.rest))
	}
	for i, k := range t.rest {
		was, is, to := &twin.Operators[i], &from.Operators[i], &g.Operators[k]
		for j, into := range slices.Concat(to.Inputs, to.Outputs) {
			a, b := slices.Concat(was.Inputs, was.Outputs)[j], slices.Concat(is.Inputs, is.Outputs)[j]
			if into < 0 || a < 0 || b < 0 {
				continue
			}
			if c := m.TensorBytes(0, b); c != nil && !bytes.Equal(c, t.twin.TensorBytes(0, a)) {
				g.Tensors[into].Buffer, changed = out.AddBuffer(c), true
			}
			if requantise(&g.Tensors[into], &twin.Tensors[a], &from.Tensors[b]) {
				changed = true
			}
		}
	}
	return changed, nil
}

// requantise gives a tensor the quantisation of one in the new model, if that is
// another than the twin's.
func requantise(tensor, twin, is *tflite.Tensor) bool {
	if is.Quantization == nil || twin.Quantization == nil ||
		slices.Equal(is.Quantization.Scale, twin.Quantization.Scale) && slices.Equal(is.Quantization.ZeroPoint, twin.Quantization.ZeroPoint) {
		return false
	}
	q := tflite.Quantization{}
	if tensor.Quantization != nil {
		q = *tensor.Quantization
	}
	q.Scale, q.ZeroPoint, q.Dimension = slices.Clone(is.Quantization.Scale), slices.Clone(is.Quantization.ZeroPoint), is.Quantization.Dimension
	tensor.Quantization = &q
	return true
}
