package imprint

import (
	"bytes"
	"context"
	"errors"
	"os"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// detecting returns options with a detector for the given number of classes, which finds something in
// every photo of kinds.
func detecting(t testing.TB, classes int) Options {
	return Options{
		Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor()),
		Detector: &predict.DetectorChoice{Model: phototest.Backbone(t, "detector.tflite", backbonetest.Detector(classes)), Min: 1e-6},
	}
}

// TestDetector checks that the model depends only on the photos and the crops in them, and that
// changes of the detector can be undone.
func TestDetector(t *testing.T) {
	items := photosOnDisk(t, kinds(0, 3))
	o := detecting(t, 2)
	dir, _ := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, items[:5]...)
	w = openWorkspace(t, dir, Options{}) // the workspace remembers its detector
	mustAdd(t, w, items[5:]...)
	found := readModel(t, w)
	slices.Reverse(items)
	if !bytes.Equal(newModel(t, o, items), found) {
		t.Error("the model depends on the order of the photos")
	}
	// The same boxes, given by the user of a workspace without a detector, give the same model.
	boxes := make(map[string]dataset.Box)
	for _, c := range w.Classes() {
		for _, p := range c.Photos {
			boxes[p.Path] = *p.Box
		}
	}
	given := slices.Clone(items)
	for i := range given {
		given[i].Box = boxes[given[i].Path]
	}
	whole := Options{Backbone: o.Backbone}
	if !bytes.Equal(newModel(t, whole, given), found) {
		t.Error("the detector's boxes and the same boxes from the user give different models")
	}
	if bytes.Equal(newModel(t, whole, items), found) {
		t.Error("whole photos and crops give the same model")
	}
	var models [][]byte
	for _, to := range []Options{detecting(t, 3), {Detector: new(predict.DetectorChoice)}} {
		want := newModel(t, Options{Backbone: o.Backbone, Detector: to.Detector}, items)
		models = append(models, readModel(t, w))
		changeBackbone(t, w, Options{Detector: to.Detector})
		if !bytes.Equal(readModel(t, w), want) {
			t.Errorf("detector %+v: got another model than a new workspace", to.Detector)
		}
	}
	if w.Settings().Detector != nil {
		t.Errorf("got detector %+v, want none", w.Settings().Detector)
	}
	w = openWorkspace(t, dir, Options{})
	for _, want := range slices.Backward(models) {
		undone, err := w.Undo(t.Context())
		if err != nil || undone.Verb != "retrain" || len(undone.Photos) > 0 || !bytes.Equal(readModel(t, w), want) {
			t.Errorf("undid %+v, %v; same model as before: %v", undone, err, bytes.Equal(readModel(t, w), want))
		}
	}
	if got := w.Settings().Detector; got == nil || got.Model != "detector.tflite" || got.Min != 1e-6 {
		t.Errorf("after undo: got detector %+v", got)
	}
}

// TestClassifyObjects checks that each object gets the answer of a crop, and that the largest one
// answers for the photo.
func TestClassifyObjects(t *testing.T) {
	o := detecting(t, 2)
	dir, _ := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, photosOnDisk(t, kinds(0, 3))...)
	items := append(kinds(50, 1), dataset.Item{Path: "bad.png", Content: []byte("no photo")})
	var first []predict.Result
	for _, threads := range []int{1, 2, 9} {
		w := openWorkspace(t, dir, Options{Threads: threads})
		var got []predict.Result
		err := w.Classify(t.Context(), items, 2, func(r predict.Result) error {
			r.Elapsed = 0
			got = append(got, r)
			return nil
		})
		if err != nil || len(got) != len(items) {
			t.Fatalf("%d threads: got %d results, %v", threads, len(got), err)
		}
		if first == nil {
			first = got
		}
		for i, r := range got {
			if !reflect.DeepEqual(r, first[i]) && r.Err == nil {
				t.Errorf("%d threads: got %+v, want %+v", threads, r, first[i])
			}
			if (r.Err != nil) != (r.Path == "bad.png") || r.Err == nil && len(r.Boxes) == 0 {
				t.Errorf("%s: got error %v and %d boxes", r.Path, r.Err, len(r.Boxes))
			}
			for _, b := range r.Boxes {
				if b.Box.Area() > r.Box.Area() || b.Box == r.Box && (b.Label != r.Label || b.Score != r.Score) {
					t.Errorf("%s: %+v answers for the photo, want %+v", r.Path, r, b)
				}
			}
		}
	}
	stop := errors.New("stop")
	if err := w.Classify(t.Context(), items, 1, func(predict.Result) error { return stop }); err != stop {
		t.Errorf("got error %v, want %v", err, stop)
	}
}

// TestObservedCrops checks that observed crops are the same examples as crops of photos.
func TestObservedCrops(t *testing.T) {
	o := detecting(t, 2)
	dir, _ := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	mustAdd(t, w, photosOnDisk(t, kinds(0, 2))...)
	var seen []Observation
	for _, e := range w.state.Examples {
		seen = append(seen, Observation{Label: e.Label, Photo: e.File(), Path: e.Path, Box: e.Box, Found: e.Found, Embedding: e.Raw})
	}
	other, _ := newWorkspace(t)
	again := openWorkspace(t, other, o)
	if _, err := again.AddObservations(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, again), readModel(t, w)) {
		t.Error("observations give another model than their photos")
	}
	has := again.HasPhoto()
	for _, c := range again.Classes() {
		for _, p := range c.Photos {
			if !has(p.File) || has(p.SHA256) || p.Box == nil {
				t.Errorf("%+v: its file is known %v, its SHA-256 %v", p, has(p.File), has(p.SHA256))
			}
		}
	}
}

func TestDetectorErrors(t *testing.T) {
	o := detecting(t, 2)
	dir, _ := newWorkspace(t)
	w := openWorkspace(t, dir, o)
	items := photosOnDisk(t, kinds(0, 2))
	mustAdd(t, w, items...)
	with := func(change func(d *predict.DetectorChoice)) Options {
		d := *o.Detector
		change(&d)
		return Options{Detector: &d}
	}
	for name, test := range map[string]struct {
		o    Options
		want error
	}{
		"same":           {Options{Detector: o.Detector}, nil},
		"what it leaves": {with(func(d *predict.DetectorChoice) { d.Min = 0 }), nil},
		"another score":  {with(func(d *predict.DetectorChoice) { d.Min = 0.5 }), ErrOtherDetector},
		"other labels":   {with(func(d *predict.DetectorChoice) { d.Only = []string{"thing 1"} }), ErrOtherDetector},
		"unknown label":  {with(func(d *predict.DetectorChoice) { d.Only = []string{"thing 9"} }), predict.ErrNoClass},
		"another model":  {Options{Detector: detecting(t, 3).Detector}, ErrOtherDetector},
		"no detector":    {Options{Detector: new(predict.DetectorChoice)}, ErrOtherDetector},
		"missing model":  {Options{Detector: &predict.DetectorChoice{Model: "nosuch"}}, ErrNoBackbone},
	} {
		if _, err := Open(dir, test.o); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
	}
	if err := os.Remove(w.store.Path(w.state.Settings.Detector.File())); err != nil {
		t.Fatal(err)
	}
	w = openWorkspace(t, dir, Options{})
	err := w.Classify(context.Background(), items, 1, func(predict.Result) error { return nil })
	if !errors.Is(err, ErrCorrupt) {
		t.Errorf("without the detector's file: got error %v, want %v", err, ErrCorrupt)
	}
	if _, err := w.Add(context.Background(), photosOnDisk(t, photos("blue", 0, 90, 1)), AddOptions{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("add without the detector's file: got error %v, want %v", err, ErrCorrupt)
	}
}
