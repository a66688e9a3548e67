package detect_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"math"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

func Example() {
	d, err := detect.Parse(backbonetest.Detector(2), detect.Options{Name: "detector.tflite"})
	if err != nil {
		log.Fatal(err)
	}
	r := d.NewRunner(1)
	defer r.Close()
	for i := range r.RGB() { // a photo of d.Width×d.Height pixels
		r.RGB()[i] = byte(i)
	}
	found, err := r.Detect(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d×%d pixels, %d anchors, %d objects, the best of class %d\n", d.Width, d.Height, d.Head.Len(), len(found), found[0].Class)
	// Output: 32×32 pixels, 240 anchors, 5 objects, the best of class 0
}

// TestHead checks that the detections are boxes of anchors with their scores.
func TestHead(t *testing.T) {
	file := backbonetest.Detector(3)
	d, err := detect.Parse(file, detect.Options{})
	if err != nil {
		t.Fatal(err)
	}
	h := d.Head
	if !h.Background || h.Params.Classes != 3 || h.Len() != 3*(8*8+4*4) {
		t.Errorf("got background %v, %d classes, %d anchors", h.Background, h.Params.Classes, h.Len())
	}
	if got, want := h.Anchors()[0], (detect.Box{X0: 16./256 - 18./256, Y0: 16./256 - 10./256, X1: 16./256 + 18./256, Y1: 16./256 + 10./256}); got != want {
		t.Errorf("the first anchor is %v, want %v", got, want)
	}
	r := d.NewRunner(2)
	defer r.Close()
	for i := range r.RGB() {
		r.RGB()[i] = byte(i * i)
	}
	found, err := r.Detect(t.Context())
	if err != nil || len(found) == 0 {
		t.Fatalf("found %v, %v", found, err)
	}
	in, err := backbone.NewInterpreter(d.Model(), backbone.InterpreterOptions{Outputs: []int32{h.Encodings, h.Scores}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for i := range in.Input(0) {
		in.Input(0)[i] = byte(i * i)
	}
	if err := in.Invoke(t.Context()); err != nil {
		t.Fatal(err)
	}
	boxes, scores := h.Decode(in.Output(0)), in.Output(1)
	for i, f := range found {
		at := slices.IndexFunc(boxes, func(b detect.Box) bool { return b.Clip() == f.Box })
		if at < 0 || float32(scores[4*at+1+f.Class])/256 != f.Score {
			t.Errorf("%+v is no box of an anchor with its score", f)
		}
		if i > 0 && f.Score > found[i-1].Score {
			t.Errorf("score %v comes after %v", f.Score, found[i-1].Score)
		}
	}
	if r.Device() != backbone.CPU {
		t.Errorf("ran on %s", r.Device())
	}
}

func TestBox(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	unit := detect.Box{X1: 1, Y1: 1}
	for _, test := range []struct {
		a, b detect.Box
		iou  float32
		clip detect.Box // of a
	}{
		{unit, unit, 1, unit},
		{detect.Box{X0: -1, Y0: 0, X1: 1, Y1: 1}, unit, 0.5, unit},
		{detect.Box{X0: 0.5, Y0: 0.5, X1: 1.5, Y1: 1.5}, unit, 0.25 / 1.75, detect.Box{X0: 0.5, Y0: 0.5, X1: 1, Y1: 1}},
		{detect.Box{X0: 2, Y0: 0, X1: 3, Y1: 1}, unit, 0, detect.Box{}},
		{detect.Box{X0: 0.5, Y0: 0.2, X1: 0.5, Y1: 1}, unit, 0, detect.Box{}},
		{detect.Box{X0: 0.8, Y0: 0.2, X1: 0.5, Y1: 1}, unit, 0, detect.Box{}},
		{detect.Box{X0: nan, Y0: 0, X1: 1, Y1: 1}, unit, 0, detect.Box{}},
		{detect.Box{X0: -inf, Y0: -inf, X1: inf, Y1: inf}, detect.Box{}, 0, unit},
	} {
		if got := test.a.IoU(test.b); got != test.iou {
			t.Errorf("IoU of %v and %v: got %v, want %v", test.a, test.b, got, test.iou)
		}
		if got := test.a.Clip(); got != test.clip {
			t.Errorf("%v clipped: got %v, want %v", test.a, got, test.clip)
		}
	}
}

func TestParseErrors(t *testing.T) {
	changed := func(change func(m *tflite.Model, op *tflite.Operator)) []byte {
		return backbonetest.Changed(backbonetest.Detector(2), func(m *tflite.Model) {
			g := &m.Subgraphs[0]
			change(m, &g.Operators[len(g.Operators)-1])
		})
	}
	for name, test := range map[string]struct {
		file []byte
		want error
	}{
		"no model":    {nil, tflite.ErrCorrupt},
		"classifier":  {backbonetest.Classifier(2), detect.ErrNoDetector},
		"no options":  {changed(func(_ *tflite.Model, op *tflite.Operator) { op.CustomOptions = nil }), tflite.ErrCorrupt},
		"two outputs": {changed(func(_ *tflite.Model, op *tflite.Operator) { op.Outputs = op.Outputs[:2] }), tflite.ErrCorrupt},
		"no anchors":  {changed(func(_ *tflite.Model, op *tflite.Operator) { op.Inputs[2] = -1 }), tflite.ErrCorrupt},
		"other anchors": {changed(func(m *tflite.Model, op *tflite.Operator) {
			m.Subgraphs[0].Tensors[op.Inputs[2]].Buffer = 0
		}), kernels.ErrUnsupported},
		"boxes as scores": {changed(func(_ *tflite.Model, op *tflite.Operator) { op.Inputs[1] = op.Inputs[2] }), kernels.ErrInvalid},
		"one input more": {changed(func(m *tflite.Model, _ *tflite.Operator) {
			g := &m.Subgraphs[0]
			g.Inputs = append(g.Inputs, g.Inputs[0])
		}), backbone.ErrInput},
	} {
		if _, err := detect.Parse(test.file, detect.Options{}); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
	}
}
