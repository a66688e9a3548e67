package backbone

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// MaxArena is the maximum number of bytes for the tensors of one Interpreter. The same
// limit applies to its prepared weights. MaxArena is 256 MiB on 32-bit processors, so
// that everything fits into the address space.
const MaxArena = 1 << (28 + 2*(^uint(0)>>63))

// maxParts is the maximum number of operators, and of tensors, in a model. The limit
// keeps memory planning fast. Real networks have far fewer.
const maxParts = 1 << 14

// A kernel can't be interrupted, so these constants limit the time of one call to a fraction of a
// second, and of the smallest possible call to a few seconds. Real networks stay far below both.
const (
	maxPiece = 1 << 28 // operations in one call of a kernel, unless one part takes more
	maxPart  = 1 << 32 // operations in one part of a kernel
)

// A program is a model prepared to run. Clones of an Interpreter share it.
type program struct {
	graph           *tflite.Subgraph
	ownTensors      bool // graph.Tensors is a copy, whose shapes may be changed
	inputs, outputs []int32
	steps           []step
	allocations     []allocation // one for each tensor of the graph
	arenaSize       int
	scratchSize     int   // bytes for each thread
	weightSize      int64 // upper bound for the prepared weights, in bytes
	keptSize        int   // bytes of prepared weights and constants
}

// A step runs a kernel, which computes one or all outputs of an operator, or a compiled
// operator.
type step struct {
	kernel          kernels.Kernel
	checker         kernels.Checker // kernel, if it checks its inputs; otherwise nil
	parts           int             // number of the kernel's parts
	piece           int             // number of parts that run between two checks of the context
	compiled        CompiledOperator
	inputs, outputs []int32
}

// newProgram prepares the operators of m that the outputs in o need.
func newProgram(m *tflite.Model, o InterpreterOptions) (*program, error) {
	if len(m.Subgraphs) == 0 {
		return nil, fmt.Errorf("model has no subgraph: %w", tflite.ErrCorrupt)
	}
	g := &m.Subgraphs[0]
	if len(g.Operators) > maxParts || len(g.Tensors) > maxParts || len(g.Inputs)+len(g.Outputs)+len(o.Outputs) > maxParts {
		return nil, fmt.Errorf("%d operators and %d tensors: %w", len(g.Operators), len(g.Tensors), ErrModelTooLarge)
	}
	p := &program{graph: g, inputs: g.Inputs, outputs: g.Outputs}
	if o.Outputs != nil {
		p.outputs = slices.Clone(o.Outputs)
	}
	for _, t := range slices.Concat(p.inputs, p.outputs) {
		if t < 0 || int(t) >= len(g.Tensors) {
			return nil, fmt.Errorf("no tensor %d: the model has %d: %w", t, len(g.Tensors), tflite.ErrCorrupt)
		}
	}
	needed, err := neededOperators(g, p.inputs, p.outputs)
	if err != nil {
		return nil, err
	}
	if err := p.initAllocations(m, o.KeepAll); err != nil {
		return nil, err
	}
	if err := p.addSteps(m, needed, o); err != nil {
		return nil, err
	}
	for _, t := range p.outputs {
		a := &p.allocations[t]
		if err := p.checkConstant(t); err != nil {
			return nil, err
		}
		if a.constant == nil && !a.inArena {
			return nil, fmt.Errorf("no operator computes output %s: %w", tensorName(g, t), tflite.ErrCorrupt)
		}
		a.kept = true
	}
	if !o.KeepAll {
		p.passUnsigned()
	}
	if err := p.detach(); err != nil {
		return nil, err
	}
	return p, p.layOutArena()
}

// initAllocations records the constants and reserves memory for the inputs.
func (p *program) initAllocations(m *tflite.Model, keepAll bool) error {
	p.allocations = make([]allocation, len(p.graph.Tensors))
	for i := range p.allocations {
		a := &p.allocations[i]
		a.first, a.last = -1, -1
		if b := p.graph.Tensors[i].Buffer; int(b) < len(m.Buffers) && len(m.Buffers[b]) > 0 {
			a.constant = m.Buffers[b]
		}
	}
	for _, t := range p.inputs {
		p.allocations[t].constant = nil
		if err := p.allocate(t, keepAll); err != nil {
			return err
		}
	}
	return nil
}

// addSteps appends a step for each of the needed operators.
func (p *program) addSteps(m *tflite.Model, needed []int, o InterpreterOptions) error {
	fail := func(i int, err error) error {
		op := &p.graph.Operators[i]
		return fmt.Errorf("operator %d (%s), output %s: %w", i, operatorName(m, op), outputNames(p.graph, op), err)
	}
	var builders []*kernelBuilder // one for each step, nil for compiled operators
	var operators []int           // index of each step's operator
	for _, i := range needed {
		op := &p.graph.Operators[i]
		if folded, err := p.fold(m, i); err != nil {
			return fail(i, err)
		} else if folded {
			continue
		}
		list, err := p.addOperator(m, op, o)
		if err != nil {
			return fail(i, err)
		}
		for _, b := range list {
			builders, operators = append(builders, b), append(operators, i)
		}
	}
	if step, err := p.buildKernels(m, builders); err != nil {
		return fail(operators[step], err)
	}
	return nil
}

// fold reports whether operator i is a DEQUANTIZE of a float16 constant. If so, it makes
// the operator's output a constant.
func (p *program) fold(m *tflite.Model, i int) (bool, error) {
	op := &p.graph.Operators[i]
	if !m.IsWidening(i) || p.allocations[op.Inputs[0]].constant == nil {
		return false, nil
	}
	from, to := op.Inputs[0], op.Outputs[0]
	if !slices.Equal(p.graph.Tensors[from].Shape, p.graph.Tensors[to].Shape) || p.graph.Tensors[to].Type != tflite.TypeFloat32 {
		return false, fmt.Errorf("cannot widen tensor %s to tensor %s: %w", tensorName(p.graph, from), tensorName(p.graph, to), kernels.ErrInvalid)
	}
	a := &p.allocations[to]
	if a.inArena || a.constant != nil {
		return false, fmt.Errorf("tensor %s is written twice: %w", tensorName(p.graph, to), tflite.ErrCorrupt)
	}
	half := p.allocations[from].constant
	if p.weightSize += 2 * int64(len(half)); p.weightSize > MaxArena {
		return false, fmt.Errorf("the weights up to this operator take more than %d bytes: %w", MaxArena, ErrModelTooLarge)
	}
	a.constant = tflite.WidenFloat16(half)
	return true, nil
}

// detach copies the constants that are still needed and drops the rest of the model,
// so that its file can be freed. Tensors that share a buffer share its copy: otherwise a
// small file could need any amount of memory.
func (p *program) detach() error {
	p.graph = &tflite.Subgraph{Tensors: p.graph.Tensors}
	needed := make([]bool, len(p.allocations))
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
	type span struct {
		first *byte
		size  int
	}
	copies, total := make(map[span][]byte), 0
	for i := range p.allocations {
		a := &p.allocations[i]
		if !needed[i] || len(a.constant) == 0 {
			a.constant = nil
			continue
		}
		at := span{&a.constant[0], len(a.constant)}
		if copies[at] == nil {
			if total += at.size; total > MaxArena {
				return fmt.Errorf("the constants take more than %d bytes: %w", MaxArena, ErrModelTooLarge)
			}
			copies[at] = slices.Clone(a.constant)
		}
		a.constant = copies[at]
	}
	p.keptSize += total
	return nil
}

// neededOperators returns, in order, the operators that the outputs depend on.
func neededOperators(g *tflite.Subgraph, inputs, outputs []int32) ([]int, error) {
	wanted, given := make([]bool, len(g.Tensors)), make([]bool, len(g.Tensors))
	for _, t := range outputs {
		wanted[t] = true
	}
	for _, t := range inputs {
		given[t] = true
	}
	var list []int
	for i := len(g.Operators) - 1; i >= 0; i-- {
		op := &g.Operators[i]
		use := false
		for _, t := range op.Outputs {
			if t < 0 || int(t) >= len(g.Tensors) {
				return nil, fmt.Errorf("operator %d writes tensor %d, but the model has %d tensors: %w", i, t, len(g.Tensors), tflite.ErrCorrupt)
			}
			use = use || wanted[t] && !given[t]
		}
		if !use {
			continue
		}
		list = append(list, i)
		for _, t := range op.Inputs {
			if t < -1 || int(t) >= len(g.Tensors) {
				return nil, fmt.Errorf("operator %d reads tensor %d, but the model has %d tensors: %w", i, t, len(g.Tensors), tflite.ErrCorrupt)
			}
			if t >= 0 {
				wanted[t] = true
			}
		}
	}
	slices.Reverse(list)
	return list, nil
}

// addOperator appends the steps of op. It returns the builders of their kernels, or nil
// instead of a builder if op is compiled.
func (p *program) addOperator(m *tflite.Model, op *tflite.Operator, o InterpreterOptions) ([]*kernelBuilder, error) {
	if err := checkOperator(m, op); err != nil {
		return nil, err
	}
	b := kernelBuilder{op: op, arithmetic: o.Arithmetic}
	code := &m.OperatorCodes[op.Opcode]
	var err error
	switch {
	case isDetection(code):
		err = p.prepareDetection(&b)
	case code.Builtin == tflite.OpUnidirectionalSequenceLSTM:
		err = p.prepareLSTM(&b)
	case code.Builtin == tflite.OpCustom:
		return []*kernelBuilder{nil}, p.addCompiled(op, o)
	}
	if err != nil {
		return nil, err
	}
	if !recipes[code.Builtin].several {
		return []*kernelBuilder{&b}, p.addStep(&b, op.Outputs, o)
	}
	var list []*kernelBuilder
	for i := range op.Outputs {
		one := b
		one.output = i
		if err := p.addStep(&one, op.Outputs[i:i+1], o); err != nil {
			return nil, err
		}
		list = append(list, &one)
	}
	return list, nil
}

// addStep appends the step of b's kernel, which computes the given outputs.
func (p *program) addStep(b *kernelBuilder, outputs []int32, o InterpreterOptions) error {
	for _, t := range b.op.Inputs {
		if t < 0 {
			b.in = append(b.in, nil)
			continue
		}
		tensor, err := p.readTensor(t)
		if err != nil {
			return err
		}
		b.in = append(b.in, tensor)
	}
	for _, t := range outputs {
		tensor, err := p.writeTensor(t, o.KeepAll)
		if err != nil {
			return err
		}
		b.outs = append(b.outs, tensor)
	}
	b.out = b.outs[0]
	if len(b.in) > 1 && b.in[1] != nil && len(b.in[1].Shape) > 0 && b.in[1].Shape[0] > 0 {
		// Operators may share a constant, so without a limit a small file could require
		// any amount of memory for prepared weights. Packed weights take up to 3 bytes
		// per weight, plus padding, and up to 64 bytes per channel.
		n, channels := int64(len(b.in[1].Data)), int64(b.in[1].Shape[0])
		p.weightSize += 3*n + 16*(n/channels) + 64*channels
		if p.weightSize > MaxArena {
			return fmt.Errorf("the weights up to this operator take more than %d bytes: %w", MaxArena, ErrModelTooLarge)
		}
	}
	p.steps = append(p.steps, step{outputs: outputs})
	return nil
}

// buildKernels builds the kernels of all steps, in parallel, because packing weights
// takes most of the time when a model is loaded. It starts with the last step, because
// the largest layers tend to be at the end. On failure it returns the index of the first
// step that failed.
func (p *program) buildKernels(m *tflite.Model, builders []*kernelBuilder) (int, error) {
	errs := make([]error, len(builders))
	var left atomic.Int64
	left.Store(int64(len(builders)))
	var wg sync.WaitGroup
	for range min(runtime.GOMAXPROCS(0), len(builders)) {
		wg.Go(func() {
			for i := left.Add(-1); i >= 0; i = left.Add(-1) {
				if b, s := builders[i], &p.steps[i]; b != nil {
					s.kernel, s.inputs, errs[i] = b.build(m)
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
			operations := builders[i].operations(m) / float64(max(s.parts, 1))
			if operations > maxPart {
				return i, fmt.Errorf("one of its %d parts takes %.2g operations: %w", s.parts, operations, ErrUnsupportedOperator)
			}
			s.checker, _ = s.kernel.(kernels.Checker)
			s.piece = max(1, int(maxPiece/max(operations, 1)))
			p.scratchSize = max(p.scratchSize, s.kernel.Scratch())
			p.keptSize += kernels.Bytes(s.kernel)
		}
	}
	return 0, nil
}

// readTensor returns tensor t as an input of the next step.
func (p *program) readTensor(t int32) (*kernels.Tensor, error) {
	a := &p.allocations[t]
	// A variable, such as the state of an LSTM, has a value before any operator writes one.
	if p.graph.Tensors[t].IsVariable {
		return nil, fmt.Errorf("input %s is a variable, which keeps its value between runs: %w", tensorName(p.graph, t), ErrUnsupportedOperator)
	}
	if a.constant == nil && !a.inArena {
		return nil, fmt.Errorf("no earlier operator computes input %s: %w", tensorName(p.graph, t), tflite.ErrCorrupt)
	}
	if err := p.checkConstant(t); err != nil {
		return nil, err
	}
	a.last = len(p.steps)
	return KernelTensor(p.graph, t, a.constant)
}

// checkConstant returns an error if tensor t is a constant of another size than its shape
// says, such as a sparse one or a variable.
func (p *program) checkConstant(t int32) error {
	tensor, n := &p.graph.Tensors[t], len(p.allocations[t].constant)
	if want := tensor.NumElements() * tensor.Type.Size(); n > 0 && want > 0 && n != want {
		return fmt.Errorf("constant %s has %d bytes, and its shape %v needs %d: %w", tensorName(p.graph, t), n, tensor.Shape, want, ErrUnsupportedOperator)
	}
	return nil
}

// writeTensor allocates tensor t and returns it as the output of the next step.
func (p *program) writeTensor(t int32, kept bool) (*kernels.Tensor, error) {
	a := &p.allocations[t]
	if a.inArena || a.constant != nil {
		return nil, fmt.Errorf("tensor %s is written twice: %w", tensorName(p.graph, t), tflite.ErrCorrupt)
	}
	a.first, a.last = len(p.steps), len(p.steps)
	if err := p.allocate(t, kept); err != nil {
		return nil, err
	}
	return KernelTensor(p.graph, t, nil)
}

// outputNames lists the outputs of op, for error messages.
func outputNames(g *tflite.Subgraph, op *tflite.Operator) string {
	var names []string
	for _, t := range op.Outputs {
		names = append(names, tensorName(g, t))
	}
	return strings.Join(names, ", ")
}

// operatorName returns the name of a builtin operator, or a custom operator's code.
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
