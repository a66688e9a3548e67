package predict

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/tpu/pool"
)

// DetectOptions configure [Detect].
type DetectOptions struct {
	Min        float64    // detections with a lower score are left out
	Threads    int        // maximum number of cores to use; 0 means all
	Devices    *pool.Pool // nil means the CPU
	Arithmetic backbone.Arithmetic
	// Labels is a file with the labels of the classes, one per line. If it is "", the labels are
	// read from the model, from its archive or from a file next to it. The background may have a
	// label before them.
	Labels  string
	Only    []string // the labels of the objects to find; nil means all
	Picture bool     // also draw what is found
	Crops   bool     // also cut out what is found
	// Classify, if not nil, classifies each object: a square photo around its box. It is called by
	// several goroutines at once.
	Classify func(ctx context.Context, crop *dataset.File) (Result, error)
}

// ErrNoClass means that a detector has no class with a label in DetectOptions.Only.
var ErrNoClass = errors.New("the detector has no such class")

// A Found is an object in a photo.
type Found struct {
	Label string
	detect.Detection
	Answer *Result // of DetectOptions.Classify; nil without it, or for an object after the first 100
	Crop   []byte  // a JPEG of the square around the object, if it was requested
}

// caption returns the label and the score in percent, of the answer if there is one.
func (f Found) caption() string {
	if f.Answer != nil {
		return fmt.Sprintf("%s %.0f %%", f.Answer.Label, 100*f.Answer.Score)
	}
	return fmt.Sprintf("%s %.0f %%", f.Label, 100*f.Score)
}

// MarshalJSON implements json.Marshaler.
func (f Found) MarshalJSON() ([]byte, error) {
	v := struct {
		Label      string     `json:"label"`
		Score      float32    `json:"score"`
		Box        [4]float32 `json:"box"`
		Class      string     `json:"class,omitempty"`
		ClassScore *float64   `json:"class_score,omitempty"`
	}{Label: f.Label, Score: f.Score, Box: [4]float32{f.Box.X0, f.Box.Y0, f.Box.X1, f.Box.Y1}}
	if f.Answer != nil {
		v.Class, v.ClassScore = f.Answer.Label, &f.Answer.Score
	}
	return json.Marshal(v)
}

// Detections are the objects in one photo. They are marshaled as one JSON object.
type Detections struct {
	Path    string
	Boxes   []Found       // best first
	Device  string        // the device that ran the detector
	Elapsed time.Duration // time spent in the detector
	Picture []byte        // a JPEG of the photo with the boxes, if it was requested
	Err     error         // why the photo was not searched; then only Path is set
}

// MarshalJSON implements json.Marshaler.
func (d Detections) MarshalJSON() ([]byte, error) {
	if d.Err != nil {
		return Result{Path: d.Path, Err: d.Err}.MarshalJSON()
	}
	boxes := d.Boxes
	if boxes == nil {
		boxes = []Found{}
	}
	return json.Marshal(struct {
		Path   string  `json:"path"`
		Boxes  []Found `json:"boxes"`
		Device string  `json:"device"`
		MS     float64 `json:"ms"`
	}{d.Path, boxes, d.Device, milliseconds(d.Elapsed)})
}

// Detect finds objects in photos with a detector's model file. It delivers the results in order; a
// photo that can't be read is a result with Err. Detect stops at the first error that deliver
// returns. It fails with [detect.ErrNoDetector] if the model is none.
func Detect(ctx context.Context, model string, o DetectOptions, photos []dataset.Item, deliver func(Detections) error) error {
	read, err := tflite.ReadModel(model)
	if err != nil {
		return fmt.Errorf("load model: %w", err)
	}
	d, err := o.Devices.Detector(read.Model, detect.Options{Name: filepath.Base(model), Arithmetic: o.Arithmetic})
	if err != nil {
		return err
	}
	labels, err := DetectorLabels(d, read, o.Labels)
	if err != nil {
		return fmt.Errorf("load model %s: %w", model, err)
	}
	if len(photos) == 0 {
		return ctx.Err()
	}
	detector, err := NewDetector(d, labels, o.Only, o.Min)
	if err != nil {
		return err
	}
	finder := detector.NewFinder()
	defer finder.Leave()
	threads := infer.Cores(o.Threads)
	work := func(ctx context.Context, _ int, f *dataset.File) (detected, error) {
		return o.run(ctx, finder, max(threads/len(photos), 1), f)
	}
	return dataset.Load(ctx, photos, dataset.DefaultLimits(), min(threads, len(photos)), work, func(i int, v detected, err error) error {
		if v.fatal != nil {
			return v.fatal
		}
		v.Path, v.Err = photos[i].Path, err
		return deliver(v.Detections)
	})
}

// detected is the result for one photo, or the reason why no photo can be searched.
type detected struct {
	Detections
	fatal error
}

// run searches one photo.
func (o *DetectOptions) run(ctx context.Context, finder *Finder, threads int, f *dataset.File) (d detected, err error) {
	if d.Detections, err = finder.Find(ctx, threads, infer.Input{File: f}); err != nil {
		return detected{fatal: err}, nil
	}
	if d.Err != nil {
		return d, d.Err
	}
	if !o.Picture && (len(d.Boxes) == 0 || !o.Crops && o.Classify == nil) {
		return d, nil
	}
	photo, err := f.Decode()
	if err != nil {
		return d, err
	}
	if err := o.crop(ctx, photo, &d.Detections); err != nil {
		return detected{fatal: err}, nil
	}
	if o.Picture {
		d.Picture, err = drawBoxes(photo, d.Boxes)
	}
	return d, err
}

// DetectorLabels returns a label for each class of a detector. from is its model file; file is a
// file of labels, or "". A first label for the background is left out, and classes without a label
// are called "class N". It fails with ErrLabels if the file has another number of labels.
func DetectorLabels(d *detect.Detector, from *tflite.ModelFile, file string) ([]string, error) {
	n := d.Head.Params.Classes
	if n > maxClasses {
		return nil, fmt.Errorf("%w: it has %d classes, more than %d", detect.ErrNoDetector, n, maxClasses)
	}
	var labels []string
	if file != "" {
		var err error
		if labels, err = tflite.ReadLabels(file); err != nil {
			return nil, err
		}
		if len(labels) != n && len(labels) != n+1 {
			return nil, fmt.Errorf("%w: %s has %d labels, and the model has %d classes", ErrLabels, file, len(labels), n)
		}
	} else if own, err := d.Model().Labels(); err == nil {
		labels = own
	} else if len(from.Labels) == n || len(from.Labels) == n+1 { // otherwise they may belong to another model
		labels = from.Labels
	}
	if len(labels) == n+1 {
		labels = labels[1:]
	}
	for len(labels) < n {
		labels = append(labels, fmt.Sprintf("class %d", len(labels)))
	}
	return labels, nil
}
