package executable

import (
	"math"
	"slices"
)

// A Sum holds the constants that the chip uses to add the codes x and y of two layers:
//
//	code = Zero + round(clamp((First·x + Second·y + Bias)·Multiplier, Low, High))
//
// All codes are unsigned. First/Second approximates the ratio of the two scales as well
// as 15 bits allow; Bias subtracts both zero points. The formula was found by comparing
// compiled MobileNet v2 models with their uncompiled models.
type Sum struct {
	First, Second int32
	Bias          int32
	Stage
}

// NewSum returns the sum of two layers with the given scales and zero points. For the output's
// parameters see [NewStage]. NewSum returns false if one scale is too small compared with the
// other.
func NewSum(scale, second float32, zero, secondZero, outZero byte, outScale float32, low, high float64) (Sum, bool) {
	const maxFactor = 1<<15 - 1
	ratio := float64(scale) / float64(second)
	var s Sum
	nearest := math.Inf(1)
	for q := 1.0; q <= maxFactor; q++ {
		p := math.Round(ratio * q)
		if p > maxFactor {
			break
		}
		if off := math.Abs(p/q - ratio); p >= 1 && off < nearest {
			nearest, s.First, s.Second = off, int32(p), int32(q)
		}
	}
	if s.First == 0 {
		return s, false
	}
	s.Bias = -s.First*int32(zero) - s.Second*int32(secondZero)
	unit := scale / float32(s.First) // compilers divide the larger scale
	if second > scale {
		unit = second / float32(s.Second)
	}
	s.Stage = NewStage(unit*(1/outScale), 0, 0, outZero, outScale, low, high)
	return s, true
}

// A SumPlace locates a Sum in the instructions of an executable.
type SumPlace struct {
	Stages        []StagePlace
	First, Second []FactorPlace
}

// A FactorPlace locates one factor of a Sum.
type FactorPlace struct{ Chunk, Instruction, Bit int }

// biasBit is the position of the bias of a stage that adds inputs, counted from the start of the
// middle instruction.
const biasBit = 125

// maxReach is the maximum distance from a stage back to its factors, in instructions.
const maxReach = 128

// FindSum locates s in the instructions of e. It returns false if a part of s is missing,
// or if both factors are equal and so indistinguishable.
func (e *Executable) FindSum(s Sum) (SumPlace, bool) {
	var at SumPlace
	for _, p := range e.FindStages(s.Stage) {
		if e.bias(p) == s.Bias {
			at.Stages = append(at.Stages, p)
		}
	}
	if len(at.Stages) == 0 || s.First == s.Second {
		return at, false
	}
	last := StagePlace{Chunk: -1}
	for _, p := range at.Stages {
		from := max(p.Instruction-maxReach, 0)
		if p.Chunk == last.Chunk {
			from = max(from, last.Instruction+1)
		}
		at.First = append(at.First, e.findFactor(p.Chunk, from, p.Instruction, s.First)...)
		at.Second = append(at.Second, e.findFactor(p.Chunk, from, p.Instruction, s.Second)...)
		last = p
	}
	return at, len(at.First) > 0 && len(at.First) == len(at.Second)
}

// bias returns the bias of the stage at p.
func (e *Executable) bias(p StagePlace) int32 {
	return int32(getBits(e.Chunks[p.Chunk].Bytes, p.Instruction*128+biasBit, 32))
}

func (e *Executable) putBias(p StagePlace, bias int32) {
	putBits(e.Chunks[p.Chunk].Bytes, p.Instruction*128+biasBit, 32, uint32(bias))
}

// findFactor locates the instructions that hold this factor and nothing else. It searches
// instructions[from:to].
func (e *Executable) findFactor(chunk, from, to int, factor int32) []FactorPlace {
	var found []FactorPlace
	b := e.Chunks[chunk].Bytes
	for i := from; i < to; i++ {
		for _, bit := range []int{88, 104} {
			want := make([]byte, instructionSize)
			want[10] = 0x80
			putBits(want, bit, 16, uint32(factor))
			if slices.Equal(b[i*instructionSize:][:instructionSize], want) {
				found = append(found, FactorPlace{chunk, i, bit})
			}
		}
	}
	return found
}

// PutSum writes s at p, which FindSum returned.
func (e *Executable) PutSum(p SumPlace, s Sum) {
	for _, at := range p.Stages {
		e.PutStage(at, s.Stage)
		e.putBias(at, s.Bias)
	}
	for _, factor := range []struct {
		places []FactorPlace
		value  int32
	}{{p.First, s.First}, {p.Second, s.Second}} {
		for _, at := range factor.places {
			putBits(e.Chunks[at.Chunk].Bytes, at.Instruction*128+at.Bit, 16, uint32(factor.value))
		}
	}
}
