package emulator

import (
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// stage holds the constants that convert accumulators to output codes, and the zero points of the operands.
type stage struct {
	multiplier, low, high    float32
	weightZero, inZero, zero int32 // zero points of the filter, the input and the output
}

// stagePlace locates a stage in a program. A stage spans three 128-bit instructions, and word is the index of the
// middle one.
type stagePlace struct{ chunk, word int }

// Bit positions of a stage's fields, counted from the start of the middle instruction, and their widths.
const (
	weightZeroField = 62 - 128
	inZeroField     = 78 - 128
	multiplierField = 29
	highField       = 61
	lowField        = 93
	zeroField       = 29 + 128

	biasField = 125 // position of an addition's bias

	zeroBits   = 8
	floatBits  = 32
	factorBits = 16
)

// read reads a stage from the instructions.
func (a stagePlace) read(chunks [][]byte) stage {
	c, at := chunks[a.chunk], a.word*128
	float := func(field int) float32 { return math.Float32frombits(bits(c, at+field, floatBits)) }
	return stage{
		multiplier: float(multiplierField), low: float(lowField), high: float(highField),
		weightZero: int32(bits(c, at+weightZeroField, zeroBits)), inZero: int32(bits(c, at+inZeroField, zeroBits)),
		zero: int32(bits(c, at+zeroField, zeroBits)),
	}
}

// mask adds the bits of a stage to m.
func (a stagePlace) mask(m mask) mask {
	at := a.word * 128
	for _, field := range []int{weightZeroField, inZeroField, zeroField} {
		m = m.add(at+field, zeroBits)
	}
	for _, field := range []int{multiplierField, highField, lowField} {
		m = m.add(at+field, floatBits)
	}
	return m
}

// bound sets the stage's zero point and limits for the activation a and an output with the given scale and unsigned
// zero point.
func (s *stage) bound(scale float32, zero int32, a tflite.Activation) error {
	low, high := float32(-zero)*scale, float32(255-zero)*scale
	switch a {
	case tflite.ActNone:
	case tflite.ActRelu:
		low = max(low, 0)
	case tflite.ActReluN1To1:
		low, high = max(low, -1), min(high, 1)
	case tflite.ActRelu6:
		low, high = max(low, 0), min(high, 6)
	default:
		return errUnknownOperator
	}
	s.zero, s.low, s.high = zero, low*(1/scale), high*(1/scale)
	return nil
}

// findStages locates s in the instructions.
func findStages(chunks [][]byte, s stage) (places []executable.StagePlace) {
	for i, c := range chunks {
		for w := 1; w+1 < len(c)/16; w++ {
			if bits(c, w*128+multiplierField, floatBits) != math.Float32bits(s.multiplier) {
				continue
			}
			if at := (stagePlace{i, w}); at.read(chunks) == s {
				places = append(places, executable.StagePlace{Chunk: i, Instruction: w})
			}
		}
	}
	return places
}

// maxLimit exceeds the limits of any stage that a compiler writes. requantize handles limits up to maxLimit.
const maxLimit = 1 << 12

// clampLimits clamps limits that no compiler writes to the range that requantize handles.
func (s *stage) clampLimits() {
	if !(s.low >= -maxLimit) { // also if NaN
		s.low = -maxLimit
	}
	if !(s.high <= maxLimit) {
		s.high = maxLimit
	}
}

// requantize converts an accumulator to a code: it rounds the product with the multiplier to float32, clamps it, rounds
// it to the nearest integer, half to even, and adds the zero point. As in dotPairs, there are no races to detect.
//
//go:norace
func (s *stage) requantize(acc int32) byte {
	v := min(max(float32(acc)*s.multiplier, s.low), s.high)
	// The float32 sum has no bits left for a fraction, so the addition rounds v, and the low bits of the sum are the
	// integer.
	const integers = 3 << 22
	rounded := int32(math.Float32bits(v+integers)) - int32(math.Float32bits(integers))
	return byte(min(max(s.zero+rounded, 0), 255))
}
