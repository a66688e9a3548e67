package store

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// smallState returns a state with examples and three changes.
func smallState() *State {
	settings := Settings{Resize: dataset.Crop, Layout: classifier.Float, Head: classifier.Auto}
	photo := func(label string, n byte) Example {
		return Example{Label: label, Photo: Digest{n}, Path: "p", Time: time.Unix(int64(n), 0).UTC(), Hash: uint64(n), Raw: []byte{n, 1, 2}}
	}
	s := &State{Version: 1, Generation: 3, Backbone: BackboneRef{Name: "m", SHA256: Digest{1}, Embedding: 4, Size: 3}, Settings: settings, Model: Digest{2}}
	s.Apply(Change{Verb: "add", Added: []Example{photo("a", 1), photo("a", 2), photo("b", 3)}, Settings: settings})
	s.Apply(Change{Verb: "rename", From: "a", To: "c", Settings: settings})
	s.Apply(Change{Verb: "remove", Removed: s.Examples[:1:1], Settings: settings})
	return s
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

func encoded(t testing.TB, s *State) []byte {
	t.Helper()
	b, err := s.Encode(MaxState)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecode(t *testing.T) {
	good := smallState()
	if got, err := Decode(encoded(t, good)); err != nil || !reflect.DeepEqual(got, good) {
		t.Errorf("got %+v, %v, want %+v", got, err, good)
	}
	// Each change makes the state invalid. The checksum is correct.
	tests := map[string]func(*State){
		"label":                               func(s *State) { s.Examples[0].Label = " " },
		"order of examples":                   func(s *State) { s.Examples[0], s.Examples[1] = s.Examples[1], s.Examples[0] },
		"photo twice":                         func(s *State) { s.Examples[1].Photo = s.Examples[0].Photo },
		"resize mode":                         func(s *State) { s.Settings.Resize = "" },
		"layout tpu without a compiled model": func(s *State) { s.Settings.Layout = "tpu" },
		"resize mode in the history":          func(s *State) { s.History[0].Settings.Resize = "x" },
		"embedding size":                      func(s *State) { s.Backbone.Size = 0 },
		"larger embeddings":                   func(s *State) { s.Backbone.Size++ },
		"smaller embeddings":                  func(s *State) { s.Backbone.Size-- },
		"embedding tensor":                    func(s *State) { s.Backbone.Embedding = -1 },
		"embedding missing":                   func(s *State) { s.Examples[1].Raw = nil },
		"removed embedding missing":           func(s *State) { s.History[2].Removed[0].Raw = nil },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := Decode(encoded(t, good))
			if err != nil {
				t.Fatal(err)
			}
			spoil(s)
			_, err = Decode(encoded(t, s))
			wantError(t, err, ErrCorrupt)
		})
	}
	// Flip each byte, and cut the file at each length.
	b := encoded(t, good)
	for i := range b {
		b[i] ^= 0x10
		if _, err := Decode(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: got error %v, want %v", i, err, ErrCorrupt)
		}
		b[i] ^= 0x10
		if _, err := Decode(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: got error %v, want %v", i, err, ErrCorrupt)
		}
	}
}

// TestEncodeFull checks that Encode shortens the history of a large state before it fails.
func TestEncodeFull(t *testing.T) {
	s := smallState()
	all, changes := len(encoded(t, s)), len(s.History)
	if b, err := s.Encode(all - 1); err != nil || len(s.History) >= changes || len(b) >= all {
		t.Fatalf("got %d bytes, %d changes, error %v, want less than %d bytes, %d changes", len(b), len(s.History), err, all, changes)
	}
	examples := slices.Clone(s.Examples)
	_, err := s.Encode(500)
	wantError(t, err, ErrFull)
	if !reflect.DeepEqual(s.Examples, examples) {
		t.Error("the examples have changed")
	}
}

// TestBackboneChange checks that a state with embeddings of two backbones can be decoded and
// undone, and that the new backbone gets a file of its own.
func TestBackboneChange(t *testing.T) {
	s := smallState()
	before := *s
	was := s.Backbone
	next := BackboneRef{Name: "other", SHA256: Sum([]byte("other")), Size: was.Size + 3}
	s.Place(&next)
	if next.FileName() == was.FileName() || s.Version > 3 {
		t.Fatalf("got file %s and version %d, want another file than %s", next.FileName(), s.Version, was.FileName())
	}
	c := Change{Verb: "retrain", Removed: s.Examples, Settings: s.Settings, Backbone: &was}
	for _, e := range s.Examples {
		e.Raw = make([]byte, next.Size)
		c.Added = append(c.Added, e)
	}
	s.Backbone = next
	s.Apply(c)
	s.Version = s.OldestVersion()
	got, err := Decode(encoded(t, s))
	if err != nil {
		t.Fatal(err)
	}
	if got.Version != 4 || !got.Backbone.Same(next) || len(got.Examples[0].Raw) != next.Size {
		t.Errorf("got version %d, backbone %+v, embeddings of %d bytes", got.Version, got.Backbone, len(got.Examples[0].Raw))
	}
	again := was
	if got.Place(&again); again.FileName() != BackboneFile {
		t.Errorf("got file %s for the first backbone, want %s", again.FileName(), BackboneFile)
	}
	got.Undo()
	if got.Backbone != was || !reflect.DeepEqual(got.Examples, before.Examples) {
		t.Errorf("after undo: got backbone %+v, want %+v; same examples: %v", got.Backbone, was, reflect.DeepEqual(got.Examples, before.Examples))
	}
	s.Backbone.File = "../model.tflite"
	_, err = Decode(encoded(t, s))
	wantError(t, err, ErrCorrupt)
}

func FuzzDecode(f *testing.F) {
	// The seeds are short, because the fuzzer spends most of its time minimizing inputs.
	s := &State{Version: Version, Backbone: BackboneRef{Size: 1}, Settings: Settings{Resize: "crop", Layout: "float"}}
	f.Add(encoded(f, s))
	e := Example{Label: "a", Raw: []byte{1}}
	s.Apply(Change{Verb: "add", Added: []Example{e}, Settings: s.Settings})
	f.Add(encoded(f, s))
	s.Apply(Change{Verb: "remove", Removed: []Example{e}, Settings: s.Settings})
	f.Add(encoded(f, s)[:200])
	header, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	was := s.Backbone
	s.Backbone = BackboneRef{Size: 2}
	s.Place(&s.Backbone)
	s.Apply(Change{Verb: "retrain", Settings: s.Settings, Backbone: &was})
	f.Add(encoded(f, s))
	f.Add(encoded(f, cropState()))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		check := func(b []byte) {
			s, err := Decode(b)
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Errorf("got error %v, want %v or %v", err, ErrCorrupt, ErrVersion)
				}
				return
			}
			again, err := s.Encode(MaxState)
			if err != nil {
				t.Fatalf("encode the decoded state: %v", err)
			}
			got, err := Decode(again)
			if err != nil {
				t.Fatalf("decode the encoded state: %v", err)
			}
			if third, err := got.Encode(MaxState); err != nil || !bytes.Equal(third, again) || len(got.Examples) != len(s.Examples) {
				t.Errorf("the second encoding differs from the first, error %v", err)
			}
			for len(s.History) > 0 {
				s.Undo()
			}
		}
		check(b)
		if len(b) > len(Digest{}) {
			body := b[:len(b)-len(Digest{})]
			sum := Sum(body) // a correct checksum, so that Decode reads the rest
			check(slices.Concat(body, sum[:]))
		}
		// Use the input as the JSON of a state, and append embeddings of the right size.
		var s State
		if json.Unmarshal(b, &s) == nil && s.Backbone.Size > 0 && s.Backbone.Size < 100 {
			s.Version = Version
			s.withRaw(func(e *Example, size int) { e.Raw = make([]byte, min(max(size, 0), 100)) })
			if b, err := s.Encode(MaxState); err == nil {
				check(b)
			}
		}
	})
}
