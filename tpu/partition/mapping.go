// Package mapping says what a compiler for the Edge TPU makes of a model: which
// operators run on it, which stay on the CPU and why, and how much memory the
// parameters take. Start with [New].
//
// The rules are those of Coral's guide "TensorFlow models on the Edge TPU", and where
// it is vague or compiled models differ from it, what was seen in those.
package partition

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Memory is about what the Edge TPU has for parameters, in bytes, less the program
// itself. What is beyond is sent again for every inference.
const Memory = 8 << 20

// ErrModel is wrapped when a model has not the one graph that a compiler takes.
var ErrModel = errors.New("model with other than one graph")

// A Place is where an operator runs.
type Place uint8

// The places. Operators before the Edge TPU's are those that take the model's inputs
// and can't be on it, and what only reads them.
const (
	TPU    Place = iota // on the Edge TPU
	Before              // on the CPU, before
	After               // on the CPU, after
)

func (p Place) String() string { return [...]string{"tpu", "cpu before", "cpu after"}[p] }

// An Operator is where operator Index of the model runs.
type Operator struct {
	Index int
	Name  string // of its kind, for instance CONV_2D
	Place Place
	// Why says what keeps it from the Edge TPU; "" for one that is on it, or only
	// reads what the CPU computes.
	Why string
	// Reads is, for an operator without a reason of its own, one that it reads and that
	// is on the CPU; −1 for none.
	Reads int
	// Parameters is what its weights and biases take as compilers lay them out, in
	// bytes.
	Parameters int
}

// A Plan is where the operators of a model run.
type Plan struct {
	Operators []Operator
	// Mapped is how many are on the Edge TPU, and Cut the first that isn't but comes
	// after, −1 if there is none.
	Mapped, Cut int
	// Parameters is the sum of those on the Edge TPU, in bytes.
	Parameters int
}

// Streamed is about how many bytes of parameters do not stay on the chip.
func (p *Plan) Streamed() int { return max(p.Parameters-Memory, 0) }

// New plans m, which is not compiled. Everything on the Edge TPU is one operator in a
// compiled model. So nothing is on it that reads, even through others, what the CPU
// computes from its output.
func New(m *tflite.Model) (*Plan, error) {
	if len(m.Subgraphs) != 1 {
		return nil, fmt.Errorf("%w: it has %d", ErrModel, len(m.Subgraphs))
	}
	g := &m.Subgraphs[0]
	p := &Plan{Cut: -1}
	writer, rules := map[int32]int{}, rules()
	for i := range g.Operators {
		op := &g.Operators[i]
		o := Operator{Index: i, Name: Name(m, op), Reads: -1}
		o.Why = unmapped(rules, m, op)
		before := o.Why != ""
		for _, t := range op.Inputs {
			w, computed := writer[t]
			switch {
			case !computed:
			case p.Operators[w].Place == After:
				o.Place, o.Reads = After, w
			case p.Operators[w].Place == TPU:
				before = false
			}
		}
		switch {
		case o.Place == After:
		case before:
			o.Place = Before
		case o.Why != "":
			o.Place = After
		}
		if o.Why != "" {
			o.Reads = -1
		}
		if o.Place == TPU {
			p.Mapped++
			o.Parameters = parameters(m, op)
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

// Name is what an operator is called: custom ones have names of their own.
func Name(m *tflite.Model, op *tflite.Operator) string {
	if code := m.OperatorCodes[op.Opcode]; code.Builtin != tflite.OpCustom {
		return code.Builtin.String()
	} else {
		return code.CustomCode
	}
}

// parameters is the size of the weights and biases of an operator, padded to where the
// next ones begin.
func parameters(m *tflite.Model, op *tflite.Operator) int {
	g := &m.Subgraphs[0]
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 {
		return 0
	}
	w := &g.Tensors[op.Inputs[1]]
	f := executable.Filter{Height: 1, Width: 1}
	s := make([]int, 4)
	for i, d := range w.Shape[:min(4, len(w.Shape))] {
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
	if q := w.Quantization; w.Type == tflite.TypeInt8 && q != nil && len(q.Scale) > 1 && len(q.Scale) == channels {
		f.Multipliers = make([]float32, f.Outputs)
	}
	if n := len(m.TensorBytes(0, op.Inputs[1])); f.Outputs < 1 || f.Outputs*f.Height*f.Width*f.Inputs != n {
		return n
	}
	// Biases that are all 0 are left out.
	form := executable.Form{NoBias: true}
	if len(op.Inputs) > 2 && op.Inputs[2] >= 0 {
		form.NoBias = !slices.ContainsFunc(m.TensorBytes(0, op.Inputs[2]), func(b byte) bool { return b != 0 })
	}
	return (f.Size(form) + 63) / 64 * 64
}
