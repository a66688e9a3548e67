package imprint

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// torture reports whether tests check every state instead of a sample.
func torture() bool { return os.Getenv("IMPRINT_TORTURE") == "1" }

// try checks states of the recorded changes: a sample of n random ones at each point, of which it
// takes every step-th, or all states in a torture test.
func (c *crashTest) try(n, step int) {
	c.Helper()
	if testing.Short() {
		step *= 8
	}
	if torture() {
		n, step = 0, 1
	}
	states, failed := c.run(c.history(), n, step, 5)
	for _, err := range failed {
		c.Error(err)
	}
	c.Logf("%d states after crashes in %d changes", states, len(c.want)-1)
}

func addPhoto(label string, kind, seed uint64) func(*Workspace) error {
	return func(w *Workspace) error {
		_, err := w.Add(context.Background(), photos(label, kind, seed, 1), AddOptions{})
		return err
	}
}

func undo(w *Workspace) error { _, err := w.Undo(context.Background()); return err }

// changes calls every method that changes a workspace or writes files.
func (c *crashTest) changes() {
	ctx := context.Background()
	do := func(f func(*Workspace) error) { c.Helper(); c.do(c.o, f) }
	do(addPhoto("a", 0, 0))
	do(addPhoto("b", 1, 0))
	do(addPhoto("a", 0, 1))
	do(func(w *Workspace) error { return w.Rename(ctx, "b", "c") })
	moved := photo("a", 0, 1)
	do(func(w *Workspace) error { _, err := w.Move(ctx, "c", []string{moved.Path}); return err })
	do(undo)
	do(func(w *Workspace) error { _, err := w.RemovePhoto(ctx, store.Sum(moved.Content).String()); return err })
	do(func(w *Workspace) error { return w.Retrain(ctx, classifier.LDA) })
	export := func(w *Workspace) error {
		_, err := w.Export(filepath.Join(c.disk, crashExports[0]), filepath.Join(c.disk, crashExports[1]), classifier.Float, false)
		return err
	}
	do(export)
	more := observed(c.T, c.o, varied("d", 2, 2))
	do(func(w *Workspace) error {
		merged := &fleet.Merged{Classes: make(map[string]int)}
		u, err := gather(ctx, w.store.Dir, sourcesIn(more), merged)
		if err != nil {
			return err
		}
		return w.merge(ctx, u, merged)
	})
	do(export)
	other := classifier.Coral
	if c.o.Layout == other {
		other = classifier.Float
	}
	c.do(Options{Layout: other}, func(w *Workspace) error { return w.Retrain(ctx, "") })
	for _, label := range []string{"a", "c", "d"} { // the last removes the model
		do(func(w *Workspace) error { _, err := w.Remove(ctx, label, nil); return err })
	}
	do(undo)
}

// TestCrashStates records every kind of change and checks the disks that crashes leave behind. The
// whole torture test takes minutes.
func TestCrashStates(t *testing.T) {
	if race.Enabled {
		t.Skip("no concurrency")
	}
	for _, layout := range []classifier.Layout{classifier.Float, classifier.Coral} {
		t.Run(string(layout), func(t *testing.T) {
			c := newCrashTest(t, Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor()), Layout: layout})
			c.record()
			c.changes()
			c.try(1, 1)
		})
	}
}

// TestCrashStatesTPU is like TestCrashStates, for the layout TPU, in which a workspace also keeps
// two models.
func TestCrashStatesTPU(t *testing.T) {
	if race.Enabled || testing.Short() {
		t.Skip("making compiled models is slow")
	}
	c := newCrashTest(t, Options{})
	pair := Options{
		Compiled:   reference.Path(t, "models", pooltest.Small+"_edgetpu.tflite"),
		Uncompiled: reference.Path(t, "models", pooltest.Small+".tflite"),
	}
	c.do(Options{Backbone: pair.Uncompiled}, func(w *Workspace) error { mustAdd(c, w, kinds(0, 2)...); return nil })
	c.record()
	c.do(pair, func(w *Workspace) error { return w.Retrain(context.Background(), "") })
	c.do(c.o, addPhoto("red", 4, 9))
	c.do(c.o, undo)
	c.do(c.o, undo)
	c.try(1, 7)
}

// TestCrashStatesAfterDamage damages a workspace and records the change that repairs it.
func TestCrashStatesAfterDamage(t *testing.T) {
	if race.Enabled {
		t.Skip("no concurrency")
	}
	repair := func(w *Workspace) error { _, err := w.Repair(context.Background()); return err }
	for name, test := range map[string]struct {
		file   string
		folder bool
		change func(*Workspace) error
	}{
		"state flipped":     {store.SlotFile(2), false, addPhoto("c", 2, 0)},
		"state is a folder": {store.SlotFile(2), true, addPhoto("c", 2, 0)},
		"older state":       {store.SlotFile(1), false, addPhoto("c", 2, 0)},
		"model":             {store.ModelFile, false, repair},
		"labels":            {store.LabelsFile, false, repair},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCrashTest(t, Options{})
			c.damaged = true
			c.do(Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}, addPhoto("a", 0, 0))
			c.do(c.o, addPhoto("b", 1, 0))
			path := filepath.Join(c.disk, crashWorkspace, test.file)
			b := bytesOf(t, path)
			b[len(b)/2] ^= 1
			err := os.WriteFile(path, b, 0o644)
			if test.folder {
				err = errors.Join(err, os.Remove(path), os.MkdirAll(filepath.Join(path, "x"), 0o755))
			}
			if err != nil {
				t.Fatal(err)
			}
			c.record()
			c.do(c.o, test.change)
			c.try(2, 1)
		})
	}
}

// TestCrashStatesNoticed leaves out syncs of a recorded change. Some state must then fail, or else
// TestCrashStates would prove nothing.
func TestCrashStatesNoticed(t *testing.T) {
	if race.Enabled {
		t.Skip("no concurrency")
	}
	c := newCrashTest(t, Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())})
	c.record()
	c.do(c.o, addPhoto("a", 0, 0))
	c.do(c.o, addPhoto("b", 1, 0))
	for name, test := range map[string]struct {
		n    int // random states at each point
		drop func(folder bool, count int) bool
	}{
		"the folder":                  {8, func(folder bool, _ int) bool { return folder }},
		"the folder for the 3rd time": {1, func(folder bool, count int) bool { return folder && count == 2 }},
		"files before the rename":     {8, func(folder bool, count int) bool { return !folder && count == 0 }},
		"files after the rename":      {8, func(folder bool, count int) bool { return !folder && count == 1 }},
	} {
		if _, failed := c.run(c.history().Without(test.drop), test.n, 1, 1); len(failed) == 0 {
			t.Errorf("without syncs of %s, no state failed", name)
		} else {
			t.Logf("without syncs of %s: %v", name, failed[0])
		}
	}
}
