package imprint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu/pool"
)

// defaultMin is the minimum score of objects if the user chooses none.
const defaultMin = 0.5

// A detector is a loaded detector. It never changes.
type detector struct {
	*predict.Detector
	ref        *store.DetectorRef
	file       []byte
	devices    *pool.Pool
	arithmetic backbone.Arithmetic
}

// openDetector checks the detector in the options, if any. A workspace without photos takes it over.
func (w *Workspace) openDetector(choice *predict.DetectorChoice) error {
	if choice == nil {
		return nil
	}
	has := w.state.Settings.Detector
	ref, err := w.readDetector(choice, has)
	switch {
	case err != nil:
		return err
	case w.untrained():
		w.state.Settings.Detector = ref
	case !ref.Same(has):
		return fmt.Errorf("%w: %s, not %s", ErrOtherDetector, has, ref)
	}
	return nil
}

// readDetector loads the detector that choice names, unless it names none. What choice leaves open is
// as in has, which may be nil, if that is the same model.
func (w *Workspace) readDetector(choice *predict.DetectorChoice, has *store.DetectorRef) (*store.DetectorRef, error) {
	if choice.Model == "" {
		return nil, nil
	}
	path, err := infer.Locate(choice.Model)
	if err != nil {
		return nil, fmt.Errorf("load detector: %w", err)
	}
	read, err := tflite.ReadModel(path)
	if err != nil {
		return nil, fmt.Errorf("load detector: %w", err)
	}
	ref := &store.DetectorRef{Name: filepath.Base(path), SHA256: store.Sum(read.Model), Only: choice.Only, Min: choice.Min}
	if has == nil || has.SHA256 != ref.SHA256 {
		has = &store.DetectorRef{Min: defaultMin}
	}
	if ref.Min = cmp.Or(ref.Min, has.Min); len(ref.Only) == 0 {
		ref.Only = has.Only
	}
	model, err := w.loadDetector(read.Model, ref.Name)
	if err != nil {
		return nil, err
	}
	labels, err := predict.DetectorLabels(model, read, "")
	if err != nil {
		return nil, fmt.Errorf("load detector %s: %w", path, err)
	}
	if own, err := predict.DetectorLabels(model, &tflite.ModelFile{}, ""); err != nil || !slices.Equal(own, labels) {
		ref.Labels = labels
	}
	w.detector, err = w.newDetector(model, ref, read.Model, labels)
	return ref, err
}

func (w *Workspace) loadDetector(file []byte, name string) (*detect.Detector, error) {
	return w.options.Devices.Detector(file, detect.Options{Name: name, Arithmetic: w.options.Arithmetic})
}

func (w *Workspace) newDetector(model *detect.Detector, ref *store.DetectorRef, file []byte, labels []string) (*detector, error) {
	d, err := predict.NewDetector(model, labels, ref.Only, ref.Min)
	if err != nil {
		return nil, err
	}
	return &detector{d, ref, file, w.options.Devices, w.options.Arithmetic}, nil
}

// detectorOf returns the detector that ref identifies.
func (w *Workspace) detectorOf(ref *store.DetectorRef) (*detector, error) {
	if d := w.detector; d != nil && d.ref.Same(ref) && d.devices == w.options.Devices && d.arithmetic == w.options.Arithmetic {
		return d, nil
	}
	path := w.store.Path(ref.File())
	file, err := tflite.ReadFile(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("%w: %s, a copy of the detector %s, is missing", ErrCorrupt, path, ref.Name)
	case err != nil:
		return nil, fmt.Errorf("load detector: %w", err)
	case store.Sum(file) != ref.SHA256:
		return nil, fmt.Errorf("%w: %s is no longer the detector %s", ErrCorrupt, path, ref.Name)
	}
	model, err := w.loadDetector(file, ref.Name)
	if err != nil {
		return nil, err
	}
	labels := ref.Labels
	if labels == nil {
		if labels, err = predict.DetectorLabels(model, &tflite.ModelFile{}, ""); err != nil {
			return nil, err
		}
	}
	if len(labels) != model.Head.Params.Classes {
		return nil, fmt.Errorf("%w: %d labels for the %d classes of the detector %s", ErrCorrupt, len(labels), model.Head.Params.Classes, ref.Name)
	}
	w.detector, err = w.newDetector(model, ref, file, labels)
	return w.detector, err
}

// nothingFound is the reason for skipping a photo in which the detector finds nothing.
const nothingFound = "the detector finds nothing in it"

// crop sets the box of each photo in b that has none to the largest object that a detector finds in
// it, and skips photos without one. If ref is nil, they stay whole.
func (w *Workspace) crop(ctx context.Context, ref *store.DetectorRef, b *batch, progress func(done, total int)) error {
	if ref == nil {
		for i, it := range b.items {
			b.found[i] = b.found[i] && it.Box != (dataset.Box{})
		}
		return nil
	}
	var search []dataset.Item
	var at []int // the index in b of each photo to search
	for i, it := range b.items {
		if it.Box == (dataset.Box{}) {
			search, at = append(search, it), append(at, i)
		}
	}
	d, err := w.detectorOf(ref)
	if err != nil {
		return err
	}
	finder := d.NewFinder()
	defer finder.Leave()
	err = finder.Largest(ctx, infer.Cores(w.options.Threads), search, func(i int, box dataset.Box, err error) error {
		if progress != nil {
			progress(i+1, len(search)+len(b.items))
		}
		switch skip := &b.skipped[at[i]]; {
		case err != nil:
			skip.Reason = err.Error()
		case box == (dataset.Box{}):
			skip.Reason = nothingFound
		}
		b.items[at[i]].Box, b.found[at[i]] = box, true
		return nil
	})
	if err != nil {
		return err
	}
	b.searched = len(search)
	b.drop()
	return nil
}

// drop removes the photos that are skipped.
func (b *batch) drop() {
	n := 0
	for i, s := range b.skipped {
		if s.Reason != "" {
			b.lost = append(b.lost, s)
			continue
		}
		b.items[n], b.examples[n], b.found[n], b.skipped[n] = b.items[i], b.examples[i], b.found[i], s
		n++
	}
	b.items, b.found, b.skipped, b.examples = b.items[:n], b.found[:n], b.skipped[:n], b.examples[:n]
}
