package compiled

import (
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A Layer is an operator of the twin as it is in the template, read from its bytes.
type Layer struct {
	Operator int
	Name     string // of its output
	Kind     string
	OnCPU    bool
	// Shape of its weights, Bytes that they and their biases take, where they are and
	// Streamed if they are sent for every inference; 0 and no shape for a layer without,
	// or one whose weights were not found: Lost.
	Shape    []int
	Bytes    int
	Offset   int
	Streamed bool
	NoBias   bool
	Lost     bool
	// Stages is at how many places the instructions have its constants, and Stage what
	// they are; nil if they are not known or at none.
	Stages int
	Stage  *executable.Stage
	// Multipliers are those of a layer quantised by channel, as read.
	Multipliers []float32
}

// Layers describes all operators of the twin, in order.
func (t *Pair) Layers() []Layer {
	var all []Layer
	for i := range t.layers {
		p := &t.layers[i]
		l := Layer{Operator: p.operator, Name: p.name, Kind: p.kind.String(), OnCPU: t.onCPU(i), Stages: len(p.stages)}
		if p.kind == tflite.OpCustom {
			l.Kind = t.twin.OperatorCodes[t.twin.Subgraphs[0].Operators[i].Opcode].CustomCode
		}
		if len(p.stages) > 0 {
			s := t.program.Main.Stage(p.stages[0])
			l.Stage = &s
		}
		if f := p.filter; f != nil && !l.OnCPU {
			l.Shape = []int{f.Outputs, f.Height, f.Width, f.Inputs}
			l.Lost = p.found != 1
			if !l.Lost {
				l.Bytes, l.Offset, l.Streamed, l.NoBias = f.Size(p.place.Form), p.place.Offset, p.streamed, p.place.Form.NoBias
				read := *f
				if read.Decode(p.parameters(t.program)[p.place.Offset:], p.place.Form) == nil {
					l.Multipliers = slices.Clone(read.Multipliers)
				}
			}
		}
		all = append(all, l)
	}
	return all
}
