// Package partition predicts how a compiler for the Edge TPU divides a model: which operators run
// on the Edge TPU, which stay on the CPU and why, and how much memory the parameters take. Start
// with [New].
//
// The rules follow Coral's guide "TensorFlow models on the Edge TPU". Where the guide is vague, or
// compiled models deviate from it, the rules follow the compiled models.
package partition

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Memory is the approximate number of bytes of parameters that the Edge TPU holds, without the
// program. Parameters beyond this size are sent again for every inference.
const Memory = 8 << 20

// ErrModel means that a model does not have exactly one subgraph, as compilers require.
var ErrModel = errors.New("model does not have exactly one subgraph")

// A Place says where an operator runs.
type Place uint8

// The places where an operator can run. An unsupported operator that needs no result of the Edge
// TPU runs Before.
const (
	TPU    Place = iota // on the Edge TPU
	Before              // on the CPU, before the Edge TPU
	After               // on the CPU, after the Edge TPU
)

func (p Place) String() string { return [...]string{"tpu", "cpu before", "cpu after"}[p] }

// An Operator describes an operator of the model and says where it runs.
type Operator struct {
	Index int
	Name  string // name of its kind, such as CONV_2D
	Place Place
	// Reason says why the Edge TPU can't run the operator, or is "" if it can. Even then, the
	// operator runs on the CPU if it depends on an operator that runs after the Edge TPU.
	Reason string
	// DependsOn is the index of an operator that runs after the Edge TPU and so keeps this operator
	// on the CPU. It is -1 if there is none.
	DependsOn int
	// Parameters is the size of weights and biases as compilers lay them out, in bytes. It is 0 for
	// an operator on the CPU. The tables that newer compilers add, for instance for SOFTMAX, are not
	// included.
	Parameters int
}

// A Plan lists the operators of a model and their places.
type Plan struct {
	Operators []Operator
	// Mapped is the number of operators on the Edge TPU.
	Mapped int
	// Cut is the index of the first operator after the Edge TPU, or -1 if there is none.
	Cut int
	// Parameters is the size of all weights and biases on the Edge TPU, in bytes: a lower
	// bound of the compiled model's parameters.
	Parameters int
}

// Streamed returns the approximate number of bytes by which the parameters exceed the
// Edge TPU's memory.
func (p *Plan) Streamed() int { return max(p.Parameters-Memory, 0) }

// New predicts where the operators of an uncompiled model run. A compiler merges all operators on
// the Edge TPU into one. So an operator stays on the CPU if it depends, even indirectly, on a
// result that the CPU computes from the Edge TPU's output.
func New(m *tflite.Model) (*Plan, error) {
	if len(m.Subgraphs) != 1 {
		return nil, fmt.Errorf("%w: it has %d", ErrModel, len(m.Subgraphs))
	}
	g := &m.Subgraphs[0]
	p := &Plan{Cut: -1}
	writer, rules, contents := map[int32]int{}, rules(), newUniform()
	for i := range g.Operators {
		op := &g.Operators[i]
		o := Operator{Index: i, Name: Name(m, op), DependsOn: -1}
		o.Reason = unsupported(rules, contents, m, op)
		before := o.Reason != ""
		for _, t := range op.Inputs {
			w, computed := writer[t]
			switch {
			case !computed:
			case p.Operators[w].Place == After:
				o.Place, o.DependsOn = After, w
			case p.Operators[w].Place == TPU:
				before = false
			}
		}
		switch {
		case o.Place == After:
		case before:
			o.Place = Before
		case o.Reason != "":
			o.Place = After
		}
		if o.Reason != "" {
			o.DependsOn = -1
		}
		if o.Place == TPU {
			p.Mapped++
			o.Parameters = parameterBytes(contents, m, op)
			p.Parameters += o.Parameters
		} else if o.Place == After && p.Cut < 0 {
			p.Cut = i
		}
		for _, t := range op.Outputs {
			writer[t] = i
		}
		p.Operators = append(p.Operators, o)
	}
	return p, nil
}

// Name returns the name of an operator's kind, such as CONV_2D, or a custom operator's
// own name.
func Name(m *tflite.Model, op *tflite.Operator) string {
	code := m.OperatorCodes[op.Opcode]
	if code.Builtin == tflite.OpCustom {
		return code.CustomCode
	}
	return code.Builtin.String()
}

// A uniform remembers which constants hold the same byte everywhere. Thousands of operators may
// share a large constant, so each is read only once.
type uniform struct {
	known map[span]int // the byte, or -1
	left  int          // bytes that may still be read: constants may overlap
}

// A span identifies a slice of a model file.
type span struct {
	first *byte
	size  int
}

func newUniform() *uniform { return &uniform{make(map[span]int), 2 * tflite.MaxFileSize} }

// all reports whether every byte of constant is b. After too many bytes, it always returns false.
func (u *uniform) all(constant []byte, b byte) bool {
	if len(constant) == 0 {
		return true
	}
	at := span{&constant[0], len(constant)}
	same, known := u.known[at]
	if !known {
		same = -1
		if u.left -= at.size; u.left >= 0 && !slices.ContainsFunc(constant, func(c byte) bool { return c != constant[0] }) {
			same = int(constant[0])
		}
		u.known[at] = same
	}
	return same == int(b)
}

// parameterBytes returns the size of an operator's weights and biases, including padding, as
// compilers lay them out.
func parameterBytes(contents *uniform, m *tflite.Model, op *tflite.Operator) int {
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 {
		return 0
	}
	weights := &m.Subgraphs[0].Tensors[op.Inputs[1]]
	f := executable.Filter{Height: 1, Width: 1}
	s := make([]int, 4)
	for i, d := range weights.Shape[:min(4, len(weights.Shape))] {
		s[i] = int(d)
	}
	channels := s[0]
	switch Name(m, op) {
	case "CONV_2D":
		f.Outputs, f.Height, f.Width, f.Inputs = s[0], s[1], s[2], s[3]
	case "DEPTHWISE_CONV_2D":
		f.Height, f.Width, f.Outputs, f.Inputs, f.Depthwise = s[1], s[2], s[3], 1, true
		channels = s[3]
	case "FULLY_CONNECTED":
		f.Outputs, f.Inputs, f.FullyConnected = s[0], s[1], true
	default:
		return 0
	}
	if q := weights.Quantization; weights.Type == tflite.TypeInt8 && q != nil && len(q.Scale) > 1 && len(q.Scale) == channels {
		f.Multipliers = q.Scale // only their number affects the size
	}
	if n := len(m.TensorBytes(0, op.Inputs[1])); f.Outputs < 1 || f.Outputs*f.Height*f.Width*f.Inputs != n {
		return n
	}
	form := executable.Form{NoBias: true} // compilers leave out biases that are all 0
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 {
		form.NoBias = contents.all(m.TensorBytes(0, op.Inputs[2]), 0)
	}
	return (f.Size(form) + 63) / 64 * 64
}
