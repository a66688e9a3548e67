package executable

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// TestGroupedFilter checks that the outputs of each group are padded to a multiple of 4, and that Decode
// leaves the padding out.
func TestGroupedFilter(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 1))
	f := &Filter{Outputs: 6, Inputs: 5, Height: 1, Width: 1, Group: 2, Zeros: []byte{77}, Weights: make([]byte, 30), Biases: make([]int32, 6)}
	for i := range f.Weights {
		f.Weights[i] = byte(random.Uint32())
	}
	for i := range f.Biases {
		f.Biases[i] = int32(random.Uint32())
	}
	// The same filter with the padding as outputs of its own: 0 and 1, 4 and 5, 8 and 9 are those of f.
	padded := &Filter{Outputs: 12, Inputs: 5, Height: 1, Width: 1, Zeros: f.Zeros, Weights: slices.Repeat(f.Zeros, 60), Biases: make([]int32, 12)}
	for o := range 6 {
		to := o/2*4 + o%2
		copy(padded.Weights[5*to:], f.Weights[5*o:][:5])
		padded.Biases[to] = f.Biases[o]
	}
	for _, form := range f.Forms() {
		b := f.Encode(form)
		if len(b) != f.Size(form) || !slices.Equal(b, padded.Encode(form)) {
			t.Fatalf("form %+v: %d bytes, want those of the padded filter, %d", form, len(b), padded.Size(form))
		}
		got := *f
		got.Weights, got.Biases = nil, nil
		if err := got.Decode(b, form); err != nil || !reflect.DeepEqual(&got, f) {
			t.Errorf("form %+v: decoded %+v, %v, want %+v", form, got, err, f)
		}
		parameters := append(make([]byte, 128), b...)
		if places := new(Finder).Find(f, parameters); len(places) != 1 || places[0] != (Place{128, form}) {
			t.Errorf("form %+v: found at %v", form, places)
		}
		if err := got.Decode(b[:len(b)-1], form); !errors.Is(err, ErrCorrupt) {
			t.Errorf("one byte too few: %v", err)
		}
	}
	if f.Group = 4; !errors.Is(f.Check(), ErrCorrupt) {
		t.Errorf("6 outputs in groups of 4: %v", f.Check())
	}
}
