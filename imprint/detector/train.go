// Package detector retrains the class predictors of an SSD on a few photos with boxes. Call [Match] to
// find the boxes of photos, then [Train]; [Evaluate] measures how good the result would be.
//
// The predictors of boxes stay as they are. For each level of the SSD and each kind of anchor, a ridge
// regression predicts from the features how much the decoded box overlaps an object. Predictions for
// photos that were left out then calibrate the levels against each other. The same photos in any order
// give the same bytes on every processor.
package detector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
)

var (
	// ErrNoBoxes means that photos and annotations have no box to learn from.
	ErrNoBoxes = errors.New("no boxes to train on")
	// ErrClass means that a new class has the label of one that is kept, or that there are too many.
	ErrClass = errors.New("unsuitable class")
)

// maxClasses is the maximum number of new classes.
const maxClasses = 100

// Options configure Train and Evaluate.
type Options struct {
	// Keep adds the new classes after those of the model, whose scores stay the same. Labels are the
	// labels of the model's classes, without one for the background.
	Keep   bool
	Labels []string
	// SameScales keeps the scales of the logits and the options of the post-process, as a compiled model
	// needs it. With Keep it has no effect. The number of classes must stay, too.
	SameScales bool
	Threads    int // maximum number of cores to use; 0 means all
	// Progress, if not nil, is called after each photo.
	Progress func(done, total int)
}

func (o Options) threads() int { return infer.Cores(o.Threads) }

func (o Options) progress(done, total int) {
	if o.Progress != nil {
		o.Progress(done, total)
	}
}

// A Result is a retrained detector.
type Result struct {
	Model  []byte   // the model file
	Labels []string // of its classes
	Photos int      // number of photos trained on
	Boxes  int      // number of objects in them
	// Missed is the number of objects that no predicted box overlaps by half. They are background to
	// the new predictors, which cannot find them.
	Missed  int
	Skipped []dataset.Skipped // photos that can't be read or occur twice
	// AP is the average precision at IoU 0.5, the mean of the new classes, 0…1. It is estimated from
	// predictions for photos that were left out.
	AP float64
}

// Train fits class predictors to photos and writes them into a copy of a detector's model file. The
// error wraps ErrNoBoxes, ErrClass, ErrPredictors, one of those of [detect.FindHead], or
// an error of packages backbone and tflite.
func Train(ctx context.Context, model []byte, photos []Photo, o Options) (*Result, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, err
	}
	head, err := detect.FindHead(m)
	if err != nil {
		return nil, err
	}
	p, err := findPredictors(m, head)
	if err != nil {
		return nil, err
	}
	labels, err := newLabels(photos, o)
	if err != nil {
		return nil, err
	}
	classes := make(map[string]int, len(labels))
	for i, l := range labels {
		classes[l] = i
	}
	examples, skipped, err := observe(ctx, p, photos, classes, o)
	if err != nil {
		return nil, err
	}
	r := &Result{Labels: labels, Photos: len(examples), Skipped: skipped}
	if o.Keep {
		r.Labels = append(slices.Clone(o.Labels), labels...)
	}
	if err := r.count(examples, labels); err != nil {
		return nil, err
	}
	f, err := newFit(ctx, p, examples, len(labels), o.threads())
	if err != nil {
		return nil, err
	}
	r.AP = f.center(o.Keep || o.SameScales)
	r.Model, err = p.write(f.filters(), r.Labels, o, f.highest())
	return r, err
}

// newLabels returns the labels of the boxes, sorted.
func newLabels(photos []Photo, o Options) ([]string, error) {
	var labels []string
	for _, p := range photos {
		for _, b := range p.Boxes {
			if at, found := slices.BinarySearch(labels, b.Label); !found {
				labels = slices.Insert(labels, at, b.Label)
			}
		}
	}
	if len(labels) == 0 {
		return nil, fmt.Errorf("%w in %d photos", ErrNoBoxes, len(photos))
	}
	if len(labels) > maxClasses {
		return nil, fmt.Errorf("%w: the boxes have %d labels, more than %d", ErrClass, len(labels), maxClasses)
	}
	for _, l := range labels {
		if o.Keep && slices.Contains(o.Labels, l) {
			return nil, fmt.Errorf("%w: the model already has the class %q", ErrClass, l)
		}
	}
	return labels, nil
}

// count counts the objects. It returns an error if no predicted box overlaps any object of a class.
func (r *Result) count(examples []example, labels []string) error {
	found, all := make([]int, len(labels)), make([]int, len(labels))
	for _, e := range examples {
		for _, t := range e.views[0].truths {
			all[t.class]++
			if slices.ContainsFunc(e.boxes, func(b detect.Box) bool { return b.IoU(t.box) >= positiveOverlap }) {
				found[t.class]++
			}
		}
	}
	for i, n := range all {
		if found[i] == 0 {
			return fmt.Errorf("%w: none of the %d objects with the label %q overlaps a box that the detector predicts by half", ErrNoBoxes, n, labels[i])
		}
		r.Boxes += n
		r.Missed += n - found[i]
	}
	return nil
}
