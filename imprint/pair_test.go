package imprint

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// modelFiles returns the names of the model files in a workspace, except the published one.
func modelFiles(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".tflite") && name != store.ModelFile {
			names = append(names, name)
		}
	}
	return names
}

// A pairTest is a workspace for tests of the TPU layout.
type pairTest struct {
	*testing.T
	dir                  string
	compiled, uncompiled string
	float                []byte // the model in the Float layout
}

// newPairTest creates a workspace in the Float layout with the uncompiled model as its backbone.
func newPairTest(t *testing.T) pairTest {
	t.Helper()
	if testing.Short() {
		t.Skip("making compiled models is slow")
	}
	p := pairTest{T: t, dir: filepath.Join(t.TempDir(), "ws")}
	p.compiled = reference.Path(t, "models", pooltest.Small+"_edgetpu.tflite")
	p.uncompiled = reference.Path(t, "models", pooltest.Small+".tflite")
	w := openWorkspace(t, p.dir, Options{Backbone: p.uncompiled})
	mustAdd(t, w, kinds(0, 2)...)
	p.float = readModel(t, w)
	p.wantModelFiles(1)
	return p
}

// retrain opens the workspace with the options and retrains it. It returns the workspace and its
// model.
func (p pairTest) retrain(o Options) (*Workspace, []byte) {
	p.Helper()
	w := openWorkspace(p, p.dir, o)
	if err := w.Retrain(context.Background(), ""); err != nil {
		p.Fatal(err)
	}
	return w, readModel(p, w)
}

// wantModelFiles checks the number of model files in the workspace, not counting the published
// one.
func (p pairTest) wantModelFiles(n int) {
	p.Helper()
	if got := modelFiles(p, p.dir); len(got) != n {
		p.Errorf("got models %q, want %d", got, n)
	}
}

// wantRefused checks that retraining with the options fails and changes no file.
func (p pairTest) wantRefused(want error, o Options) {
	p.Helper()
	before := files(p, p.dir)
	w, err := Open(p.dir, o)
	if err == nil {
		err = w.Retrain(context.Background(), "")
		w.Close()
	}
	wantError(p, err, want)
	sameFiles(p, files(p, p.dir), before)
}

func TestTPULayoutErrors(t *testing.T) {
	p := newPairTest(t)
	yes := true
	other := reference.Path(t, "models", "mobilenet_v1_0.5_160_quant.tflite")
	otherCompiled := reference.Path(t, "models", "mobilenet_v1_0.5_160_quant_edgetpu.tflite")
	p.wantRefused(ErrNeedsCompiled, Options{Layout: classifier.TPU})
	p.wantRefused(ErrNeedsCompiled, Options{Compiled: p.compiled})
	p.wantRefused(ErrKeepClasses, Options{Compiled: p.compiled, Uncompiled: p.uncompiled, KeepClasses: &yes})
	p.wantRefused(ErrNoBackbone, Options{Compiled: filepath.Join(p.dir, "none"), Uncompiled: p.uncompiled})
	p.wantRefused(errAny, Options{Compiled: p.uncompiled, Uncompiled: p.compiled})
	p.wantRefused(errAny, Options{Compiled: otherCompiled, Uncompiled: other})
}

// TestTPULayoutRoom checks that classes for which the compiled model has no room are refused
// before their photos are embedded.
func TestTPULayoutRoom(t *testing.T) {
	pair := Options{Compiled: reference.Path(t, "models", "retrained", "tutorial_a_edgetpu.tflite"), Uncompiled: reference.Path(t, "models", "retrained", "tutorial_a.tflite")}
	w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), pair)
	_, err := w.Add(context.Background(), kinds(0, 2), AddOptions{Progress: func(done, total int) {
		t.Errorf("%d of %d photos were embedded", done, total)
	}})
	if !errors.Is(err, compiled.ErrCompiled) || !strings.Contains(err.Error(), "it has room for 2 classes, not for 4") {
		t.Errorf("got error %v, want one about the room", err)
	}
}

// TestTPULayoutKept checks that the workspace keeps the compiled and the uncompiled model, so
// that the options need to name them only once.
func TestTPULayoutKept(t *testing.T) {
	ctx := context.Background()
	p := newPairTest(t)
	_, first := p.retrain(Options{Compiled: p.compiled, Uncompiled: p.uncompiled})
	p.wantModelFiles(3)
	w := openWorkspace(t, p.dir, Options{})
	mustAdd(t, w, kinds(10, 1)...)
	if bytes.Equal(readModel(t, w), first) || w.Written() == nil || w.Written().Examples != 12 {
		t.Errorf("after more photos: got %+v, want another model with 12 examples", w.Written())
	}
	if _, err := w.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, w), first) {
		t.Error("after undo the model differs")
	}
	out := filepath.Join(t.TempDir(), "m.tflite")
	if written, err := w.Export(out, "", classifier.TPU, false); err != nil || written.Examples != 8 || !bytes.Equal(bytesOf(t, out), first) {
		t.Errorf("export: got %+v, %v, want the published model", written, err)
	}
	if _, err := w.Export(out, "", classifier.Float, false); err != nil || len(bytesOf(t, out)) != len(p.float) {
		t.Errorf("export in the layout float: got %d bytes, %v, want %d", len(bytesOf(t, out)), err, len(p.float))
	}
	if err := os.WriteFile(w.ModelPath(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if repaired, err := openWorkspace(t, p.dir, Options{}).Repair(ctx); err != nil || !repaired || !bytes.Equal(readModel(t, w), first) {
		t.Errorf("repair: got %v, %v, want the first model", repaired, err)
	}
}

// TestTPULayoutChanged replaces the compiled model that the workspace keeps, then corrupts it.
func TestTPULayoutChanged(t *testing.T) {
	p := newPairTest(t)
	m, err := tflite.Parse(bytesOf(t, p.compiled))
	if err != nil {
		t.Fatal(err)
	}
	m.Description = "another file"
	other, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	same := Options{Compiled: p.compiled, Uncompiled: p.uncompiled}
	_, first := p.retrain(same)
	p.retrain(Options{Compiled: phototest.Backbone(t, "another_edgetpu.tflite", other), Uncompiled: p.uncompiled})
	p.wantModelFiles(4)
	w := openWorkspace(t, p.dir, Options{})
	if _, err := w.Undo(context.Background()); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, w), first) {
		t.Error("after undo the model differs from the first")
	}

	kept, _ := w.state.Settings.Pair.Files()
	if err := os.WriteFile(filepath.Join(p.dir, kept), other, 0o644); err != nil {
		t.Fatal(err)
	}
	p.wantRefused(store.ErrCorrupt, Options{})
	p.retrain(same)
	if !bytes.Equal(bytesOf(t, filepath.Join(p.dir, kept)), bytesOf(t, p.compiled)) {
		t.Error("the compiled model was not restored")
	}

	w = openWorkspace(t, p.dir, Options{Layout: classifier.Float})
	for range store.MaxHistory + 3 { // until undo can no longer return to the TPU layout
		if err := w.Retrain(context.Background(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := readModel(t, w); !bytes.Equal(got, p.float) {
		t.Error("after the return to the layout float, the model differs from the first model")
	}
	p.wantModelFiles(3) // the settings keep the compiled model in every layout
}

// TestLastLayer converts a head to a layer. Heads with square roots or without bias must give an
// error.
func TestLastLayer(t *testing.T) {
	h := &classifier.Head{Labels: []string{"a"}, Dim: 1, Weights: []float32{1}, Bias: []float32{0}}
	if l, err := lastLayer(h); err != nil || l.Inputs != 1 {
		t.Errorf("got %v, %v, want a layer with one input", l, err)
	}
	roots, short := *h, *h
	roots.Sqrt, short.Bias = true, nil
	if _, err := lastLayer(&roots); !errors.Is(err, classifier.ErrShape) || !strings.Contains(err.Error(), "square roots") {
		t.Errorf("square roots: got error %v, want %v with %q", err, classifier.ErrShape, "square roots")
	}
	if _, err := lastLayer(&short); !errors.Is(err, classifier.ErrShape) {
		t.Errorf("without bias: got error %v, want %v", err, classifier.ErrShape)
	}
}
