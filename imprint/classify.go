package imprint

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// A Result is what was seen on one photo. As JSON it is one object.
type Result struct {
	Path   string
	Label  string
	Score  float64 // of Label, 0…1
	Top    []Score // the best classes, best first
	Device string  // what ran the backbone
	// Generation is that of the workspace whose model answered; 0 for a model file
	// alone.
	Generation uint64
	// Unknown is whether the photo shows none of the classes taught: the row for that
	// has won, or nothing is taught, and then there is no Label.
	Unknown bool
	// Embedding is what the backbone saw, raw, where it was asked for.
	Embedding []byte
	// Elapsed is the time that the backbone and the head took.
	Elapsed time.Duration
	// Err says why the photo could not be classified; then only Path is set.
	Err error
}

// A Score is a class and its probability.
type Score struct {
	Label string  `json:"label"`
	Score float64 `json:"score"`
}

// MarshalJSON implements json.Marshaler.
func (r Result) MarshalJSON() ([]byte, error) {
	if r.Err != nil {
		return json.Marshal(struct {
			Path  string `json:"path"`
			Error string `json:"error"`
		}{r.Path, r.Err.Error()})
	}
	return json.Marshal(struct {
		Path       string  `json:"path"`
		Label      string  `json:"label"`
		Score      float64 `json:"score"`
		Top        []Score `json:"top"`
		Device     string  `json:"device"`
		MS         float64 `json:"ms"`
		Generation uint64  `json:"generation,omitempty"`
	}{r.Path, r.Label, r.Score, r.Top, r.Device, milliseconds(r.Elapsed), r.Generation})
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// Classify names what is on photos, on all cores, and delivers the results in
// order, each with its top best classes (all if top is 0). A photo that can't be
// read is a Result with Err. deliver's error ends it. The answers are those of the
// published model: in the Coral layout, whose rounding can turn near ties, the model
// itself gives them.
func (k *Workspace) Classify(ctx context.Context, photos []dataset.Item, top int, deliver func(Result) error) error {
	model, err := k.publishedModel()
	if err != nil { // after a killed process
		model, _, err = k.build(k.state)
	}
	if err == nil && model == nil {
		err = fmt.Errorf("workspace %s: %w", k.store.Dir, ErrNothingTaught)
	}
	b, t, runners := k.backbone, (*scorer)(nil), &k.runners
	switch {
	case err != nil:
	case k.onDevices():
		if b, t, err = k.compiled(model); err == nil {
			runners = new([]*backbone.Runner)
			defer closeRunners(runners)
		}
	default:
		t, err = k.scorer(model)
	}
	if err != nil {
		return fmt.Errorf("classify: %w", err)
	}
	s := scorerState{}
	return embedPhotos(ctx, b, runners, k.options.Threads, k.state.Settings.Resize, photos, func(i int, e embedded) error {
		if e.err != nil {
			return deliver(Result{Path: photos[i].Path, Err: e.err})
		}
		start := time.Now()
		scores, err := s.scores(ctx, t, e.raw)
		if err != nil {
			return err
		}
		r := newResult(photos[i].Path, e.device, t.labels, scores, top)
		r.Generation, r.Elapsed = k.state.Generation, e.took+time.Since(start)
		return deliver(r)
	})
}

// newResult ranks scores.
func newResult(path, device string, labels []string, scores []float64, top int) Result {
	order := make([]int, len(scores))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case scores[a] > scores[b]:
			return -1
		case scores[a] < scores[b]:
			return 1
		}
		return 0
	})
	if top > 0 {
		order = order[:min(top, len(order))]
	}
	r := Result{Path: path, Label: labels[order[0]], Score: scores[order[0]], Device: device, Top: make([]Score, 0, len(order))}
	r.Unknown = r.Label == classifier.UnknownLabel
	for _, c := range order {
		r.Top = append(r.Top, Score{labels[c], scores[c]})
	}
	return r
}
