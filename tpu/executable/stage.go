package executable

import "math"

// A Stage holds the constants that the chip uses to requantize the sums of a layer to output
// codes:
//
//	code = Zero + round(clamp(sum·Multiplier, Low, High)), sum = Σ (x − InZero)·(w − WeightZero) + bias
//
// All codes are unsigned. For a layer quantized per channel, Multiplier is 1 and WeightZero is 0,
// and the values of each channel are in its [Filter].
type Stage struct {
	Multiplier, Low, High    float32
	WeightZero, InZero, Zero byte
}

// NewStage returns the stage of a layer whose output has the given zero point and scale. The
// layer's activation limits real values to low…high; an infinite limit means none.
func NewStage(multiplier float32, inZero, weightZero, zero byte, scale float32, low, high float64) Stage {
	bound := func(code int, limit float64) float32 {
		v := float32(code-int(zero)) * scale
		if code == 0 {
			v = max(v, float32(limit))
		} else {
			v = min(v, float32(limit))
		}
		return v * (1 / scale)
	}
	return Stage{Multiplier: multiplier, Low: bound(0, low), High: bound(255, high), WeightZero: weightZero, InZero: inZero, Zero: zero}
}

// NewLogisticStage returns the stage of a LOGISTIC whose input has the given scale and zero point. It
// converts codes to real numbers; how the chip then computes the function is not known.
func NewLogisticStage(scale float32, zero byte) Stage {
	const limit = 10.396732 // in all known models
	return Stage{Multiplier: scale, Low: -limit, High: limit, InZero: zero}
}

// Multiplier returns inScale·weightScale/outScale, the factor from sums to codes, with float32
// operations in the order that compilers use.
func Multiplier(inScale, weightScale, outScale float32) float32 {
	product := inScale * weightScale
	return product * (1 / outScale)
}

// A StagePlace locates a Stage in the instructions of an executable. A stage spans three 16-byte
// instructions, and Instruction is the index of the middle one.
type StagePlace struct{ Chunk, Instruction int }

// Bit positions of a stage's fields, counted from the start of the middle instruction.
const (
	weightZeroBit = 62 - 128
	inZeroBit     = 78 - 128
	multiplierBit = 29
	highBit       = 61
	lowBit        = 93
	zeroBit       = 29 + 128
)

// FindStages returns every place in the instructions of e that holds exactly s.
func (e *Executable) FindStages(s Stage) []StagePlace {
	var found []StagePlace
	for c := range e.Chunks {
		b := e.Chunks[c].Bytes
		for i := 1; i+1 < len(b)/16; i++ {
			if getBits(b, i*128+multiplierBit, 32) != math.Float32bits(s.Multiplier) {
				continue
			}
			if p := (StagePlace{c, i}); e.Stage(p) == s {
				found = append(found, p)
			}
		}
	}
	return found
}

// Stage reads the stage at p.
func (e *Executable) Stage(p StagePlace) Stage {
	b, at := e.Chunks[p.Chunk].Bytes, p.Instruction*128
	float := func(bit int) float32 { return math.Float32frombits(getBits(b, at+bit, 32)) }
	code := func(bit int) byte { return byte(getBits(b, at+bit, 8)) }
	return Stage{
		Multiplier: float(multiplierBit), Low: float(lowBit), High: float(highBit),
		WeightZero: code(weightZeroBit), InZero: code(inZeroBit), Zero: code(zeroBit),
	}
}

// PutStage writes s at p.
func (e *Executable) PutStage(p StagePlace, s Stage) {
	b, at := e.Chunks[p.Chunk].Bytes, p.Instruction*128
	for bit, v := range map[int]float32{multiplierBit: s.Multiplier, lowBit: s.Low, highBit: s.High} {
		putBits(b, at+bit, 32, math.Float32bits(v))
	}
	for bit, v := range map[int]byte{weightZeroBit: s.WeightZero, inZeroBit: s.InZero, zeroBit: s.Zero} {
		putBits(b, at+bit, 8, uint32(v))
	}
}

// getBits reads n bits of b from bit at. Bit 0 is the lowest bit of byte 0.
func getBits(b []byte, at, n int) (v uint32) {
	for i := range n {
		v |= uint32(b[(at+i)/8]>>((at+i)%8)&1) << i
	}
	return v
}

func putBits(b []byte, at, n int, v uint32) {
	for i := range n {
		k, bit := (at+i)/8, (at+i)%8
		b[k] = b[k]&^(1<<bit) | byte(v>>i&1)<<bit
	}
}
