package imprint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

func TestOpen(t *testing.T) {
	other := phototest.Backbone(t, "other.tflite", backbonetest.Classifier(3))
	copied := phototest.Backbone(t, "another name.tflite", backbonetest.Extractor())
	noModel := phototest.Backbone(t, "text.tflite", []byte("not a model"))
	keep := true
	tests := []struct {
		name   string
		exists bool                             // start with a workspace that has photos and resize mode Pad
		damage func(dir string) error           // damages the workspace
		set    func(o *Options)                 // changes the options; may be nil
		want   error                            // nil for success
		check  func(t *testing.T, w *Workspace) // called after Open
		add    error                            // error of Add after Open; nil for success
		after  func(t *testing.T, dir string)   // called after Add
	}{
		{name: "new", check: func(t *testing.T, w *Workspace) {
			if s := w.Settings(); s != (Settings{Resize: dataset.Crop, Layout: classifier.Float, Head: classifier.Auto, Unknown: infer.DefaultRate}) || w.Generation() != 0 || len(w.Classes()) != 0 {
				t.Errorf("got settings %+v, generation %d, %d classes, want the defaults", s, w.Generation(), len(w.Classes()))
			}
			if _, err := headLabels(w); !errors.Is(err, ErrNoClasses) {
				t.Errorf("labels: got error %v, want %v", err, ErrNoClasses)
			}
		}},
		{name: "new, no backbone", set: func(o *Options) { o.Backbone = "" }, check: func(t *testing.T, w *Workspace) {
			if b := w.Backbone(); b.Name != builtin.Name || fmt.Sprintf("%x", b.SHA256) != builtin.SHA256 {
				t.Errorf("got backbone %s with SHA-256 %x, want %s with %s", b.Name, b.SHA256, builtin.Name, builtin.SHA256)
			}
		}},
		{name: "new, must exist", set: func(o *Options) { o.Existing = true }, want: ErrNoClasses},
		{name: "new, backbone missing", set: func(o *Options) { o.Backbone += "x" }, want: ErrNoBackbone},
		{name: "new, backbone is a folder", set: func(o *Options) { o.Backbone = filepath.Dir(o.Backbone) }, want: tflite.ErrNotRegular},
		{name: "new, backbone is not a model", set: func(o *Options) { o.Backbone = noModel }, want: tflite.ErrCorrupt},
		{name: "new, no such tensor", set: func(o *Options) { o.Embedding = "nothing" }, want: backbone.ErrNoEmbedding},
		{name: "new, unknown resize mode", set: func(o *Options) { o.Resize = "stretch" }, want: errAny},
		{name: "new, unknown layout", set: func(o *Options) { o.Layout = "flat" }, want: errAny},
		{name: "new, backbone without classes", set: func(o *Options) { o.KeepClasses = &keep }, add: ErrNoOwnClasses},
		{name: "existing", exists: true, check: func(t *testing.T, w *Workspace) {
			wantPhotos(t, w, map[string]int{"a": 2})
			if l, err := headLabels(w); err != nil || !slices.Equal(l, []string{"a"}) {
				t.Errorf("labels: got %q, %v, want a", l, err)
			}
			if w.Settings().Resize != dataset.Pad || w.Backbone().Name != "extractor.tflite" {
				t.Errorf("got settings %+v, backbone %s, want resize mode pad, extractor.tflite", w.Settings(), w.Backbone().Name)
			}
		}},
		{name: "same backbone", exists: true, set: func(o *Options) { o.Backbone = copied }},
		{name: "same resize mode", exists: true, set: func(o *Options) { o.Resize = dataset.Pad }},
		{name: "another resize mode", exists: true, set: func(o *Options) { o.Resize = dataset.Crop }, want: ErrOtherResize},
		{name: "another backbone", exists: true, set: func(o *Options) { o.Backbone = other }, want: ErrOtherBackbone},
		{name: "another tensor", exists: true, set: func(o *Options) { o.Embedding = "pointwise" }, want: ErrOtherBackbone},
		{name: "backbone missing", exists: true, damage: func(dir string) error { return os.Remove(filepath.Join(dir, store.BackboneFile)) }, want: store.ErrCorrupt},
		{name: "backbone damaged", exists: true, damage: damageBackbone, want: store.ErrCorrupt},
		{name: "backbone missing but in the options", exists: true, damage: func(dir string) error { return os.Remove(filepath.Join(dir, store.BackboneFile)) },
			set: func(o *Options) { o.Backbone = copied }, after: backboneRestored},
		{name: "backbone damaged but in the options", exists: true, damage: damageBackbone, set: func(o *Options) { o.Backbone = copied }, after: backboneRestored},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := newWorkspace(t)
			if test.exists {
				o.Resize = dataset.Pad
				mustAdd(t, openWorkspace(t, dir, o), photos("a", 0, 0, 2)...)
				o = Options{}
			}
			if test.damage != nil {
				if err := test.damage(dir); err != nil {
					t.Fatal(err)
				}
			}
			if test.set != nil {
				test.set(&o)
			}
			before := files(t, filepath.Dir(dir))
			w, err := Open(dir, o)
			sameFiles(t, files(t, filepath.Dir(dir)), before)
			if test.want != nil {
				wantError(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer w.Close()
			if test.check != nil {
				test.check(t, w)
			}
			err = addOne(w)
			if test.add != nil {
				wantError(t, err, test.add)
				sameFiles(t, files(t, filepath.Dir(dir)), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.after != nil {
				test.after(t, dir)
			}
		})
	}
}

func damageBackbone(dir string) error {
	return os.Truncate(filepath.Join(dir, store.BackboneFile), 5000)
}

func backboneRestored(t *testing.T, dir string) {
	if b, err := os.ReadFile(filepath.Join(dir, store.BackboneFile)); err != nil || !bytes.Equal(b, backbonetest.Extractor()) {
		t.Errorf("the workspace's backbone was not restored: %d bytes, %v", len(b), err)
	}
}

// TestFirstChangeFails checks that a first change that fails creates no files, and keeps other
// files in the workspace's folder.
func TestFirstChangeFails(t *testing.T) {
	ctx := context.Background()
	verbs := map[string]func(*Workspace) error{
		"remove":  func(w *Workspace) error { _, err := w.Remove(ctx, "a", nil); return err },
		"rename":  func(w *Workspace) error { return w.Rename(ctx, "a", "b") },
		"undo":    func(w *Workspace) error { _, err := w.Undo(ctx); return err },
		"retrain": func(w *Workspace) error { return w.Retrain(ctx, "") },
		"add":     func(w *Workspace) error { return addOne(w) }, // fails because KeepClasses is set
		"export": func(w *Workspace) error {
			return export(w, filepath.Join(w.store.Dir, "m.tflite"), "", classifier.Float, false)
		},
	}
	for name, verb := range verbs {
		for _, exists := range []bool{false, true} {
			dir, o := newWorkspace(t)
			keep := true
			o.KeepClasses = &keep
			dir = filepath.Join(dir, "deeper", "still")
			if exists {
				if err := os.MkdirAll(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(filepath.Join(dir, "note"), []byte("not ours"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			above := filepath.Dir(filepath.Dir(filepath.Dir(dir)))
			before := files(t, above)
			if err := verb(openWorkspace(t, dir, o)); err == nil {
				t.Errorf("%s in a new workspace: got no error", name)
			}
			sameFiles(t, files(t, above), before)
		}
	}
}

// TestWorkspaceRemoved checks that a change does not recreate a removed workspace.
func TestWorkspaceRemoved(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, photos("a", 0, 0, 2)...)
	if err := os.RemoveAll(w.store.Dir); err != nil {
		t.Fatal(err)
	}
	wantError(t, addOne(w), fs.ErrNotExist)
	_, err := w.Repair(context.Background())
	wantError(t, err, fs.ErrNotExist)
	if _, err := os.Stat(w.store.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the change created the folder again: %v", err)
	}
}
