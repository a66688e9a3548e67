package compiled

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// findCPUOps finds the operators that the compiler left to the CPU. It matches operators
// of the two models by their kind and the name of their output.
func (p *Pair) findCPUOps() {
	p.cpuOps = map[int]int{}
	from, to := &p.uncompiled.Subgraphs[0], &p.compiled.Subgraphs[0]
	writer := map[string]int{}
	for i, op := range from.Operators {
		for _, o := range op.Outputs {
			writer[from.Tensors[o].Name] = i
		}
	}
	for k, op := range to.Operators {
		if k == p.operator || len(op.Outputs) == 0 {
			continue
		}
		i, ok := writer[to.Tensors[op.Outputs[0]].Name]
		if !ok {
			continue
		}
		was := from.Operators[i]
		if p.uncompiled.OperatorCodes[was.Opcode].Builtin == p.compiled.OperatorCodes[op.Opcode].Builtin && len(was.Inputs) == len(op.Inputs) && len(was.Outputs) == len(op.Outputs) {
			p.cpuOps[i] = k
		}
	}
}

// onCPU reports whether the compiler left operator i of the uncompiled model to the CPU.
func (p *Pair) onCPU(i int) bool {
	_, ok := p.cpuOps[i]
	return ok
}

// rewriteCPUOps copies m's constants and quantization to the operators on the CPU in out, a copy
// of the compiled model. It reports whether anything changed.
func (p *Pair) rewriteCPUOps(out, m *tflite.Model) (changed bool, err error) {
	old, from, to := &p.uncompiled.Subgraphs[0], &m.Subgraphs[0], &out.Subgraphs[0]
	if n := len(to.Operators) - 1; n != len(p.cpuOps) {
		return false, fmt.Errorf("%w: the uncompiled model has only %d of its %d operators on the CPU", ErrCompiled, len(p.cpuOps), n)
	}
	for i, k := range p.cpuOps {
		oldTensors, fromTensors := tensorsOf(&old.Operators[i]), tensorsOf(&from.Operators[i])
		for j, t := range tensorsOf(&to.Operators[k]) {
			a, b := oldTensors[j], fromTensors[j]
			if t < 0 || a < 0 || b < 0 {
				continue
			}
			if c := m.TensorBytes(0, b); c != nil && !bytes.Equal(c, p.uncompiled.TensorBytes(0, a)) {
				to.Tensors[t].Buffer, changed = out.AddBuffer(c), true
			}
			if requantize(&to.Tensors[t], &old.Tensors[a], &from.Tensors[b]) {
				changed = true
			}
		}
	}
	return changed, nil
}

// tensorsOf lists the inputs and then the outputs of an operator.
func tensorsOf(op *tflite.Operator) []int32 { return slices.Concat(op.Inputs, op.Outputs) }

// requantize compares the quantization of before and after. If it differs, requantize copies the
// quantization of after to tensor and returns true.
func requantize(tensor, before, after *tflite.Tensor) bool {
	if after.Quantization == nil || before.Quantization == nil ||
		slices.Equal(after.Quantization.Scale, before.Quantization.Scale) && slices.Equal(after.Quantization.ZeroPoint, before.Quantization.ZeroPoint) {
		return false
	}
	q := tflite.Quantization{}
	if tensor.Quantization != nil {
		q = *tensor.Quantization
	}
	q.Scale, q.ZeroPoint, q.Dimension = slices.Clone(after.Quantization.Scale), slices.Clone(after.Quantization.ZeroPoint), after.Quantization.Dimension
	tensor.Quantization = &q
	return true
}
