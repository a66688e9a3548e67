package store

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// cropState returns a state with a detector, a crop that it found, a crop that the user gave, and the
// whole of the same photo.
func cropState() *State {
	settings := Settings{Resize: dataset.Crop, Layout: classifier.Float, Detector: &DetectorRef{
		Name: "d.tflite", SHA256: Digest{7}, Labels: []string{"cat", "dog"}, Only: []string{"cat"}, Min: 0.25}}
	s := &State{Version: 5, Generation: 1, Backbone: BackboneRef{Size: 1}, Settings: settings}
	var added []Example
	for i, box := range []dataset.Box{{1, 2, 300, 10000}, {0, 2, 300, 400}, {}} {
		e := Example{Label: string(rune('a' + i)), Photo: Digest{9}, Time: time.Unix(1, 0).UTC(), Hash: uint64(i), Raw: []byte{1}}
		e.Cut(box, i == 0)
		added = append(added, e)
	}
	s.Apply(Change{Verb: "add", Added: added, Settings: Settings{Resize: dataset.Crop, Layout: classifier.Float}})
	return s
}

// TestCrops checks that crops survive encoding in both forms of JSON, and that damage is found.
func TestCrops(t *testing.T) {
	s := cropState()
	if got, err := Decode(encoded(t, s)); err != nil || !reflect.DeepEqual(got, s) {
		t.Errorf("got %+v, %v, want %+v", got, err, s)
	}
	b, err := appendJSON(nil, s)
	if err != nil {
		t.Fatal(err)
	}
	var fast State
	if err := unmarshalFast(b, &fast); err != nil || !fast.Examples[0].Found || fast.Examples[1].Box != s.Examples[1].Box || fast.Examples[1].Of != (Digest{9}) {
		t.Errorf("got %+v, %v, want the crops", fast.Examples, err)
	}
	for name, spoil := range map[string]func(*State){
		"another box":        func(s *State) { s.Examples[0].Box[0]++ },
		"another photo":      func(s *State) { s.Examples[0].Of[0]++ },
		"no box":             func(s *State) { s.Examples[0].Box = dataset.Box{} },
		"found without box":  func(s *State) { s.Examples[2].Found = true },
		"photo without box":  func(s *State) { s.Examples[2].Of = Digest{1} },
		"minimum score":      func(s *State) { s.Settings.Detector.Min = 2 },
		"minimum in history": func(s *State) { s.History[0].Settings.Detector = &DetectorRef{Min: -1} },
	} {
		s := cropState()
		spoil(s)
		_, err := Decode(encoded(t, s))
		if wantError(t, err, ErrCorrupt); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestCropVersion(t *testing.T) {
	s := cropState()
	if got := s.OldestVersion(); got != 5 {
		t.Errorf("got version %d, want 5", got)
	}
	s.Examples = s.Examples[2:]
	s.History, s.Settings.Detector = nil, nil
	if got := s.OldestVersion(); got != 1 {
		t.Errorf("without crops and detector: got version %d, want 1", got)
	}
}

// TestDropDetectors checks that a detector stays while undo can restore it.
func TestDropDetectors(t *testing.T) {
	files := Store{Dir: t.TempDir()}
	s := cropState()
	path := files.Path(s.Settings.Detector.File())
	for _, name := range []string{path, filepath.Join(files.Dir, "detector-00.tflite")} {
		if err := os.WriteFile(name, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	left := func() int {
		all, _ := filepath.Glob(files.Path("detector-*")) // the pattern is valid
		return len(all)
	}
	with := s.Settings
	s.Settings.Detector = nil
	s.Apply(Change{Verb: "retrain", Settings: with})
	if files.DropModels(s); left() != 1 {
		t.Errorf("%d detectors are left, want 1", left())
	}
	if files.DropModels(new(State)); left() != 0 {
		t.Errorf("%d detectors are left, want none", left())
	}
}

func TestSameDetector(t *testing.T) {
	d := func() *DetectorRef { return cropState().Settings.Detector }
	renamed, other, all, turned := d(), d(), d(), d()
	renamed.Name, other.Min, all.Only = "e", 0.3, nil
	turned.Only = append([]string{"zebra"}, slices.Concat(d().Only, d().Only)...)
	more := d()
	more.Only = append(more.Only, "zebra")
	for _, test := range []struct {
		a, b *DetectorRef
		want bool
	}{{d(), d(), true}, {d(), renamed, true}, {more, turned, true}, {d(), more, false}, {d(), other, false}, {d(), all, false}, {d(), nil, false}, {nil, d(), false}, {nil, nil, true}} {
		if got := test.a.Same(test.b); got != test.want {
			t.Errorf("%v and %v: got %v, want %v", test.a, test.b, got, test.want)
		}
		if got := (Settings{Detector: test.a}).Same(Settings{Detector: test.b}); got != test.want {
			t.Errorf("settings with %v and %v: got %v, want %v", test.a, test.b, got, test.want)
		}
	}
}
