package backbone

import (
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// passUnsigned avoids flipping the upper bits of int8 codes between steps that compute with
// unsigned bytes.
func (p *program) passUnsigned() {
	reader, readers := make([]int, len(p.allocations)), make([]int, len(p.allocations))
	for i, s := range p.steps {
		if s.kernel == nil {
			return
		}
		for _, t := range s.inputs {
			if t >= 0 {
				reader[t] = i
				readers[t]++
			}
		}
	}
	var skipped []int
	for i := range p.steps {
		t := p.steps[i].outputs[0]
		a := &p.allocations[t]
		if a.kept || readers[t] != 1 || p.graph.Tensors[t].Type != tflite.TypeInt8 {
			continue
		}
		next := &p.steps[reader[t]]
		if next.inputs[0] != t {
			continue
		}
		if !kernels.SkipFlip(p.steps[i].kernel, next.kernel) {
			kernels.PassUnsigned(p.steps[i].kernel, next.kernel)
			continue
		}
		next.inputs = slices.Clone(next.inputs) // they may be the operator's
		next.inputs[0] = p.steps[i].inputs[0]
		from := &p.allocations[next.inputs[0]]
		from.last = max(from.last, a.last)
		a.inArena = false
		skipped = append(skipped, i)
	}
	slices.Reverse(skipped)
	for _, i := range skipped {
		p.steps = slices.Delete(p.steps, i, i+1)
		for t := range p.allocations {
			a := &p.allocations[t]
			if a.first > i {
				a.first--
			}
			if a.last >= i {
				a.last--
			}
		}
	}
}
