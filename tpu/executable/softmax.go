package executable

import (
	"bytes"
	"encoding/binary"
	"math"
	"slices"
)

// A Softmax holds what the constants of a SOFTMAX over one row of classes depend on: the number of
// classes, and the scale and zero point of its input. The output has scale 1/256 and zero point 0.
//
// The chip computes the largest code, then the difference of each code from it. Both have the
// quantization of the input. It requantizes the differences with the zero point 255, looks up
// their exponentials, and divides by the sum. The constants were found by comparing six compiled
// models with their uncompiled models: Coral's keras_lstm_mnist and MobileNet v1 0.25, 0.5 and 0.75
// (newer compiler), and two MobileNet v2 of Coral's tutorial. The older compiler keeps them
// elsewhere.
type Softmax struct {
	Classes int
	Scale   float32
	Zero    byte
}

// differenceScale returns the scale of the differences. It is the scale of the input except for
// rounding: compilers divide the range of the input by 255.
func (s Softmax) differenceScale() float32 {
	low, high := float32(0-int(s.Zero))*s.Scale, float32(255-int(s.Zero))*s.Scale
	return (high - low) / 255
}

// The stages of a Softmax, in the order of the instructions.
const (
	largestStage    = iota // the largest code
	subtractStage          // minus the largest code; its bias is minus the zero point
	differenceStage        // the differences with zero point 255
	lookupStage            // the index into the exponentials
	softmaxStages
)

func (s Softmax) stages() [softmaxStages]Stage {
	inf, scale := math.Inf(1), s.differenceScale()
	same := s.Scale * (1 / s.Scale)
	return [softmaxStages]Stage{
		largestStage:    NewStage(same, s.Zero, 0, s.Zero, s.Scale, -inf, inf),
		subtractStage:   NewStage(same, 0, s.Zero, s.Zero, s.Scale, -inf, inf),
		differenceStage: NewStage(s.Scale*(1/scale), 0, 1, 255, scale, -inf, inf),
		lookupStage:     NewStage(1, 255, 0, 255, scale, -inf, inf),
	}
}

// table returns the part of the parameters that depends on s: rows of 64 bytes with the scales of
// four classes each. Padding has the scale times the largest float32.
func (s Softmax) table() []byte {
	const row = 64
	b := make([]byte, up(s.Classes, 4)/4*row)
	for i := range up(s.Classes, 4) {
		v := s.differenceScale()
		if i >= s.Classes {
			v *= math.MaxFloat32
		}
		binary.LittleEndian.PutUint32(b[i/4*row+i%4*4:], math.Float32bits(v))
	}
	return b
}

// A SoftmaxPlace locates a Softmax in the instructions of an executable, and in the parameters of
// an executable of the same package.
type SoftmaxPlace struct {
	Stages [softmaxStages][]StagePlace
	Offset int // of the table in the parameters
}

// FindSoftmax locates s in the instructions of e and in parameters. It returns false if a part of s
// is missing, if the table is at several places, or if two stages are equal and so
// indistinguishable.
func (e *Executable) FindSoftmax(s Softmax, parameters []byte) (p SoftmaxPlace, ok bool) {
	if s.Classes < 1 || s.Classes > len(parameters) {
		return p, false // the table is longer than the parameters
	}
	table, stages := s.table(), s.stages()
	p.Offset = bytes.Index(parameters, table)
	if p.Offset < 0 || bytes.LastIndex(parameters, table) != p.Offset || stages[largestStage] == stages[subtractStage] {
		return p, false
	}
	for i, stage := range stages {
		p.Stages[i] = e.FindStages(stage)
	}
	p.Stages[subtractStage] = slices.DeleteFunc(p.Stages[subtractStage], func(at StagePlace) bool { return e.bias(at) != -int32(s.Zero) })
	return p, p.Complete()
}

// Complete reports whether p has a place for every stage.
func (p *SoftmaxPlace) Complete() bool {
	return !slices.ContainsFunc(p.Stages[:], func(s []StagePlace) bool { return len(s) == 0 })
}

// PutSoftmax writes s at p, which FindSoftmax returned for a Softmax with as many classes.
func (e *Executable) PutSoftmax(p SoftmaxPlace, s Softmax, parameters []byte) {
	for i, stage := range s.stages() {
		for _, at := range p.Stages[i] {
			e.PutStage(at, stage)
			if i == subtractStage {
				e.putBias(at, -int32(s.Zero))
			}
		}
	}
	copy(parameters[p.Offset:], s.table())
}
