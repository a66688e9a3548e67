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
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
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
		taught bool                             // in a workspace with photos, fitted by Pad
		break_ func(dir string) error           // the workspace
		set    func(o *Options)                 // from a new workspace's options, or none
		want   error                            // nil for success
		check  func(t *testing.T, k *Workspace) // on success
		add    error                            // of adding, on success
		kept   func(t *testing.T, dir string)   // after adding
	}{
		{name: "new", check: func(t *testing.T, k *Workspace) {
			if s := k.Settings(); s != (Settings{Resize: dataset.Crop, Layout: classifier.Float, KeepClasses: false, Head: classifier.Auto}) || k.Generation() != 0 || len(k.Classes()) != 0 {
				t.Errorf("got settings %+v, generation %d, %d classes", s, k.Generation(), len(k.Classes()))
			}
			if _, err := labelsIn(k); !errors.Is(err, ErrNoClasses) {
				t.Errorf("labels: got error %v, want %v", err, ErrNoClasses)
			}
		}},
		{name: "new, no backbone", set: func(o *Options) { o.Backbone = "" }, check: func(t *testing.T, k *Workspace) {
			if b := k.Backbone(); b.Name != builtin.Name || fmt.Sprintf("%x", b.SHA256) != builtin.SHA256 {
				t.Errorf("got backbone %s with SHA-256 %x, want %s with %s", b.Name, b.SHA256, builtin.Name, builtin.SHA256)
			}
		}},
		{name: "new, must exist", set: func(o *Options) { o.Existing = true }, want: ErrNoClasses},
		{name: "new, backbone missing", set: func(o *Options) { o.Backbone += "x" }, want: ErrNoBackbone},
		{name: "new, backbone is a folder", set: func(o *Options) { o.Backbone = filepath.Dir(o.Backbone) }, want: tflite.ErrNotRegular},
		{name: "new, no model", set: func(o *Options) { o.Backbone = noModel }, want: tflite.ErrCorrupt},
		{name: "new, no such tensor", set: func(o *Options) { o.Embedding = "nothing" }, want: backbone.ErrNoEmbedding},
		{name: "new, unknown fit", set: func(o *Options) { o.Resize = "stretch" }, want: errAny},
		{name: "new, unknown layout", set: func(o *Options) { o.Layout = "flat" }, want: errAny},
		{name: "new, classes of none", set: func(o *Options) { o.KeepClasses = &keep }, add: ErrNoOwnClasses},
		{name: "existing", taught: true, check: func(t *testing.T, k *Workspace) {
			wantTaught(t, k, map[string]int{"a": 2})
			if l, err := labelsIn(k); err != nil || !slices.Equal(l, []string{"a"}) {
				t.Errorf("labels: got %q, %v", l, err)
			}
			if k.Settings().Resize != dataset.Pad || k.Backbone().Name != "extractor.tflite" {
				t.Errorf("got settings %+v of backbone %s", k.Settings(), k.Backbone().Name)
			}
		}},
		{name: "the same backbone", taught: true, set: func(o *Options) { o.Backbone = copied }},
		{name: "the same fit", taught: true, set: func(o *Options) { o.Resize = dataset.Pad }},
		{name: "another fit", taught: true, set: func(o *Options) { o.Resize = dataset.Crop }, want: ErrOtherResize},
		{name: "another backbone", taught: true, set: func(o *Options) { o.Backbone = other }, want: ErrOtherBackbone},
		{name: "another tensor", taught: true, set: func(o *Options) { o.Embedding = "pointwise" }, want: ErrOtherBackbone},
		{name: "backbone gone", taught: true, break_: func(dir string) error { return os.Remove(filepath.Join(dir, store.BackboneFile)) }, want: store.ErrCorrupt},
		{name: "backbone damaged", taught: true, break_: damageBackbone, want: store.ErrCorrupt},
		{name: "backbone gone and named", taught: true, break_: func(dir string) error { return os.Remove(filepath.Join(dir, store.BackboneFile)) },
			set: func(o *Options) { o.Backbone = copied }, kept: backboneKept},
		{name: "backbone damaged and named", taught: true, break_: damageBackbone, set: func(o *Options) { o.Backbone = copied }, kept: backboneKept},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir, o := newWorkspace(t)
			if test.taught {
				o.Resize = dataset.Pad
				mustAdd(t, openWorkspace(t, dir, o), photos("a", 0, 0, 2)...)
				o = Options{}
			}
			if test.break_ != nil {
				if err := test.break_(dir); err != nil {
					t.Fatal(err)
				}
			}
			if test.set != nil {
				test.set(&o)
			}
			before := files(t, filepath.Dir(dir))
			k, err := Open(dir, o)
			sameFiles(t, files(t, filepath.Dir(dir)), before)
			if test.want != nil {
				wantError(t, err, test.want)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer k.Close()
			if test.check != nil {
				test.check(t, k)
			}
			err = addOne(k)
			if test.add != nil {
				wantError(t, err, test.add)
				sameFiles(t, files(t, filepath.Dir(dir)), before)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if test.kept != nil {
				test.kept(t, dir)
			}
		})
	}
}

func damageBackbone(dir string) error {
	return os.Truncate(filepath.Join(dir, store.BackboneFile), 5000)
}

func backboneKept(t *testing.T, dir string) {
	if b, err := os.ReadFile(filepath.Join(dir, store.BackboneFile)); err != nil || !bytes.Equal(b, backbonetest.Extractor()) {
		t.Errorf("the workspace's backbone has not been made good: %d bytes, %v", len(b), err)
	}
}

// errAny is any error.
var errAny = errors.New("any error")

// wantError wants an error that is want, in one line and without words twice.
func wantError(t testing.TB, err, want error) {
	t.Helper()
	if err == nil || (want != errAny && !errors.Is(err, want)) {
		t.Errorf("got error %v, want %v", err, want)
		return
	}
	t.Log(err)
	if s := err.Error(); strings.Contains(s, "\n") || strings.Contains(s, "%!") {
		t.Errorf("error %q is not one sentence", s)
	}
}

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
		want  map[string]int // taught by it
		skips []skip
		err   error
	}{
		{name: "files", items: []dataset.Item{file("a", a0), file("b", b0)}, want: map[string]int{"a": 1, "b": 1}},
		{name: "content", items: []dataset.Item{photo("a", 0, 0)}, want: map[string]int{"a": 1}},
		{name: "known", items: []dataset.Item{photo("old", 7, 0)}, want: map[string]int{}, skips: []skip{{"old/7-0.png", true}}},
		{name: "known under another label", items: []dataset.Item{photo("a", 7, 0), file("a", a0)}, want: map[string]int{"a": 1}, skips: []skip{{"a/7-0.png", true}}},
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
			k := newOpened(t)
			mustAdd(t, k, photo("old", 7, 0))
			before := files(t, k.store.Dir)
			var progress []int
			l, err := k.Add(context.Background(), test.items, AddOptions{Progress: func(done, total int) {
				progress = append(progress, done)
				if total != len(test.items) {
					t.Errorf("progress of %d, want %d", total, len(test.items))
				}
			}})
			if test.err != nil {
				wantError(t, err, test.err)
				sameFiles(t, files(t, k.store.Dir), before)
			} else if err != nil {
				t.Fatal(err)
			}
			if l == nil {
				if test.skips != nil {
					t.Error("nothing is said of the photos skipped")
				}
				return
			}
			for i, p := range progress {
				if p != i+1 {
					t.Errorf("progress %v", progress)
				}
			}
			var skips []skip
			for _, s := range l.Skipped {
				skips = append(skips, skip{s.Path, s.Duplicate})
				if s.Reason == "" || strings.Contains(s.Reason, "\n") {
					t.Errorf("%s is skipped for the reason %q", s.Path, s.Reason)
				}
			}
			if !slices.Equal(skips, test.skips) {
				t.Errorf("skipped %v, want %v", l.Skipped, test.skips)
			}
			if test.err != nil {
				return
			}
			total := 0
			for label, n := range test.want {
				total += n
				if l.Classes[label] != n {
					t.Errorf("learned %v, want %v", l.Classes, test.want)
				}
			}
			if l.Photos != total || len(l.Classes) != len(test.want) || l.Estimate.Total+l.Estimate.Excluded != total+1 {
				t.Errorf("learned %+v, want %v", l, test.want)
			}
			test.want["old"] = 1
			wantTaught(t, k, test.want)
			wantTaught(t, openWorkspace(t, k.store.Dir, Options{}), test.want)
			if total == 0 {
				sameFiles(t, files(t, k.store.Dir), before)
			}
		})
	}
}

// TestAddNothingSeen skips a photo whose embedding is zero, which would make a head
// impossible once it is alone in its class.
func TestAddNothingSeen(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	for _, tensor := range m.Subgraphs[0].Tensors {
		if tensor.Name == "pointwise/bias" { // so low that no weight can make up for it
			m.Buffers[tensor.Buffer] = bytes.Repeat([]byte{0, 0, 0, 0xf0}, backbonetest.Dim)
		}
	}
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	k := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), Options{Backbone: phototest.Backbone(t, "blind.tflite", b)})
	l, err := k.Add(context.Background(), photos("a", 0, 0, 1), AddOptions{})
	wantError(t, err, ErrNoPhotos)
	if l == nil || len(l.Skipped) != 1 {
		t.Fatalf("got %+v", l)
	}
	t.Log(l.Skipped[0].Reason)
}

func TestAddInterrupted(t *testing.T) {
	k := newOpened(t)
	ctx, cancel := context.WithCancel(context.Background())
	_, err := k.Add(ctx, photos("a", 0, 0, 20), AddOptions{Progress: func(done, total int) {
		if done == 5 {
			cancel()
		}
	}})
	wantError(t, err, context.Canceled)
	if _, err := os.Stat(k.store.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the workspace has been made: %v", err)
	}
}

// TestNewWorkspaceFailed leaves no trace of a workspace whose first change fails,
// and only that of others in its folder.
func TestNewWorkspaceFailed(t *testing.T) {
	ctx := context.Background()
	verbs := map[string]func(*Workspace) error{
		"remove":  func(k *Workspace) error { _, err := k.Remove(ctx, "a", nil); return err },
		"rename":  func(k *Workspace) error { return k.Rename(ctx, "a", "b") },
		"undo":    func(k *Workspace) error { _, err := k.Undo(ctx); return err },
		"retrain": func(k *Workspace) error { return k.Retrain(ctx, "") },
		"add":     func(k *Workspace) error { return addOne(k) }, // with KeepClasses
		"export": func(k *Workspace) error {
			return export(k, filepath.Join(k.store.Dir, "m.tflite"), "", classifier.Float, false)
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
				if err := os.WriteFile(filepath.Join(dir, "note"), []byte("of somebody"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			above := filepath.Dir(filepath.Dir(filepath.Dir(dir)))
			before := files(t, above)
			if err := verb(openWorkspace(t, dir, o)); err == nil {
				t.Errorf("%s in a new workspace has succeeded", name)
			}
			sameFiles(t, files(t, above), before)
		}
	}
}

// TestWorkspaceRemoved does not bring a workspace back that somebody has removed.
func TestWorkspaceRemoved(t *testing.T) {
	k := newOpened(t)
	mustAdd(t, k, photos("a", 0, 0, 2)...)
	if err := os.RemoveAll(k.store.Dir); err != nil {
		t.Fatal(err)
	}
	wantError(t, addOne(k), fs.ErrNotExist)
	_, err := k.Repair(context.Background())
	wantError(t, err, fs.ErrNotExist)
	if _, err := os.Stat(k.store.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder is there again: %v", err)
	}
}
