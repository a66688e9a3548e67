package imprint

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/tpu/pool"
)

// A Result is the answer for one photo. As JSON it is one object.
type Result struct {
	Path   string
	Label  string
	Score  float64 // of Label, 0…1
	Top    []Score // the best classes, best first
	Device string  // that ran the backbone
	// Generation is that of the workspace that answered; 0 for a model file.
	Generation uint64
	// Unknown means that the photo shows no trained class: that row has won, or there is
	// no class and no Label.
	Unknown   bool
	Embedding []byte        // raw, if it was asked for
	Elapsed   time.Duration // by the backbone and the head
	// Err says why the photo has no answer; then only Path is set.
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

// Classify classifies photos on all cores and delivers the results in order, each with its
// top best classes, or all if top is 0. A photo that can't be read is a Result with Err. An
// error of deliver ends Classify.
//
// The answers are those of the published model. In the layout Coral, where rounding may
// turn near ties, the model itself gives them.
func (w *Workspace) Classify(ctx context.Context, photos []dataset.Item, top int, deliver func(Result) error) error {
	s, err := w.Snapshot()
	if err == nil && s.Scorer == nil {
		err = fmt.Errorf("workspace %s: %w", w.store.Dir, ErrNoClasses)
	}
	if err != nil {
		return fmt.Errorf("classify: %w", err)
	}
	threads, runners := infer.Cores(w.options.Threads), w.pool()
	if s.Model != nil {
		runners = infer.NewPool(s.Model, threads)
		defer runners.Leave()
	}
	var scratch infer.Scratch
	return runners.Photos(ctx, threads, s.Resize, photos, func(i int, e infer.Embedding) error {
		if e.Err != nil {
			return deliver(Result{Path: photos[i].Path, Err: e.Err})
		}
		start := time.Now()
		scores, err := s.Scorer.Scores(ctx, &scratch, e.Raw)
		if err != nil {
			return err
		}
		r := s.Result(photos[i].Path, e.Device, scores, top)
		r.Elapsed = e.Took + time.Since(start)
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

// ModelOptions say how [ClassifyWith] uses a model.
type ModelOptions struct {
	Resize     dataset.Resize // "" is the mode in the model's metadata, or dataset.Crop
	Top        int            // how many of the best classes; 0 is all
	Threads    int            // the most cores to use; 0 is all
	Devices    *pool.Pool     // nil is the CPU
	Arithmetic backbone.Arithmetic
}

// ClassifyWith classifies photos with a model file alone: any classifier, such as one that
// Export wrote. It delivers the results as [Workspace.Classify] does.
func ClassifyWith(ctx context.Context, model string, o ModelOptions, photos []dataset.Item, deliver func(Result) error) error {
	file, err := tflite.ReadFile(model)
	if err != nil {
		return fmt.Errorf("load model: %w", err)
	}
	return classifyWith(ctx, model, file, o, photos, deliver)
}

func classifyWith(ctx context.Context, model string, file []byte, o ModelOptions, photos []dataset.Item, deliver func(Result) error) error {
	m, err := tflite.Parse(file)
	if err != nil {
		return fmt.Errorf("load model %s: %w", model, err)
	}
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) == 0 {
		return fmt.Errorf("load model %s: %w: the model has no output", model, backbone.ErrNoEmbedding)
	}
	output := fmt.Sprint("#", m.Subgraphs[0].Outputs[0])
	b, err := o.Devices.Backbone(file, backbone.Options{Name: filepath.Base(model), Embedding: output, Arithmetic: o.Arithmetic})
	if err != nil {
		return err
	}
	labels, err := m.Labels()
	if err != nil && !errors.Is(err, tflite.ErrNoLabels) {
		return fmt.Errorf("load model %s: %w", model, err)
	}
	for len(labels) < b.Dim() {
		labels = append(labels, fmt.Sprintf("class %d", len(labels)))
	}
	threads := infer.Cores(o.Threads)
	runners := infer.NewPool(b, threads)
	defer runners.Leave()
	scores := make([]float64, b.Dim())
	return runners.Photos(ctx, threads, resizeFor(b, o.Resize), photos, func(i int, e infer.Embedding) error {
		if e.Err != nil {
			return deliver(Result{Path: photos[i].Path, Err: e.Err})
		}
		b.Dequantize(scores, e.Raw)
		r := newResult(photos[i].Path, e.Device, labels[:len(scores)], scores, o.Top)
		r.Elapsed = e.Took
		return deliver(r)
	})
}
