package compiled

import (
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A Layer describes an operator of the uncompiled model and its form in the compiled
// model.
type Layer struct {
	Operator int    // index in the uncompiled model
	Name     string // name of the output tensor
	Kind     string // such as CONV_2D
	OnCPU    bool   // the compiler left the operator to the CPU

	// Shape is [outputs, height, width, inputs] of the weights. It is nil for a layer without
	// weights and for a layer on the CPU.
	Shape []int
	// NotFound is set if the weights were found nowhere or at several places.
	NotFound bool
	// Bytes is the size of the weights and biases, and Offset is their offset in the parameters. If
	// Streamed is set, these parameters are sent for every inference; otherwise they stay on the
	// chip. NoBias is set if the compiler left out biases that are all 0. If NotFound is set, all
	// four are zero.
	Bytes, Offset    int
	Streamed, NoBias bool
	// Multipliers has one element for each output of a layer quantized per channel.
	Multipliers []float32

	// Stages is the number of places in the instructions that hold the constants in Stage. If the
	// constants were not found, Stages is 0 and Stage is nil.
	Stages int
	Stage  *executable.Stage
}

// Layers describes all operators of the uncompiled model, in order.
func (p *Pair) Layers() []Layer {
	var all []Layer
	for i := range p.layers {
		at := &p.layers[i]
		l := Layer{Operator: at.operator, Name: at.name, Kind: at.kind.String(), OnCPU: p.onCPU(i), Stages: len(at.stages)}
		if at.kind == tflite.OpCustom {
			l.Kind = p.uncompiled.OperatorCodes[p.uncompiled.Subgraphs[0].Operators[i].Opcode].CustomCode
		}
		if len(at.stages) > 0 {
			stage := p.program.Main.Stage(at.stages[0])
			l.Stage = &stage
		}
		if f := at.filter; f != nil && !l.OnCPU {
			l.Shape = []int{f.Outputs, f.Height, f.Width, f.Inputs}
			l.NotFound = at.found != 1
			if !l.NotFound {
				l.Bytes, l.Offset, l.Streamed, l.NoBias = f.Size(at.place.Form), at.place.Offset, at.streamed, at.place.Form.NoBias
				read := *f
				if read.Decode(at.parameters(p.program)[at.place.Offset:], at.place.Form) == nil {
					l.Multipliers = slices.Clone(read.Multipliers)
				}
			}
		}
		all = append(all, l)
	}
	return all
}
