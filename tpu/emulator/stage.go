package emulator

import (
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// stage is how accumulators become bytes, and the zero points that go into them.
type stage struct {
	multiplier, low, high    float32
	weightZero, inZero, zero int32 // of the filter, the input, the output
}

// stageAt is where a program has a stage: the middle one of three instructions of 128 bits.
type stageAt struct{ chunk, word int }

// The fields of a stage, as bits from the start of the middle instruction, and their widths.
const (
	weightZeroField = 62 - 128
	inZeroField     = 78 - 128
	multiplierField = 29
	highField       = 61
	lowField        = 93
	zeroField       = 29 + 128

	biasField = 125 // of an addition

	zeroBits   = 8
	floatBits  = 32
	factorBits = 16
)

// read reads a stage from the instructions.
func (a stageAt) read(chunks [][]byte) stage {
	c, at := chunks[a.chunk], a.word*128
	float := func(field int) float32 { return math.Float32frombits(bits(c, at+field, floatBits)) }
	return stage{
		multiplier: float(multiplierField), low: float(lowField), high: float(highField),
		weightZero: int32(bits(c, at+weightZeroField, zeroBits)), inZero: int32(bits(c, at+inZeroField, zeroBits)),
		zero: int32(bits(c, at+zeroField, zeroBits)),
	}
}

// mask adds the fields of a stage.
func (a stageAt) mask(m mask) mask {
	at := a.word * 128
	for _, field := range []int{weightZeroField, inZeroField, zeroField} {
		m = m.add(at+field, zeroBits)
	}
	for _, field := range []int{multiplierField, highField, lowField} {
		m = m.add(at+field, floatBits)
	}
	return m
}

// bound sets the stage's limits for an output of that scale and zero point, in unsigned terms, and an activation: the
// reals that both allow, as codes.
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

// findStages looks for the places of stages like s.
func findStages(chunks [][]byte, s stage) (places []stageAt) {
	for i, c := range chunks {
		for w := 1; w+1 < len(c)/16; w++ {
			if bits(c, w*128+multiplierField, floatBits) != math.Float32bits(s.multiplier) {
				continue
			}
			if at := (stageAt{i, w}); at.read(chunks) == s {
				places = append(places, at)
			}
		}
	}
	return places
}

// limit is beyond what any stage needs, and small enough for requantise.
const limit = 1 << 12

// sane brings limits that no compiler writes to where requantise can work with them.
func (s *stage) sane() {
	if !(s.low >= -limit) { // NaN too
		s.low = -limit
	}
	if !(s.high <= limit) {
		s.high = limit
	}
}

// requantise makes a byte of an accumulator: the product with the multiplier is rounded to float32, limited, and then
// rounded to the nearest integer, half to even, before the zero point is added. As with dotPairs there are no races.
//
//go:norace
func (s *stage) requantise(acc int32) byte {
	v := min(max(float32(acc)*s.multiplier, s.low), s.high)
	// The sum has no bits left for a fraction, so that it is rounded as wanted, and its low bits are the integer.
	const integers = 3 << 22
	rounded := int32(math.Float32bits(v+integers)) - int32(math.Float32bits(integers))
	return byte(min(max(s.zero+rounded, 0), 255))
}
