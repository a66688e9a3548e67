package imprint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// smallState is a state with every field in use.
func smallState(t testing.TB) *state {
	t.Helper()
	ctx := context.Background()
	k := newKit(t)
	mustAdd(t, k, append(photos("a", 0, 0, 2), photos("b", 1, 0, 1)...)...)
	if err := k.Rename(ctx, "a", "c"); err != nil {
		t.Fatal(err)
	}
	if _, err := k.Remove(ctx, "b", nil); err != nil {
		t.Fatal(err)
	}
	return k.state
}

func encoded(t testing.TB, s *state) []byte {
	t.Helper()
	b, err := s.encode(maxState)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestDecodeState(t *testing.T) {
	good := smallState(t)
	if got, err := decodeState(encoded(t, good)); err != nil || !reflect.DeepEqual(got, good) {
		t.Errorf("got %+v, %v, want %+v", got, err, good)
	}
	// Each spoils a copy of the state; the checksum is right.
	tests := map[string]func(*state){
		"label":               func(s *state) { s.Examples[0].Label = " " },
		"order":               func(s *state) { s.Examples[0], s.Examples[1] = s.Examples[1], s.Examples[0] },
		"twice":               func(s *state) { s.Examples[1].Photo = s.Examples[0].Photo },
		"fit":                 func(s *state) { s.Settings.Resize = "" },
		"layout":              func(s *state) { s.Settings.Layout = "tpu" },
		"fit before":          func(s *state) { s.History[0].Settings.Resize = "x" },
		"size":                func(s *state) { s.Backbone.Size = 0 },
		"larger embeddings":   func(s *state) { s.Backbone.Size++ },
		"smaller embeddings":  func(s *state) { s.Backbone.Size-- },
		"tensor":              func(s *state) { s.Backbone.Embedding = -1 },
		"embedding missing":   func(s *state) { s.Examples[1].raw = nil },
		"removed one missing": func(s *state) { s.History[2].Removed[0].raw = nil },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s, err := decodeState(encoded(t, good))
			if err != nil {
				t.Fatal(err)
			}
			spoil(s)
			_, err = decodeState(encoded(t, s))
			wantError(t, err, ErrCorrupt)
		})
	}
	// And every byte flipped, every length.
	b := encoded(t, good)
	for i := range b {
		b[i] ^= 0x10
		if _, err := decodeState(b); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: got error %v", i, err)
		}
		b[i] ^= 0x10
		if _, err := decodeState(b[:i]); !errors.Is(err, ErrCorrupt) {
			t.Errorf("cut to %d bytes: got error %v", i, err)
		}
	}
}

// TestStateFull forgets what could be undone before it refuses photos.
func TestStateFull(t *testing.T) {
	s := smallState(t)
	all, changes := len(encoded(t, s)), len(s.History)
	if b, err := s.encode(all - 1); err != nil || len(s.History) >= changes || len(b) >= all {
		t.Fatalf("got %d bytes, %d changes, error %v", len(b), len(s.History), err)
	}
	examples := slices.Clone(s.Examples)
	_, err := s.encode(500)
	wantError(t, err, ErrFull)
	if !reflect.DeepEqual(s.Examples, examples) {
		t.Error("examples have been forgotten")
	}
}

func FuzzDecodeState(f *testing.F) {
	// As short as can be: the fuzzer spends its time on making inputs shorter.
	s := &state{Version: stateVersion, Backbone: backboneRef{Size: 1}, Settings: Settings{Resize: "crop", Layout: "float"}}
	f.Add(encoded(f, s))
	e := example{Label: "a", raw: []byte{1}}
	s.apply(change{Verb: "add", Added: []example{e}, Settings: s.Settings})
	f.Add(encoded(f, s))
	s.apply(change{Verb: "remove", Removed: []example{e}, Settings: s.Settings})
	f.Add(encoded(f, s)[:200])
	header, err := json.Marshal(s)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(header)
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		// As it is, and with a checksum that lets the rest be read.
		check := func(b []byte) {
			s, err := decodeState(b)
			if err != nil {
				if !errors.Is(err, ErrCorrupt) && !errors.Is(err, ErrVersion) {
					t.Errorf("untyped error %v", err)
				}
				return
			}
			again, err := s.encode(maxState)
			if err != nil {
				t.Fatalf("what was decoded can't be encoded: %v", err)
			}
			got, err := decodeState(again)
			if err != nil {
				t.Fatalf("what was encoded can't be decoded: %v", err)
			}
			if third, err := got.encode(maxState); err != nil || !bytes.Equal(third, again) || len(got.Examples) != len(s.Examples) {
				t.Errorf("got another state the second time, error %v", err)
			}
			for len(s.History) > 0 {
				s.undo()
			}
		}
		check(b)
		if len(b) > len(digest{}) {
			body := b[:len(b)-len(digest{})]
			check(slices.Concat(body, sumOf(body)))
		}
		// A state's JSON alone, with the embeddings that it wants.
		var s state
		if json.Unmarshal(b, &s) == nil && s.Backbone.Size > 0 && s.Backbone.Size < 100 {
			s.Version = stateVersion
			s.withRaw(func(e *example) { e.raw = make([]byte, s.Backbone.Size) })
			if b, err := s.encode(maxState); err == nil {
				check(b)
			}
		}
	})
}

func sumOf(b []byte) []byte { d := sum(b); return d[:] }

// FuzzLabel writes labels into files and reads them back: what checkLabel lets
// through comes back as it was.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"cone", "50 limit", "Grünfläche/日本 <&>\"", "", " a", "a\n", "a\x00b", "\xff", strings.Repeat("x", 201), "a\u2028b", "\u200b", "\ufeffa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, label string) {
		if err := checkLabel(label); err != nil {
			if !errors.Is(err, ErrLabel) || strings.Contains(err.Error(), "\n") || !utf8.ValidString(err.Error()) {
				t.Errorf("error %q", err)
			}
			return
		}
		lines := strings.Split(string(labelLines([]string{label, "z"})), "\n")
		if len(lines) != 3 || lines[0] != "0  "+label || lines[1] != "1  z" || lines[2] != "" {
			t.Fatalf("label %q makes the lines %q", label, lines)
		}
		m := &tflite.Model{Subgraphs: []tflite.Subgraph{{Tensors: []tflite.Tensor{{Name: "scores", Shape: []int32{1, 2}}}, Outputs: []int32{0}}}}
		if err := m.SetLabels([]string{label, "z"}); err != nil {
			t.Fatalf("label %q can't be written into a model: %v", label, err)
		}
		if got, err := m.Labels(); err != nil || !slices.Equal(got, []string{label, "z"}) {
			t.Fatalf("label %q comes back from a model as %q, %v", label, got, err)
		}
	})
}

// FuzzReadSet reads sets of any files: what is read can be evaluated.
func FuzzReadSet(f *testing.F) {
	set := smallSet()
	marshal := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(set["emb.u8"].([]byte), marshal(set["labels.json"]), marshal(set["episodes.json"]))
	f.Add([]byte{1}, []byte(`{"classes":["a","a"],"labels":[0]}`), []byte(`{"shots":[[[0],[0]]],"test":[[0]]}`))
	f.Add([]byte{}, []byte(`{}`), []byte(`null`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, embeddings, labels, episodes []byte) {
		for name, b := range map[string][]byte{"emb.u8": embeddings, "labels.json": labels, "episodes.json": episodes} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := ReadSet(dir, dataset.Squash)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2}) // must not panic
	})
}
