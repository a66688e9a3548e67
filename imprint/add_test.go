package imprint

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

func TestAdd(t *testing.T) {
	a0, b0 := photoFile(t, "a0.png", picture(0, 0)), photoFile(t, "b0.png", picture(1, 0))
	a0Copy := photoFile(t, "a0 copy.png", picture(0, 0))
	damaged := photoFile(t, "damaged.png", picture(0, 1)[:100])
	empty := photoFile(t, "empty.png", nil)
	text := photoFile(t, "text.png", []byte("not a photo"))
	file := func(label, path string) dataset.Item { return dataset.Item{Label: label, Path: path} }
	type skip struct {
		path      string
		duplicate bool
	}
	tests := []struct {
		name  string
		items []dataset.Item
		want  map[string]int // photos added, by label
		skips []skip
		err   error
	}{
		{name: "files", items: []dataset.Item{file("a", a0), file("b", b0)}, want: map[string]int{"a": 1, "b": 1}},
		{name: "content", items: []dataset.Item{photo("a", 0, 0)}, want: map[string]int{"a": 1}},
		{name: "duplicate", items: []dataset.Item{photo("old", 7, 0)}, want: map[string]int{}, skips: []skip{{"old/7-0.png", true}}},
		{name: "duplicate under another label", items: []dataset.Item{photo("a", 7, 0), file("a", a0)}, want: map[string]int{"a": 1}, skips: []skip{{"a/7-0.png", true}}},
		{name: "twice", items: []dataset.Item{file("a", a0), file("a", a0Copy)}, want: map[string]int{"a": 1}, skips: []skip{{a0Copy, true}}},
		{name: "twice under two labels", items: []dataset.Item{file("a", a0), file("b", a0Copy)}, want: map[string]int{"a": 1}, skips: []skip{{a0Copy, true}}},
		{name: "unreadable among others", items: []dataset.Item{file("a", damaged), file("a", a0), file("a", empty), file("a", a0+"x"), photo("a", 7, 0), file("a", text), file("a", filepath.Dir(a0))},
			want: map[string]int{"a": 1}, skips: []skip{{damaged, false}, {empty, false}, {a0 + "x", false}, {"a/7-0.png", true}, {text, false}, {filepath.Dir(a0), false}}},
		{name: "unreadable only", items: []dataset.Item{file("a", damaged), file("a", empty)}, skips: []skip{{damaged, false}, {empty, false}}, err: ErrNoPhotos},
		{name: "none", err: ErrNoPhotos},
		{name: "no label", items: []dataset.Item{file("a", a0), file("", b0)}, err: store.ErrLabel},
		{name: "label of two lines", items: []dataset.Item{file("a\nb", a0)}, err: store.ErrLabel},
		{name: "label with a space at its end", items: []dataset.Item{file("a ", a0)}, err: store.ErrLabel},
		{name: "label not in UTF-8", items: []dataset.Item{file("a\xff", a0)}, err: store.ErrLabel},
		{name: "long label", items: []dataset.Item{file(strings.Repeat("é", 101), a0)}, err: store.ErrLabel},
		{name: "odd labels", items: []dataset.Item{file("50 limit", a0), file("Grünfläche/日本 <&>\"", b0)}, want: map[string]int{"50 limit": 1, "Grünfläche/日本 <&>\"": 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := openNew(t)
			mustAdd(t, w, photo("old", 7, 0))
			before := files(t, w.store.Dir)
			var progress []int
			added, err := w.Add(context.Background(), test.items, AddOptions{Progress: func(done, total int) {
				progress = append(progress, done)
				if total != len(test.items) {
					t.Errorf("got progress of %d photos, want %d", total, len(test.items))
				}
			}})
			if test.err != nil {
				wantError(t, err, test.err)
				sameFiles(t, files(t, w.store.Dir), before)
			} else if err != nil {
				t.Fatal(err)
			}
			if added == nil {
				if test.skips != nil {
					t.Error("got no result, want the skipped photos")
				}
				return
			}
			for i, p := range progress {
				if p != i+1 {
					t.Errorf("got progress %v, want each number once, in order", progress)
				}
			}
			var skips []skip
			for _, s := range added.Skipped {
				skips = append(skips, skip{s.Path, s.Duplicate})
				if s.Reason == "" || strings.Contains(s.Reason, "\n") {
					t.Errorf("%s: got reason %q, want one line", s.Path, s.Reason)
				}
			}
			if !slices.Equal(skips, test.skips) {
				t.Errorf("got skipped photos %v, want %v", added.Skipped, test.skips)
			}
			if test.err != nil {
				return
			}
			total := 0
			for label, n := range test.want {
				total += n
				if added.Classes[label] != n {
					t.Errorf("got classes %v, want %v", added.Classes, test.want)
				}
			}
			if added.Photos != total || len(added.Classes) != len(test.want) || added.Estimate.Total+added.Estimate.Excluded != total+1 {
				t.Errorf("got %+v, want %v", added, test.want)
			}
			test.want["old"] = 1
			wantPhotos(t, w, test.want)
			wantPhotos(t, openWorkspace(t, w.store.Dir, Options{}), test.want)
			if total == 0 {
				sameFiles(t, files(t, w.store.Dir), before)
			}
		})
	}
}

// TestAddZeroEmbedding checks that Add skips a photo with a zero embedding, because a zero vector
// has no direction.
func TestAddZeroEmbedding(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range m.Subgraphs[0].Tensors {
		if tensor.Name == "pointwise/bias" { // a bias so negative that every output is zero
			m.Buffers[tensor.Buffer] = bytes.Repeat([]byte{0, 0, 0, 0xf0}, backbonetest.Dim)
		}
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), Options{Backbone: phototest.Backbone(t, "blind.tflite", b)})
	added, err := w.Add(context.Background(), photos("a", 0, 0, 1), AddOptions{})
	wantError(t, err, ErrNoPhotos)
	if added == nil || len(added.Skipped) != 1 {
		t.Fatalf("got %+v, want one skipped photo", added)
	}
	t.Log(added.Skipped[0].Reason)
}

func TestAddCancelled(t *testing.T) {
	for _, last := range []int{5, 20} {
		w := openNew(t)
		ctx, cancel := context.WithCancel(context.Background())
		_, err := w.Add(ctx, photos("a", 0, 0, 20), AddOptions{Progress: func(done, total int) {
			if done == last {
				cancel()
			}
		}})
		wantError(t, err, context.Canceled)
		if _, err := os.Stat(w.store.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the add that was canceled after photo %d created a workspace: %v", last, err)
		}
	}
}
