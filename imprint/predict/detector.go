package predict

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
)

// A DetectorChoice names a detector and says which objects it finds.
type DetectorChoice struct {
	Model string   `json:"model"`          // path of the model file, or the name of a pulled model
	Only  []string `json:"only,omitempty"` // the labels of the objects to find; nil means all
	Min   float64  `json:"min"`            // detections with a lower score are left out
}

// A Detector finds the objects of some classes. It is immutable and safe for concurrent use. Call
// [Detector.NewFinder] to run it.
type Detector struct {
	model  *detect.Detector
	labels []string // of the classes
	only   []string // nil means all
	min    float64
}

// NewDetector returns a Detector of the objects with the labels only, or of all if only is nil, and
// at least the score min. labels has one for each class of model; see [DetectorLabels]. NewDetector
// fails with ErrNoClass if a label in only is not among them.
func NewDetector(model *detect.Detector, labels, only []string, min float64) (*Detector, error) {
	for _, label := range only {
		if !slices.Contains(labels, label) {
			return nil, fmt.Errorf("load model %s: %w: %q is none of %s", model.Name, ErrNoClass, label, quoted(labels))
		}
	}
	return &Detector{model, labels, only, min}, nil
}

// quoted lists labels, but not hundreds.
func quoted(labels []string) string {
	const most = 100
	list := fmt.Sprintf("%q", labels[:min(len(labels), most)])
	if more := len(labels) - most; more > 0 {
		list += fmt.Sprintf(" and %d more", more)
	}
	return list
}

// NewFinder returns a Finder with one user.
func (d *Detector) NewFinder() *Finder {
	f := &Finder{detector: d}
	f.users.Store(1)
	return f
}

// A Finder runs a Detector. It is safe for concurrent use.
type Finder struct {
	detector *Detector
	users    atomic.Int64
	mutex    sync.Mutex
	idle     []*finderRunner
}

type finderRunner struct {
	*detect.Runner
	threads int
	resizer dataset.Resizer
}

// Join adds a user of the finder.
func (f *Finder) Join() { f.users.Add(1) }

// Leave removes a user of the finder. None of that user's calls may be running. When the last user
// leaves, the runners are closed. Leave of a nil Finder does nothing.
func (f *Finder) Leave() {
	if f == nil || f.users.Add(-1) > 0 {
		return
	}
	for _, r := range f.idle {
		r.Close()
	}
}

// take returns a runner that uses the given number of threads.
func (f *Finder) take(threads int) *finderRunner {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if i := slices.IndexFunc(f.idle, func(r *finderRunner) bool { return r.threads == threads }); i >= 0 {
		r := f.idle[i]
		f.idle = slices.Delete(f.idle, i, i+1)
		return r
	}
	m := f.detector.model
	return &finderRunner{m.NewRunner(threads), threads, dataset.Resizer{Mode: dataset.Squash, Width: m.Width, Height: m.Height}}
}

func (f *Finder) put(r *finderRunner) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	f.idle = append(f.idle, r)
}

// Find finds the objects in a picture with the given number of threads. Of the result, Path is not
// set. If the picture can't be decoded, only Err is set.
func (f *Finder) Find(ctx context.Context, threads int, in infer.Input) (Detections, error) {
	r := f.take(threads)
	defer f.put(r)
	var err error
	if in.File != nil {
		err = r.resizer.Read(r.RGB(), in.File)
	} else {
		err = r.resizer.Resize(r.RGB(), in.Image)
	}
	if err != nil {
		return Detections{Err: err}, nil
	}
	start := time.Now()
	list, err := r.Detect(ctx)
	if err != nil {
		return Detections{}, err
	}
	d := Detections{Elapsed: time.Since(start), Device: r.Device()}
	for _, found := range list {
		if label := f.detector.labels[found.Class]; float64(found.Score) >= f.detector.min && (f.detector.only == nil || slices.Contains(f.detector.only, label)) {
			d.Boxes = append(d.Boxes, Found{Label: label, Detection: found})
		}
	}
	return d, nil
}

// Largest returns the largest box, or the zero Box if there is none. Of several, it is the first.
func (d Detections) Largest() (largest dataset.Box) {
	for _, f := range d.Boxes {
		if b := boxOf(f.Box); b.Area() > largest.Area() {
			largest = b
		}
	}
	return largest
}

// Classify finds the objects in a picture, calls classify for each of the first 100 with in.Box set,
// and returns the answers in Result.Boxes. If the picture can't be decoded, only Err is set.
func (f *Finder) Classify(ctx context.Context, threads int, in infer.Input, classify func(in infer.Input) (Result, error)) (Result, error) {
	d, err := f.Find(ctx, threads, in)
	if err != nil || d.Err != nil {
		return Result{Err: d.Err}, err
	}
	all := Result{Unknown: true, Top: []Score{}, Boxes: []Boxed{}, Device: d.Device, Elapsed: d.Elapsed}
	d.Boxes = d.Boxes[:min(len(d.Boxes), maxCrops)]
	largest := d.Largest()
	for _, found := range d.Boxes {
		in.Box = boxOf(found.Box)
		r, err := classify(in)
		if err != nil || r.Err != nil {
			return Result{Err: r.Err}, err
		}
		r.Elapsed += all.Elapsed
		if r.Top == nil {
			r.Top = []Score{}
		}
		r.Boxes = append(all.Boxes, Boxed{r.Label, r.Score, r.Top, in.Box, found.Label, found.Score, r.Unknown, r.Embedding})
		if in.Box == largest && all.Box != largest {
			r.Box = largest
			all = r
		}
		all.Elapsed, all.Boxes = r.Elapsed, r.Boxes
	}
	return all, nil
}

// Largest finds the largest box in each photo, and delivers the boxes in order. The zero Box means
// that there is none. err says why a photo can't be searched.
func (f *Finder) Largest(ctx context.Context, threads int, photos []dataset.Item, deliver func(i int, b dataset.Box, err error) error) error {
	if len(photos) == 0 {
		return ctx.Err()
	}
	each := max(threads/len(photos), 1)
	var fatal atomic.Pointer[error]
	work := func(ctx context.Context, _ int, file *dataset.File) (dataset.Box, error) {
		d, err := f.Find(ctx, each, infer.Input{File: file})
		if err != nil {
			fatal.Store(&err)
		}
		return d.Largest(), d.Err
	}
	return dataset.Load(ctx, photos, dataset.DefaultLimits(), min(threads, len(photos)), work, func(i int, b dataset.Box, err error) error {
		if stop := fatal.Load(); stop != nil {
			return *stop
		}
		return deliver(i, b, err)
	})
}
