package handle_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/integrations/delegate/handle"
	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tools/race"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var ctx = context.Background()

// skipUnderRace skips a test that calls one function after the other.
func skipUnderRace(t *testing.T) {
	t.Helper()
	if race.Enabled {
		t.Skip("no concurrency")
	}
}

func newLibrary() *handle.Library {
	return &handle.Library{Host: host.New(host.Config{}), Log: slog.New(slog.NewTextHandler(io.Discard, nil))}
}

// optionsOf returns options from names and values.
func optionsOf(pairs ...string) (o []host.Option) {
	for ; len(pairs) > 0; pairs = pairs[2:] {
		o = append(o, host.Option{Name: pairs[0], Value: pairs[1]})
	}
	return o
}

func openWorkspace(t *testing.T, dir string, pairs ...string) *handle.Workspace {
	t.Helper()
	w, err := newLibrary().OpenWorkspace(ctx, dir, optionsOf(pairs...))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// encoded returns n photos of a kind that the built-in backbone tells from others.
func encoded(label string, kind uint64, n int) []handle.Photo {
	photos := make([]handle.Photo, n)
	for i := range photos {
		photos[i] = handle.Photo{Label: label, Content: backbonetest.Photo(kind, uint64(i))}
	}
	return photos
}

// pixels returns a photo in the form of pixels.
func pixels(t *testing.T, p handle.Photo) handle.Photo {
	t.Helper()
	decoded, err := dataset.Decode(p.Content, dataset.DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	p.Content = nil
	p.Pixels = &handle.Pixels{Width: decoded.Width, Height: decoded.Height, Row: func(y int) (row []byte) {
		for x := range decoded.Width {
			r, g, b, _ := decoded.Image.At(x, y).RGBA()
			row = append(row, byte(r>>8), byte(g>>8), byte(b>>8))
		}
		return row
	}}
	return p
}

// trained returns a workspace with the class waves, six photos of two kinds, and the class dots, three photos.
func trained(t *testing.T, dir string, pairs ...string) *handle.Workspace {
	t.Helper()
	w := openWorkspace(t, dir, pairs...)
	if _, err := w.Add(ctx, slices.Concat(encoded("waves", 1, 3), encoded("waves", 2, 3), encoded("dots", 10, 3)), nil, nil); err != nil {
		t.Fatal(err)
	}
	return w
}

// decode returns JSON as a map.
func decode(t *testing.T, v any) (m map[string]any) {
	t.Helper()
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWorkspaceChanges(t *testing.T) {
	skipUnderRace(t)
	w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"))
	folder := filepath.Join(t.TempDir(), "photos")
	for _, name := range []string{"dots/a.png", "dots/b.png", "rest/c.png"} {
		path := filepath.Join(folder, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, backbonetest.Photo(10, uint64(name[5])), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	bad := handle.Photo{Label: "waves", Path: "bad.jpg", Content: []byte("no photo")}
	photo := pixels(t, encoded("waves", 1, 1)[0])
	var progress []int
	var sum string
	tests := []struct {
		name   string
		change func() (any, error)
		want   map[string]any // keys of the result
		labels []string
	}{
		{"add", func() (any, error) {
			return w.Add(ctx, append(encoded("waves", 2, 3), bad, photo), encoded("", 3, 2), func(done, _ int) { progress = append(progress, done) })
		}, map[string]any{"photos": 4.0, "negatives": 2.0, "classes": map[string]any{"waves": 4.0}, "generation": 1.0}, []string{"waves"}},
		{"add folder", func() (any, error) { return w.Add(ctx, []handle.Photo{{Path: folder}}, nil, nil) },
			map[string]any{"photos": 3.0, "generation": 2.0}, []string{"dots", "rest", "waves"}},
		{"rename", func() (any, error) { return w.Rename(ctx, "rest", "other") }, map[string]any{"from": "rest", "to": "other"}, []string{"dots", "other", "waves"}},
		{"move", func() (any, error) { return w.Move(ctx, "dots", []string{filepath.Join(folder, "rest/c.png")}) },
			map[string]any{"photos": 1.0, "to": "dots"}, []string{"dots", "waves"}},
		{"undo", func() (any, error) { return w.Undo(ctx) }, map[string]any{"undid": "move"}, []string{"dots", "other", "waves"}},
		{"remove", func() (any, error) { return w.Remove(ctx, "other", nil) }, map[string]any{"photos": 1.0}, []string{"dots", "waves"}},
		{"remove photo", func() (any, error) { return w.RemovePhoto(ctx, sum) }, map[string]any{"photos": 1.0, "label": "dots"}, []string{"dots", "waves"}},
		{"remove negatives", func() (any, error) { return w.RemoveNegatives(ctx) }, map[string]any{"negatives": 2.0, "photos": 0.0}, []string{"dots", "waves"}},
		{"retrain", func() (any, error) { return w.Retrain(ctx, optionsOf("head", "ridge", "unknown", "off")) },
			map[string]any{"generation": 9.0}, []string{"dots", "waves"}},
	}
	for _, test := range tests {
		if classes, ok := decode(t, must(w.List()))["classes"].([]any); ok && len(classes) > 0 {
			sum = classes[0].(map[string]any)["photos"].([]any)[0].(map[string]any)["sha256"].(string)
		}
		result, err := test.change()
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		got := decode(t, result)
		for key, want := range test.want {
			if !reflect.DeepEqual(got[key], want) {
				t.Errorf("%s: got %s %v, want %v", test.name, key, got[key], want)
			}
		}
		labels := slices.DeleteFunc(must(w.Labels()), func(l string) bool { return l == "unknown" })
		if !slices.Equal(labels, test.labels) {
			t.Errorf("%s: got labels %q, want %q", test.name, labels, test.labels)
		}
	}
	if slices.Max(progress) != 7 {
		t.Errorf("got progress %v, want up to 7 photos", progress)
	}
	if n := must(w.Generation()); n != 9 {
		t.Errorf("got generation %d, want 9", n)
	}
	list := decode(t, must(w.List()))
	if list["generation"] != 9.0 || list["unknown"] != 0.0 || len(list["negatives"].([]any)) != 0 {
		t.Errorf("got %v, want generation 9 without the answer unknown and without negatives", list)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func TestWorkspaceAnswers(t *testing.T) {
	skipUnderRace(t)
	dir := t.TempDir()
	w := trained(t, dir, "threads", "2", "unknown", "off")
	photo := handle.Photo{Content: backbonetest.Photo(10, 7)}
	r, err := w.Classify(ctx, &photo)
	if err != nil || r.Label != "dots" || r.Unknown || r.Nearest != "dots" || len(r.Top) != 2 || r.Top[1].Label != "waves" || r.Generation != 1 || r.Device != "cpu" {
		t.Errorf("got %+v, %v, want dots before waves", r, err)
	}
	same := pixels(t, photo)
	if p, err := w.Classify(ctx, &same); err != nil || !reflect.DeepEqual(p.Top, r.Top) {
		t.Errorf("from pixels: got %+v, %v, want %+v", p.Top, err, r.Top)
	}
	embedding, err := w.Embed(ctx, &photo)
	if n := must(w.EmbeddingLength()); err != nil || len(embedding) != n || n == 0 {
		t.Errorf("got an embedding of %d values, %v, want %d", len(embedding), err, n)
	}
	if p, err := w.Embed(ctx, &same); err != nil || !slices.Equal(p, embedding) {
		t.Errorf("from pixels: the embedding differs, %v", err)
	}
	if e := must(w.Estimate()); e.Total != 6 || e.Excluded != 3 || e.Bursts != 2 {
		t.Errorf("got %+v, want six photos in two bursts, and three that can't be left out", e)
	}
	if size := must(w.InputSize()); size.X != 128 || size.Y != 128 {
		t.Errorf("got an input of %v, want 128×128", size)
	}
	if path := must(w.ModelPath()); path != filepath.Join(dir, "model.tflite") {
		t.Errorf("got model %s", path)
	}
	if _, err := os.Stat(must(w.ModelPath())); err != nil {
		t.Error(err)
	}
}

// TestModelOfWorkspace opens an exported model, which must answer as its workspace does.
func TestModelOfWorkspace(t *testing.T) {
	skipUnderRace(t)
	w := trained(t, t.TempDir(), "unknown", "0.05", "none", "nothing")
	photo := handle.Photo{Content: backbonetest.Photo(1, 9)}
	want, err := w.Classify(ctx, &photo)
	if err != nil {
		t.Fatal(err)
	}
	path, labels := filepath.Join(t.TempDir(), "m.tflite"), filepath.Join(t.TempDir(), "labels.txt")
	exported, err := w.Export(ctx, path, optionsOf("labels", labels))
	if err != nil {
		t.Fatal(err)
	}
	if e := decode(t, exported); e["model"] != path || e["labels"] != labels || e["layout"] != "float" {
		t.Errorf("got %v", e)
	}
	m, err := newLibrary().OpenModel(ctx, path, optionsOf("labels", labels))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got := must(m.Labels()); !slices.Equal(got, []string{"dots", "waves", "nothing"}) || !slices.Equal(got, must(w.Labels())) {
		t.Errorf("got labels %q", got)
	}
	for _, p := range []handle.Photo{photo, pixels(t, photo)} {
		got, err := m.Classify(ctx, &p)
		if err != nil || got.Label != want.Label || got.Nearest != want.Nearest || got.Unknown != want.Unknown || got.Score-want.Score > 1e-6 || want.Score-got.Score > 1e-6 {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	}
	embedding := must(w.Embed(ctx, &photo))
	for _, p := range []handle.Photo{photo, pixels(t, photo)} {
		if got, err := m.Embed(ctx, &p); err != nil || !slices.Equal(got, embedding) {
			t.Errorf("the embedding differs from the workspace's, %v", err)
		}
	}
	if size := must(m.InputSize()); size != must(w.InputSize()) || must(m.EmbeddingLength()) != len(embedding) {
		t.Errorf("got an input of %v", size)
	}
}

// TestUnknown checks the nearest class of a photo of something else.
func TestUnknown(t *testing.T) {
	skipUnderRace(t)
	w := trained(t, t.TempDir(), "unknown", "0.01")
	if _, err := w.Add(ctx, nil, encoded("", 19, 3), nil); err != nil {
		t.Fatal(err)
	}
	r, err := w.Classify(ctx, &handle.Photo{Content: backbonetest.Photo(19, 9)})
	if err != nil || !r.Unknown || r.Label != "unknown" || !slices.Contains([]string{"waves", "dots"}, r.Nearest) {
		t.Errorf("got %+v, %v, want unknown and a class", r, err)
	}
}

// TestRetrain checks that a setting of Retrain replaces the one with which the workspace was opened.
func TestRetrain(t *testing.T) {
	skipUnderRace(t)
	w := trained(t, t.TempDir(), "backbone", "", "head", "mean", "unknown", "off")
	check := func(head string, unknown float64) {
		t.Helper()
		list := decode(t, must(w.List()))
		if got := list["head"].(map[string]any)["method"]; got != head || list["unknown"] != unknown {
			t.Errorf("got head %v and rate %v, want %s and %v", got, list["unknown"], head, unknown)
		}
	}
	check("mean", 0)
	for _, options := range [][]host.Option{optionsOf("head", "ridge"), optionsOf("unknown", "0.05")} {
		if _, err := w.Retrain(ctx, options); err != nil {
			t.Fatal(err)
		}
	}
	check("ridge", 0.05)
	if _, err := w.Add(ctx, encoded("other", 19, 2), nil, nil); err != nil {
		t.Fatal(err)
	}
	check("ridge", 0.05)
}

// TestReload changes a workspace through one handle and reads it through another.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	w := trained(t, dir)
	other := openWorkspace(t, dir)
	if _, err := w.Rename(ctx, "dots", "spots"); err != nil {
		t.Fatal(err)
	}
	if labels := must(other.Labels()); !slices.Contains(labels, "dots") {
		t.Errorf("before Reload: got %q, want dots", labels)
	}
	for _, want := range []bool{true, false} {
		if changed, err := other.Reload(ctx); err != nil || changed != want {
			t.Errorf("got %v, %v, want %v", changed, err, want)
		}
		if labels := must(other.Labels()); !slices.Contains(labels, "spots") {
			t.Errorf("after Reload: got %q, want spots", labels)
		}
	}
}

// TestCancel cancels adding photos.
func TestCancel(t *testing.T) {
	w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"))
	canceled, cancel := context.WithCancel(ctx)
	_, err := w.Add(canceled, encoded("waves", 1, 6), nil, func(done, total int) { cancel() })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
	if n := must(w.Generation()); n != 0 {
		t.Errorf("got generation %d, want 0", n)
	}
}

// TestThreads uses one handle and two handles in several goroutines, and closes them meanwhile.
func TestThreads(t *testing.T) {
	dir := t.TempDir()
	handles := []*handle.Workspace{trained(t, dir), openWorkspace(t, dir)}
	var wait sync.WaitGroup
	for i := range 6 {
		w := handles[i%2]
		wait.Go(func() {
			photo := handle.Photo{Content: backbonetest.Photo(10, uint64(100+i))}
			if r, err := w.Classify(ctx, &photo); err != nil || r.Label == "waves" {
				t.Errorf("got %+v, %v, want dots", r, err)
			}
			photo.Label = "dots"
			if _, err := w.Add(ctx, []handle.Photo{photo}, nil, nil); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	for _, w := range handles {
		must(w.Reload(ctx))
		if n := must(w.Generation()); n != 7 {
			t.Errorf("got generation %d, want 7", n)
		}
		for range 3 {
			wait.Go(func() {
				if _, err := w.Labels(); err != nil && !errors.Is(err, handle.ErrClosed) {
					t.Error(err)
				}
			})
		}
		if err := w.Close(); err != nil {
			t.Error(err)
		}
		wait.Wait()
		if _, err := w.Classify(ctx, &handle.Photo{Path: "a.jpg"}); !errors.Is(err, handle.ErrClosed) {
			t.Errorf("got %v, want %v", err, handle.ErrClosed)
		}
	}
}

// TestNoClasses asks a workspace without classes, which an option can forbid.
func TestNoClasses(t *testing.T) {
	skipUnderRace(t)
	dir := filepath.Join(t.TempDir(), "ws")
	w := openWorkspace(t, dir)
	if _, err := w.Classify(ctx, &handle.Photo{Content: backbonetest.Photo(1, 1)}); !errors.Is(err, imprint.ErrNoClasses) {
		t.Errorf("got %v, want %v", err, imprint.ErrNoClasses)
	}
	if e, err := w.Estimate(); err != nil || e.Total != 0 {
		t.Errorf("got %+v, %v, want 0 photos", e, err)
	}
	if list := decode(t, must(w.List())); len(list["classes"].([]any)) != 0 {
		t.Errorf("got %v, want no classes", list)
	}
	if _, err := w.Undo(ctx); !errors.Is(err, imprint.ErrNothingToUndo) {
		t.Errorf("got %v, want %v", err, imprint.ErrNothingToUndo)
	}
	if _, err := newLibrary().OpenWorkspace(ctx, dir, optionsOf("existing", "true")); !errors.Is(err, imprint.ErrNoClasses) {
		t.Errorf("got %v, want %v", err, imprint.ErrNoClasses)
	}
}
