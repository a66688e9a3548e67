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
)

// modelFiles lists the models in a workspace beside the published one.
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

// What the workspace needs to write its model is in it: nothing is named twice.
func TestTPULayoutKept(t *testing.T) {
	if testing.Short() {
		t.Skip("templates take long, and the race detector sees nothing of it")
	}
	ctx := context.Background()
	compiled, twin := reference.Path(t, "models", smallModel+"_edgetpu.tflite"), reference.Path(t, "models", smallModel+".tflite")
	m, err := tflite.Parse(bytesOf(t, compiled))
	if err != nil {
		t.Fatal(err)
	}
	m.Description = "another file"
	other, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	another := phototest.Backbone(t, "another_edgetpu.tflite", other)
	dir := filepath.Join(t.TempDir(), "ws")
	mustAdd(t, openWorkspace(t, dir, Options{Backbone: twin}), kinds(0, 2)...)
	plain := readModel(t, openWorkspace(t, dir, Options{}))
	if got := modelFiles(t, dir); len(got) != 1 {
		t.Errorf("without a template there are %q", got)
	}
	refused := func(want error, o Options) {
		t.Helper()
		before := files(t, dir)
		k, err := Open(dir, o)
		if err == nil {
			err = k.Retrain(ctx, "")
			k.Close()
		}
		wantError(t, err, want)
		sameFiles(t, files(t, dir), before)
	}
	yes := true
	refused(ErrNeedsCompiled, Options{Layout: classifier.TPU})
	refused(ErrNeedsCompiled, Options{Compiled: compiled})
	refused(ErrKeepClasses, Options{Compiled: compiled, Uncompiled: twin, KeepClasses: &yes})
	refused(ErrNoBackbone, Options{Compiled: filepath.Join(dir, "none"), Uncompiled: twin})
	refused(errAny, Options{Compiled: twin, Uncompiled: compiled})
	refused(errAny, Options{Compiled: reference.Path(t, "models", "mobilenet_v1_0.5_160_quant_edgetpu.tflite"), Uncompiled: reference.Path(t, "models", "mobilenet_v1_0.5_160_quant.tflite")})

	k := openWorkspace(t, dir, Options{Compiled: compiled, Uncompiled: twin})
	if err := k.Retrain(ctx, ""); err != nil {
		t.Fatal(err)
	}
	first := readModel(t, k)
	if got := modelFiles(t, dir); len(got) != 3 {
		t.Errorf("with a template there are %q", got)
	}
	k = openWorkspace(t, dir, Options{})
	mustAdd(t, k, kinds(10, 1)...)
	if bytes.Equal(readModel(t, k), first) || k.Written() == nil || k.Written().Examples != 12 {
		t.Errorf("after more photos: %+v", k.Written())
	}
	if _, err := k.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, k), first) {
		t.Error("undone, the model is another than before")
	}
	out := filepath.Join(t.TempDir(), "m.tflite")
	if w, err := k.Export(out, "", classifier.TPU, false); err != nil || w.Examples != 8 || !bytes.Equal(bytesOf(t, out), first) {
		t.Errorf("exported: %+v, %v", w, err)
	}
	if _, err := k.Export(out, "", classifier.Float, false); err != nil || len(bytesOf(t, out)) != len(plain) {
		t.Errorf("exported as float: %v", err)
	}

	// Another template, and back.
	k = openWorkspace(t, dir, Options{Compiled: another, Uncompiled: twin})
	if err := k.Retrain(ctx, ""); err != nil {
		t.Fatal(err)
	}
	if len(modelFiles(t, dir)) != 4 {
		t.Errorf("with another template there are %q", modelFiles(t, dir))
	}
	k = openWorkspace(t, dir, Options{})
	if _, err := k.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, k), first) {
		t.Error("with the first template again, the model is another than before")
	}
	if err := os.WriteFile(k.ModelPath(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if done, err := openWorkspace(t, dir, Options{}).Repair(ctx); err != nil || !done || !bytes.Equal(readModel(t, k), first) {
		t.Errorf("repaired: %v, %v", done, err)
	}
	ref := k.state.Settings.Pair
	kept, _ := ref.Files()
	if err := os.WriteFile(filepath.Join(dir, kept), other, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(store.ErrCorrupt, Options{})
	k = openWorkspace(t, dir, Options{Compiled: compiled, Uncompiled: twin}) // named again
	if err := k.Retrain(ctx, ""); err != nil || !bytes.Equal(bytesOf(t, filepath.Join(dir, kept)), bytesOf(t, compiled)) {
		t.Errorf("the template was not put back: %v", err)
	}
	k = openWorkspace(t, dir, Options{Layout: classifier.Float})
	for range store.MaxHistory + 3 { // until no change that can be undone had a template
		if err := k.Retrain(ctx, ""); err != nil {
			t.Fatal(err)
		}
	}
	if got := readModel(t, k); !bytes.Equal(got, plain) {
		t.Error("as float again, the model is another than in the beginning")
	}
}

// TestLastLayer converts heads that are no layers of a compiled model.
func TestLastLayer(t *testing.T) {
	h := &classifier.Head{Labels: []string{"a"}, Dim: 1, Weights: []float32{1}, Bias: []float32{0}}
	if l, err := lastLayer(h); err != nil || l.Inputs != 1 {
		t.Errorf("got %v, %v", l, err)
	}
	roots, short := *h, *h
	roots.Sqrt, short.Bias = true, nil
	if _, err := lastLayer(&roots); !errors.Is(err, classifier.ErrShape) || !strings.Contains(err.Error(), "square roots") {
		t.Errorf("got %v, want %v with %q", err, classifier.ErrShape, "square roots")
	}
	if _, err := lastLayer(&short); !errors.Is(err, classifier.ErrShape) {
		t.Errorf("got %v, want %v", err, classifier.ErrShape)
	}
}
