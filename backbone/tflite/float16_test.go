package tflite

import (
	"math"
	"testing"
)

func TestWidenFloat16(t *testing.T) {
	for bits, want := range map[uint16]float32{
		0: 0, 0x3c00: 1, 0xc000: -2, 0x7bff: 65504, 0x0400: 1.0 / 16384, 0x0001: 1.0 / (1 << 24), 0x83ff: -1023.0 / (1 << 24),
		0x7c00: float32(math.Inf(1)), 0xfc00: float32(math.Inf(-1)), 0x3555: 0.333251953125,
	} {
		if got := math.Float32frombits(widenBits(bits)); got != want {
			t.Errorf("%#04x: got %v, want %v", bits, got, want)
		}
	}
	if got := math.Float32frombits(widenBits(0x7e01)); got == got {
		t.Errorf("NaN: got %v", got)
	}
}
