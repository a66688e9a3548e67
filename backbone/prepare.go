package backbone

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// MaxArena is the most memory, in bytes, that the tensors of one Interpreter
// may take, and again its prepared weights.
const MaxArena = 1 << 30

// maxParts is the largest number of operators and of tensors in a model: far
// more than networks have, few enough that planning them takes no time.
const maxParts = 1 << 14

// A program is a model prepared to run: what clones share.
type program struct {
	graph           *tflite.Subgraph
	inputs, outputs []int32
	steps           []step
	places          []place // of the graph's tensors
	arenaSize       int
	scratchSize     int // of one thread
	weightSize      int // prepared, at most
	keptSize        int // of prepared weights and constants
}

// A step is an operator to run: a kernel with one output, or on an accelerator.
type step struct {
	kernel          kernels.Kernel
	parts           int
	accelerated     Accelerated
	inputs, outputs []int32
}

func prepare(m *tflite.Model, o InterpreterOptions) (*program, error) {
	if len(m.Subgraphs) == 0 {
		return nil, fmt.Errorf("model has no subgraph: %w", tflite.ErrCorrupt)
	}
	g := &m.Subgraphs[0]
	if len(g.Operators) > maxParts || len(g.Tensors) > maxParts || len(g.Inputs)+len(g.Outputs)+len(o.Outputs) > maxParts {
		return nil, fmt.Errorf("%d operators and %d tensors: %w", len(g.Operators), len(g.Tensors), ErrModelTooLarge)
	}
	p := &program{graph: g, inputs: g.Inputs, outputs: g.Outputs, places: make([]place, len(g.Tensors))}
	if o.Outputs != nil {
		p.outputs = slices.Clone(o.Outputs)
	}
	for _, t := range slices.Concat(p.inputs, p.outputs) {
		if t < 0 || int(t) >= len(g.Tensors) {
			return nil, fmt.Errorf("there is no tensor %d among %d: %w", t, len(g.Tensors), tflite.ErrCorrupt)
		}
	}
	needed, err := neededOperators(g, p.inputs, p.outputs)
	if err != nil {
		return nil, err
	}
	for i := range p.places {
		p.places[i].first, p.places[i].last = -1, -1
		if b := g.Tensors[i].Buffer; int(b) < len(m.Buffers) && len(m.Buffers[b]) > 0 && !slices.Contains(p.inputs, int32(i)) {
			p.places[i].constant = m.Buffers[b]
		}
	}
	for _, t := range p.inputs {
		if err := p.place(t, o.KeepAll); err != nil {
			return nil, err
		}
	}
	fail := func(i int, err error) (*program, error) {
		op := &g.Operators[i]
		return nil, fmt.Errorf("operator %d (%s), output %s: %w", i, operatorName(m, op), outputNames(g, op), err)
	}
	var pending []*operands // of the steps, nil for those that are ready
	for _, i := range needed {
		o, err := p.add(m, &g.Operators[i], o)
		if err != nil {
			return fail(i, err)
		}
		pending = append(pending, o)
	}
	if step, err := p.makeKernels(m, pending); err != nil {
		return fail(needed[step], err)
	}
	for _, t := range p.outputs {
		l := &p.places[t]
		if l.constant == nil && !l.planned {
			return nil, fmt.Errorf("output %s is computed by no operator: %w", tensorName(g, t), tflite.ErrCorrupt)
		}
		l.kept = true
	}
	p.release()
	return p, p.plan()
}

// release lets go of the model, whose bytes are those of its file: what is
// still needed of it is copied.
func (p *program) release() {
	p.graph = &tflite.Subgraph{Tensors: p.graph.Tensors}
	needed := make([]bool, len(p.places))
	for _, t := range p.outputs {
		needed[t] = true
	}
	for _, s := range p.steps {
		for _, t := range s.inputs {
			if t >= 0 {
				needed[t] = true
			}
		}
	}
	for i := range p.places {
		l := &p.places[i]
		if !needed[i] {
			l.constant = nil
		}
		l.constant = slices.Clone(l.constant)
		p.keptSize += len(l.constant)
	}
}

// neededOperators lists, in order, the operators that the outputs depend on.
func neededOperators(g *tflite.Subgraph, inputs, outputs []int32) ([]int, error) {
	wanted := make([]bool, len(g.Tensors))
	for _, t := range outputs {
		wanted[t] = true
	}
	var list []int
	for i := len(g.Operators) - 1; i >= 0; i-- {
		op := &g.Operators[i]
		use := false
		for _, t := range op.Outputs {
			if t < 0 || int(t) >= len(g.Tensors) {
				return nil, fmt.Errorf("operator %d writes tensor %d of %d: %w", i, t, len(g.Tensors), tflite.ErrCorrupt)
			}
			use = use || wanted[t] && !slices.Contains(inputs, t)
		}
		if !use {
			continue
		}
		list = append(list, i)
		for _, t := range op.Inputs {
			if t < -1 || int(t) >= len(g.Tensors) {
				return nil, fmt.Errorf("operator %d reads tensor %d of %d: %w", i, t, len(g.Tensors), tflite.ErrCorrupt)
			}
			if t >= 0 {
				wanted[t] = true
			}
		}
	}
	slices.Reverse(list)
	return list, nil
}

// place gives tensor t memory in the arena.
func (p *program) place(t int32, kept bool) error {
	tensor, err := kernelTensor(p.graph, t, nil)
	if err != nil {
		return err
	}
	l := &p.places[t]
	size := tensor.Type.Size()
	for _, d := range tensor.Shape {
		if d <= 0 {
			return fmt.Errorf("tensor %s has shape %v: %w", tensorName(p.graph, t), tensor.Shape, kernels.ErrInvalid)
		}
		if d > MaxArena/size {
			return fmt.Errorf("tensor %s of shape %v: %w", tensorName(p.graph, t), tensor.Shape, ErrModelTooLarge)
		}
		size *= d
	}
	l.size, l.planned = size, true
	l.kept = l.kept || kept
	return nil
}

// add makes op the next step. The kernel is still to be made of the operands,
// unless there are none.
func (p *program) add(m *tflite.Model, op *tflite.Operator, options InterpreterOptions) (*operands, error) {
	if err := checkOperator(m, op); err != nil {
		return nil, err
	}
	if m.OperatorCodes[op.Opcode].Builtin == tflite.OpCustom {
		return nil, p.addAccelerated(op, options)
	}
	o := &operands{op: op, arithmetic: options.Arithmetic}
	for _, t := range op.Inputs {
		if t < 0 {
			o.in = append(o.in, nil)
			continue
		}
		tensor, err := p.read(t)
		if err != nil {
			return nil, err
		}
		o.in = append(o.in, tensor)
	}
	var err error
	if o.out, err = p.write(op.Outputs[0], options.KeepAll); err != nil {
		return nil, err
	}
	if len(o.in) > 1 && o.in[1] != nil && len(o.in[1].Shape) > 0 && o.in[1].Shape[0] > 0 {
		// Operators may share one constant, so that a small file could ask
		// for any amount of prepared weights. Packing takes up to 3 bytes for a
		// weight, in groups of 6 channels or more, and up to 64 for a channel.
		n, channels := len(o.in[1].Data), o.in[1].Shape[0]
		p.weightSize += 3*n + 16*(n/channels) + 64*channels
		if p.weightSize > MaxArena {
			return nil, fmt.Errorf("the weights up to here take more than %d bytes: %w", MaxArena, ErrModelTooLarge)
		}
	}
	p.steps = append(p.steps, step{outputs: op.Outputs})
	return o, nil
}

// makeKernels makes the kernels of the steps on all cores, since packing weights
// takes most of the time of loading a model: those at the end, which tend to be
// the largest, first. With an error it returns the first step that has one.
func (p *program) makeKernels(m *tflite.Model, pending []*operands) (int, error) {
	errs := make([]error, len(pending))
	var left atomic.Int64
	left.Store(int64(len(pending)))
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(pending)) {
		wg.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				if o, s := pending[i], &p.steps[i]; o != nil {
					s.kernel, s.inputs, errs[i] = o.kernel(m)
				}
			}
		})
	}
	wg.Wait()
	for i := range p.steps {
		if err := errs[i]; errors.Is(err, kernels.ErrUnsupported) {
			return i, fmt.Errorf("%w: %w", ErrUnsupportedOperator, err)
		} else if err != nil {
			return i, err
		}
		if s := &p.steps[i]; s.kernel != nil {
			s.parts = s.kernel.Parts()
			p.scratchSize = max(p.scratchSize, s.kernel.Scratch())
			p.keptSize += kernels.Bytes(s.kernel)
		}
	}
	return 0, nil
}

// read describes tensor t, which the next step reads.
func (p *program) read(t int32) (*kernels.Tensor, error) {
	l := &p.places[t]
	if l.constant == nil && !l.planned {
		return nil, fmt.Errorf("input %s is not computed before it: %w", tensorName(p.graph, t), tflite.ErrCorrupt)
	}
	if p.graph.Tensors[t].IsVariable {
		return nil, fmt.Errorf("input %s is a variable: %w", tensorName(p.graph, t), ErrUnsupportedOperator)
	}
	l.last = len(p.steps)
	return kernelTensor(p.graph, t, l.constant)
}

// write describes tensor t, which the next step writes, and gives it memory.
func (p *program) write(t int32, kept bool) (*kernels.Tensor, error) {
	l := &p.places[t]
	if l.planned || l.constant != nil {
		return nil, fmt.Errorf("tensor %s is written twice: %w", tensorName(p.graph, t), tflite.ErrCorrupt)
	}
	l.first, l.last = len(p.steps), len(p.steps)
	if err := p.place(t, kept); err != nil {
		return nil, err
	}
	return kernelTensor(p.graph, t, nil)
}

// kernelTensor describes tensor t of g to the kernels.
func kernelTensor(g *tflite.Subgraph, t int32, data []byte) (*kernels.Tensor, error) {
	source := &g.Tensors[t]
	k := &kernels.Tensor{Data: data, Shape: make([]int, len(source.Shape))}
	for i, d := range source.Shape {
		k.Shape[i] = int(d)
	}
	switch source.Type {
	case tflite.TypeFloat32:
		k.Type = kernels.Float32
	case tflite.TypeInt32:
		k.Type = kernels.Int32
	case tflite.TypeInt64:
		k.Type = kernels.Int64
	case tflite.TypeUint8:
		k.Type = kernels.Uint8
	case tflite.TypeInt8:
		k.Type = kernels.Int8
	default:
		return nil, fmt.Errorf("tensor %s is %v: %w", tensorName(g, t), source.Type, ErrUnsupportedOperator)
	}
	if q := source.Quantization; q != nil {
		k.Scale, k.ZeroPoint, k.Axis = q.Scale, q.ZeroPoint, int(q.Dimension)
	}
	return k, nil
}

func describe(g *tflite.Subgraph, t int32) TensorInfo {
	source := &g.Tensors[t]
	info := TensorInfo{Name: source.Name, Index: t, Type: source.Type, Shape: slices.Clone(source.Shape)}
	if q := source.Quantization; q != nil {
		info.Scale, info.ZeroPoint = slices.Clone(q.Scale), slices.Clone(q.ZeroPoint)
	}
	return info
}

func tensorName(g *tflite.Subgraph, t int32) string {
	return fmt.Sprintf("%d (%q)", t, g.Tensors[t].Name)
}

func outputNames(g *tflite.Subgraph, op *tflite.Operator) string {
	names := ""
	for i, t := range op.Outputs {
		if i > 0 {
			names += ", "
		}
		names += tensorName(g, t)
	}
	return names
}

// operatorName is the builtin operator or the custom operator's own name.
func operatorName(m *tflite.Model, op *tflite.Operator) string {
	if int(op.Opcode) >= len(m.OperatorCodes) {
		return fmt.Sprintf("operator code %d", op.Opcode)
	}
	c := &m.OperatorCodes[op.Opcode]
	if c.Builtin == tflite.OpCustom {
		return c.CustomCode
	}
	return c.Builtin.String()
}
