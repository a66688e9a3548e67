package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/tools/reference"
)

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// corners is a set of three classes on the three axes: the last two
// photos of each class lie at the place of the next class.
func corners() *Set {
	s := &Set{Name: "corners", Classes: []string{"x", "y", "z"}}
	for c := range s.Classes {
		for i := range 5 {
			u := make([]float64, 3)
			u[(c+i/3)%3] = 1
			s.Labels, s.Units, s.Norms = append(s.Labels, c), append(s.Units, u), append(s.Norms, 1)
		}
	}
	return s
}

func TestEvaluate(t *testing.T) {
	s := corners()
	// The first draw teaches what is right; the second shifts all classes by one.
	s.Support = [][][]int{{{0, 1}, {5, 6}, {10, 11}}, {{3, 4}, {8, 9}, {13, 14}}}
	s.Query = [][]int{{2, 3, 7, 12}, {0, 1, 2, 5, 9}}
	ev, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	// 3 of 4 and 1 of 5 are right.
	want := []Accuracy{{"mean", 1, 47.5, 27.5, 2}, {"mean", 2, 47.5, 27.5, 2}}
	for i := range ev.Results {
		for _, v := range []*float64{&ev.Results[i].Mean, &ev.Results[i].Std} {
			*v = math.Round(*v*1e9) / 1e9
		}
	}
	if !slices.Equal(ev.Results, want) {
		t.Errorf("got %+v, want %+v", ev.Results, want)
	}
	if d := ev.Heads; len(d) != 1 || d[0].Support != 2 || len(d[0].Photos) != 8 || !reflect.DeepEqual(d[0].Confusion, [][]int{{1, 1, 3}, {1, 2, 0}, {0, 0, 1}}) {
		t.Errorf("got details %+v", d)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.Evaluate(cancelled, []classifier.Method{classifier.Mean}, []int{1, 2})
	wantError(t, err, context.Canceled)

	tests := map[string]func(*Set) []int{
		"too many shots":         func(s *Set) []int { return []int{3} },
		"no shots":               func(s *Set) []int { return []int{0} },
		"no draws":               func(s *Set) []int { s.Support, s.Query = nil, nil; return []int{1} },
		"draws of one kind only": func(s *Set) []int { s.Query = s.Query[:1]; return []int{1} },
		"a class not taught":     func(s *Set) []int { s.Support[1] = s.Support[1][:2]; return []int{1} },
		"a row too far":          func(s *Set) []int { s.Query[1][0] = 15; return []int{1} },
		"a row below":            func(s *Set) []int { s.Support[0][0][0] = -1; return []int{1} },
		"a class too far":        func(s *Set) []int { s.Labels[0] = 3; return []int{1} },
		"nothing to classify":    func(s *Set) []int { s.Query[0] = nil; return []int{1} },
		"an embedding missing":   func(s *Set) []int { s.Units = s.Units[1:]; return []int{1} },
		"an embedding short":     func(s *Set) []int { s.Units[2] = s.Units[2][:2]; return []int{1} },
		"a class twice":          func(s *Set) []int { s.Classes[1] = "x"; return []int{1} },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := corners()
			s.Support = [][][]int{{{0, 1}, {5, 6}, {10, 11}}, {{3, 4}, {8, 9}, {13, 14}}}
			s.Query = [][]int{{2, 3, 7, 12}, {0, 1, 2, 5, 9}}
			_, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, spoil(s))
			wantError(t, err, ErrProtocol)
		})
	}
}

// writeSet writes the files of stored embeddings; nil leaves one out.
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
		t.Errorf("got %+v", s)
	}
	if ev, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1}); err != nil || ev.Results[0].Mean != 100 {
		t.Errorf("got %+v, %v", ev, err)
	}
	if s, err := ReadSet(dir, dataset.Crop); err != nil || math.Abs(s.Units[0][0]-0.6) > 1e-9 || math.Abs(s.Units[0][1]-0.8) > 1e-9 {
		t.Errorf("crop: got %+v, %v", s, err)
	}

	tests := []struct {
		name, file string
		content    any // nil: missing
		want       error
	}{
		{"no embeddings", "emb.u8", nil, os.ErrNotExist},
		{"no labels", "labels.json", nil, os.ErrNotExist},
		{"no episodes", "episodes.json", nil, os.ErrNotExist},
		{"embeddings empty", "emb.u8", []byte{}, ErrProtocol},
		{"embeddings cut", "emb.u8", []byte{1, 2, 3}, ErrProtocol},
		{"labels not JSON", "labels.json", []byte("classes: a, b"), ErrProtocol},
		{"labels of other types", "labels.json", map[string]any{"classes": []int{1, 2}, "labels": []int{0}}, ErrProtocol},
		{"labels empty", "labels.json", map[string]any{}, ErrProtocol},
		{"label too high", "labels.json", map[string]any{"classes": []string{"a"}, "labels": []int{0, 0, 1, 1}}, ErrProtocol},
		{"label below 0", "labels.json", map[string]any{"classes": []string{"a", "b"}, "labels": []int{0, 0, 1, -1}}, ErrProtocol},
		{"episodes cut", "episodes.json", []byte(`{"shots":[[[0],[2]]],"te`), ErrProtocol},
		{"episodes of no draw", "episodes.json", map[string]any{}, ErrProtocol},
		{"row too high", "episodes.json", map[string]any{"shots": [][][]int{{{0}, {4}}}, "test": [][]int{{1}}}, ErrProtocol},
		{"row below 0", "episodes.json", map[string]any{"shots": [][][]int{{{0}, {2}}}, "test": [][]int{{-1}}}, ErrProtocol},
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

func TestEmbed(t *testing.T) {
	ctx := context.Background()
	b, err := backbone.Parse(backbonetest.Extractor(), backbone.Options{Name: "extractor"})
	if err != nil {
		t.Fatal(err)
	}
	items := phototest.Kinds(0, 6)
	items = append(items, items[0], dataset.Item{Path: "damaged.png", Label: "red", Content: items[0].Content[:100]})
	calls := 0
	s, skipped, err := embed(ctx, "four", b, items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 2, Progress: func(done, total int) { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	if calls != len(items) || len(s.Units) != 24 || len(s.Support) != 3 || len(s.Query[0]) != 16 || !slices.Equal(s.Classes, []string{"blue", "green", "red", "teal"}) {
		t.Errorf("%d calls, got %d photos, %d draws, classes %q", calls, len(s.Units), len(s.Support), s.Classes)
	}
	if len(skipped) != 2 || !errors.Is(skipped[0].Err, ErrDuplicate) || errors.Is(skipped[1].Err, ErrDuplicate) {
		t.Errorf("skipped %+v", skipped)
	}
	for d := range s.Support {
		seen := slices.Clone(s.Query[d])
		for c, rows := range s.Support[d] {
			for _, r := range rows {
				if s.Labels[r] != c {
					t.Errorf("draw %d teaches photo %d of class %d as %d", d, r, s.Labels[r], c)
				}
			}
			seen = append(seen, rows...)
		}
		slices.Sort(seen)
		if len(slices.Compact(seen)) != 24 {
			t.Errorf("draw %d does not use each photo once: %v", d, seen)
		}
	}
	if reflect.DeepEqual(s.Support[0], s.Support[1]) {
		t.Error("two draws are the same")
	}
	if ev, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2}); err != nil || ev.Results[1].Mean != 100 {
		t.Errorf("got %+v, %v", ev, err)
	}
	again, _, err := embed(ctx, "four", b, items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 1})
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("the second time the set is another one, error %v", err)
	}

	for name, test := range map[string]struct {
		items []dataset.Item
		want  error
	}{
		"too few photos": {phototest.Kinds(0, 2), ErrProtocol},
		"one class":      {phototest.Photos("a", 0, 0, 5), ErrProtocol},
		"none":           {nil, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := embed(ctx, "few", b, test.items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 2})
			wantError(t, err, test.want)
		})
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = embed(cancelled, "four", b, items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 2})
	wantError(t, err, context.Canceled)
}

// TestSharedSets evaluates the stored embeddings of real photos.
func TestSharedSets(t *testing.T) {
	for set, least := range map[string]float64{"clothing": 60, "flowers17": 60} {
		s, err := ReadSet(reference.Path(t, "embeddings", set), dataset.Squash)
		if err != nil {
			t.Fatal(err)
		}
		var r []Accuracy
		for _, k := range []int{1, 5, 20} {
			all, err := s.episodes(context.Background(), classifier.Mean, k)
			if err != nil {
				t.Fatal(err)
			}
			r = append(r, accuracyOf(classifier.Mean, k, all))
		}
		t.Log(set, r)
		if r[0].Mean >= r[1].Mean || r[1].Mean >= r[2].Mean || r[2].Mean < least {
			t.Errorf("%s: got %+v, want it to rise to more than %v", set, r, least)
		}
	}
}
