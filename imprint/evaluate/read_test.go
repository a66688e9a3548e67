package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// writeSet writes files of stored embeddings to a new folder and returns its path.
func writeSet(t testing.TB, contents map[string]any) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "set")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for name, v := range contents {
		b, ok := v.([]byte)
		if !ok {
			var err error
			if b, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func smallSet() map[string]any {
	return map[string]any{
		"emb.u8":        []byte{9, 0, 8, 1, 1, 8, 0, 9},
		"emb.crop.u8":   []byte{3, 4, 0, 5, 4, 3, 5, 0},
		"labels.json":   map[string]any{"classes": []string{"a", "b"}, "labels": []int{0, 0, 1, 1}},
		"episodes.json": map[string]any{"shots": [][][]int{{{0}, {2}}}, "test": [][]int{{1, 3}}},
	}
}

func TestReadSet(t *testing.T) {
	dir := writeSet(t, smallSet())
	s, err := ReadSet(dir, dataset.Squash)
	if err != nil {
		t.Fatal(err)
	}
	if s.Name != "set" || !slices.Equal(s.Classes, []string{"a", "b"}) || len(s.Units) != 4 || !slices.Equal(s.Units[0], []float64{1, 0}) {
		t.Errorf("got set %+v", s)
	}
	if ev, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1}); err != nil || ev.Results[0].Mean != 100 {
		t.Errorf("got %+v, %v, want an accuracy of 100", ev, err)
	}
	if s, err := ReadSet(dir, dataset.Crop); err != nil || math.Abs(s.Units[0][0]-0.6) > 1e-9 || math.Abs(s.Units[0][1]-0.8) > 1e-9 {
		t.Errorf("crop: got set %+v, %v", s, err)
	}

	tests := []struct {
		name, file string
		content    any // nil removes the file
		want       error
	}{
		{"no embeddings", "emb.u8", nil, os.ErrNotExist},
		{"no labels", "labels.json", nil, os.ErrNotExist},
		{"no episodes", "episodes.json", nil, os.ErrNotExist},
		{"empty embeddings", "emb.u8", []byte{}, ErrProtocol},
		{"cut embeddings", "emb.u8", []byte{1, 2, 3}, ErrProtocol},
		{"labels not JSON", "labels.json", []byte("classes: a, b"), ErrProtocol},
		{"labels of the wrong type", "labels.json", map[string]any{"classes": []int{1, 2}, "labels": []int{0}}, ErrProtocol},
		{"empty labels", "labels.json", map[string]any{}, ErrProtocol},
		{"label too large", "labels.json", map[string]any{"classes": []string{"a"}, "labels": []int{0, 0, 1, 1}}, ErrProtocol},
		{"negative label", "labels.json", map[string]any{"classes": []string{"a", "b"}, "labels": []int{0, 0, 1, -1}}, ErrProtocol},
		{"cut episodes", "episodes.json", []byte(`{"shots":[[[0],[2]]],"te`), ErrProtocol},
		{"no episodes", "episodes.json", map[string]any{}, ErrProtocol},
		{"row too large", "episodes.json", map[string]any{"shots": [][][]int{{{0}, {4}}}, "test": [][]int{{1}}}, ErrProtocol},
		{"negative row", "episodes.json", map[string]any{"shots": [][][]int{{{0}, {2}}}, "test": [][]int{{-1}}}, ErrProtocol},
		{"class missing", "episodes.json", map[string]any{"shots": [][][]int{{{0}}}, "test": [][]int{{1}}}, ErrProtocol},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			set := smallSet()
			if set[test.file] = test.content; test.content == nil {
				delete(set, test.file)
			}
			_, err := ReadSet(writeSet(t, set), dataset.Squash)
			wantError(t, err, test.want)
		})
	}
}

// FuzzReadSet checks that every set that can be read can be evaluated.
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
				t.Errorf("got error %v, want %v", err, ErrProtocol)
			}
			return
		}
		s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2}) // must not panic
	})
}
