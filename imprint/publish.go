package imprint

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/publish"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// publishedModel reads model.tflite. It returns nil for a state without classes. It fails with
// ErrUnpublished if the file does not belong to the workspace's state.
func (w *Workspace) publishedModel() ([]byte, error) {
	b, err := tflite.ReadFile(w.ModelPath())
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b = nil
	case err != nil:
		return nil, err
	}
	if store.Sum(b) != w.state.Model {
		return nil, fmt.Errorf("%w: %w: %s is not the model of generation %d", ErrUnpublished, ErrCorrupt, w.ModelPath(), w.state.Generation)
	}
	return b, nil
}

// build makes the model file of s and its head; both are nil if s has no classes. In the layout
// TPU it sets s.Written.
func (w *Workspace) build(s *store.State) ([]byte, *classifier.Fitted, error) {
	s.Written = nil
	if len(s.Positives()) == 0 {
		return nil, nil, nil
	}
	head, norms, err := w.newHead(s)
	if err != nil {
		return nil, nil, err
	}
	var b []byte
	if s.Settings.Layout == classifier.TPU {
		b, s.Written, err = w.writeTPU(head.Head, s)
	} else {
		b, err = publish.Model(w.file, w.backbone, head.Head, norms, s.Settings)
	}
	return b, head, err
}

// rebuild makes the model of the workspace's state again. An older version may have made it without the
// row for "unknown" that the default rule gives now.
func (w *Workspace) rebuild() ([]byte, *classifier.Fitted, error) {
	now := *w.state
	model, head, err := w.build(&now)
	if err != nil || now.Settings.UnknownRule != store.ByDefault || now.Rejects() || store.Sum(model) == now.Model {
		return model, head, err
	}
	now.Settings.Unknown, now.Settings.UnknownRule = 0, store.Background
	if b, older, err := w.build(&now); err == nil && store.Sum(b) == now.Model {
		return b, older, nil
	}
	return model, head, nil
}

// published returns the replacements of labels.txt and model.tflite. Without classes, these remove
// both files. The labels come first, so that a program that reads the new model finds its labels.
func (w *Workspace) published(model []byte, head *classifier.Fitted) []store.Replacement {
	var labels []string
	if head != nil {
		labels = head.Head.Labels
	}
	return []store.Replacement{w.labelsFile(labels), {Path: w.store.Path(store.ModelFile), Content: model}}
}

// Repair publishes model.tflite and labels.txt again if they do not belong to the state, and
// reports whether it did. It does not wait for other processes.
func (w *Workspace) Repair(ctx context.Context) (bool, error) {
	if w.head == nil {
		// If publishedHead returns a head, it has checked the SHA-256 of model.tflite.
		if w.head = w.publishedHead(); w.head != nil && w.hasLabels(w.head.Head.Labels) {
			return false, nil
		}
	}
	if w.state.Generation == 0 || w.isPublished() {
		return false, nil
	}
	lock, err := w.store.Lock(ctx, 0)
	if errors.Is(err, ErrLocked) && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.Release()
	now, damaged, err := w.store.Load()
	if err != nil {
		return false, err
	}
	if now == nil {
		lock.Retract()
		return false, fmt.Errorf("repair %s: the workspace is gone: %w", w.store.Dir, fs.ErrNotExist)
	}
	if err := w.sameKind(now); err != nil {
		return false, err
	}
	w.state, w.head = now, nil
	return w.republish(damaged)
}

// republish publishes the model and labels of the workspace's state unless they are already
// published. If the state's model was made by a version that trains otherwise, it makes a new generation,
// whose state names the new model. The caller must hold the lock.
func (w *Workspace) republish(damaged []store.Damage) (bool, error) {
	if w.isPublished() {
		return false, nil
	}
	if labels, err := w.publishedLabels(); err == nil { // only labels.txt does not belong to the state
		return true, w.store.Disk.Replace(w.labelsFile(labels))
	}
	model, head, err := w.rebuild()
	if err != nil {
		return false, err
	}
	w.head = head
	if store.Sum(model) == w.state.Model {
		return true, w.store.Disk.Replace(w.published(model, head)...)
	}
	now := *w.state
	now.Next()
	made(&now, model, head)
	if err := w.write(&now, damaged, model, head); err != nil {
		return false, err
	}
	w.state = &now
	return true, nil
}

// isPublished reports whether model.tflite and labels.txt belong to the workspace's state.
func (w *Workspace) isPublished() bool {
	labels, err := w.publishedLabels()
	return err == nil && w.hasLabels(labels)
}

// publishedLabels returns the labels in model.tflite, or nil if there are no classes. It fails
// with ErrUnpublished if the file does not belong to the workspace's state.
func (w *Workspace) publishedLabels() ([]string, error) {
	b, err := w.publishedModel()
	if b == nil || err != nil {
		return nil, err
	}
	m, err := tflite.Parse(b)
	if err != nil {
		return nil, err
	}
	return m.Labels()
}

// labelsFile returns the replacement of labels.txt. If there are no labels, it removes the file.
func (w *Workspace) labelsFile(labels []string) store.Replacement {
	r := store.Replacement{Path: w.store.Path(store.LabelsFile)}
	if len(labels) > 0 {
		r.Content = store.LabelLines(labels)
	}
	return r
}

// hasLabels reports whether labels.txt contains labels or, if there are none, is missing.
func (w *Workspace) hasLabels(labels []string) bool {
	want := w.labelsFile(labels)
	got, err := store.ReadFile(want.Path, int64(len(want.Content)))
	if want.Content == nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	return err == nil && bytes.Equal(got, want.Content)
}

// Export writes the model to path, and the labels to the file labels unless that is "". The TPU
// layout drops the backbone's own classes, and needs a compiled model; other layouts return nil.
func (w *Workspace) Export(path, labels string, layout classifier.Layout, keepClasses bool) (*Written, error) {
	fail := func(err error) (*Written, error) { return nil, fmt.Errorf("export: %w", err) }
	s := *w.state
	s.Settings.Layout, s.Settings.KeepClasses = layout, keepClasses && layout != classifier.TPU
	if layout == classifier.Coral {
		s.Settings.Unknown, s.Settings.UnknownRule = 0, store.Background // it can't contain a row for "unknown"
	}
	if layout == classifier.Frigate {
		s.Settings.Layout, s.Settings.None = classifier.Float, classifier.FrigateNone
	}
	if w.options.Compiled != "" {
		s.Settings.Pair = w.pair.ref
	}
	if layout == classifier.TPU && s.Settings.Pair == (store.PairRef{}) {
		return fail(ErrNeedsCompiled)
	}
	model, head, err := w.build(&s)
	if err != nil {
		return fail(err)
	}
	if model == nil {
		return fail(ErrNoClasses)
	}
	if layout == classifier.Frigate {
		if model, err = adaptToFrigate(model, s.Settings, w.backbone.Normalized); err != nil {
			return fail(err)
		}
	}
	files := []store.Replacement{{Path: path, Content: model}}
	if labels != "" {
		lines := store.LabelLines(head.Head.Labels)
		if layout == classifier.Frigate {
			lines = []byte(strings.Join(head.Head.Labels, "\n") + "\n") // Frigate does not read numbers in this file
		}
		files = append(files, store.Replacement{Path: labels, Content: lines})
	}
	for _, f := range files {
		w.store.Disk.SweepOld(f.Path)
	}
	if err := w.store.Disk.Replace(files...); err != nil {
		return fail(err)
	}
	return s.Written, nil
}

// adaptToFrigate returns a model file with the input that Frigate expects. Frigate squashes pictures.
func adaptToFrigate(model []byte, s store.Settings, normalized bool) ([]byte, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, err
	}
	if err := classifier.AdaptToFrigate(m); err != nil {
		return nil, err
	}
	s.Resize = dataset.Squash
	return publish.Encode(m, s, normalized)
}
