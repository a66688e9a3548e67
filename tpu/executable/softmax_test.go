package executable

import (
	"encoding/binary"
	"math"
	"testing"
)

// TestSoftmaxScale compares the scale of the differences with the tables of compiled models. The
// compiled models are keras_lstm_mnist and MobileNet v1 0.25 of google-coral/test_data and MobileNet
// v2 of ChronisSakos/Edge-TPU, DamianOlei/ImportData, helder0xff/coral_transfer and
// holfa1/mince-detector.
func TestSoftmaxScale(t *testing.T) {
	for _, test := range []struct {
		scale, want uint32 // bits of a float32
		zero        byte
	}{
		{0x3e034761, 0x3e034761, 130},
		{0x3e05f90b, 0x3e05f90b, 96},
		{0x3dc9399b, 0x3dc9399c, 79},
		{0x3e8b4b9a, 0x3e8b4b9a, 68},
		{0x3ddf728b, 0x3ddf728c, 202},
		{0x3ea53849, 0x3ea53849, 89},
	} {
		s := Softmax{Classes: 1, Scale: math.Float32frombits(test.scale), Zero: test.zero}
		if got := math.Float32bits(s.differenceScale()); got != test.want {
			t.Errorf("scale %x, zero point %d: got %x, want %x", test.scale, test.zero, got, test.want)
		}
	}
}

// TestFindSoftmax writes a Softmax into an executable, finds it and replaces it.
func TestFindSoftmax(t *testing.T) {
	s := Softmax{Classes: 5, Scale: 0.25, Zero: 68}
	e := &Executable{Chunks: []InstructionChunk{{Bytes: make([]byte, 64*instructionSize)}}}
	want := SoftmaxPlace{Offset: 64}
	for i := range want.Stages {
		want.Stages[i] = []StagePlace{{0, 4 + 8*i}}
	}
	parameters := make([]byte, 64*4)
	e.PutSoftmax(want, s, parameters)
	if got := binary.LittleEndian.Uint32(parameters[128+4:]); got != 0x7e7fffff {
		t.Errorf("padding of the table: got %x, want 7e7fffff", got) // 0.25 · 2^128, rounded down
	}
	for _, s := range []Softmax{s, {Classes: 5, Scale: 0.3, Zero: 1}, s} {
		e.PutSoftmax(want, s, parameters)
		got, ok := e.FindSoftmax(s, parameters)
		if !ok || got.Offset != want.Offset {
			t.Fatalf("%v: got %v, %v, want %v", s, got, ok, want)
		}
		for i := range want.Stages {
			if len(got.Stages[i]) != 1 || got.Stages[i][0] != want.Stages[i][0] {
				t.Errorf("%v: stage %d: got %v, want %v", s, i, got.Stages[i], want.Stages[i])
			}
		}
	}
	for name, other := range map[string]Softmax{
		"other scale":   {Classes: 5, Scale: 0.5, Zero: 68},
		"other zero":    {Classes: 5, Scale: 0.25, Zero: 69},
		"other classes": {Classes: 6, Scale: 0.25, Zero: 68},
		"too many":      {Classes: math.MaxInt, Scale: 0.25, Zero: 68},
		"equal stages":  {Classes: 5, Scale: 0.25},
	} {
		if _, ok := e.FindSoftmax(other, parameters); ok {
			t.Errorf("%s: found, want not found", name)
		}
	}
}
