package predict

import (
	"context"
	"errors"
	"fmt"
	"image"
	"path/filepath"
	"slices"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
)

// A Model is a loaded classifier. It is safe for concurrent use by multiple goroutines.
type Model struct {
	backbone *backbone.Backbone // its embedding is the output of the model
	labels   []string
	none     string // label of the answer "unknown"; "" means the default
	resize   dataset.Resize
	threads  int
	runners  *infer.Pool
}

// Open loads the model that [File] describes. Top in o has no effect. Close the Model after use.
func Open(model string, o Options) (*Model, error) {
	fail := func(err error) (*Model, error) { return nil, fmt.Errorf("load model %s: %w", model, err) }
	read, err := tflite.ReadModel(model)
	if err != nil {
		return nil, fmt.Errorf("load model: %w", err)
	}
	m, err := tflite.Parse(read.Model)
	if err != nil {
		return fail(err)
	}
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) == 0 {
		return fail(fmt.Errorf("%w: the model has no output", backbone.ErrNoEmbedding))
	}
	if _, err := detect.FindHead(m); !errors.Is(err, detect.ErrNoDetector) {
		return fail(ErrDetector)
	}
	own := classifier.ReadMetadata(m)
	b, err := o.Devices.Backbone(read.Model, backbone.Options{
		Name: filepath.Base(model), Embedding: fmt.Sprint("#", m.Subgraphs[0].Outputs[0]), Arithmetic: o.Arithmetic,
		IgnoreNormalization: own.Version > 0 && !own.Normalized,
	})
	if err != nil {
		return nil, err
	}
	labels, err := labelsOf(m, read, o.Labels, b.Dim())
	if err != nil {
		return fail(err)
	}
	if named, _ := m.Labels(); len(named) == 0 && o.Labels == "" && len(read.Labels) != b.Dim() {
		if err := checkClassifier(m); err != nil {
			return fail(err)
		}
	}
	threads := infer.Cores(o.Threads)
	return &Model{
		backbone: b, labels: labels[:b.Dim()], none: own.None, resize: infer.ResizeFor(b, o.Resize),
		threads: threads, runners: infer.NewPool(b, threads),
	}, nil
}

// Close frees the memory of the Model, which must not be in use.
func (m *Model) Close() { m.runners.Leave() }

// Labels returns the names of the classes, in the order of the model's scores.
func (m *Model) Labels() []string { return slices.Clone(m.labels) }

// InputSize returns the size of the model's input in pixels.
func (m *Model) InputSize() (width, height int) { return m.backbone.Width, m.backbone.Height }

// Classify classifies an image and returns the best classes, at most top of them, or all if top is 0.
func (m *Model) Classify(ctx context.Context, img image.Image, top int) (Result, error) {
	return m.answer(ctx, infer.Input{Image: img}, top)
}

// ClassifyFile is like Classify, for an encoded photo.
func (m *Model) ClassifyFile(ctx context.Context, f *dataset.File, top int) (Result, error) {
	return m.answer(ctx, infer.Input{File: f}, top)
}

func (m *Model) answer(ctx context.Context, in infer.Input, top int) (r Result, err error) {
	err = m.runners.Run(ctx, m.threads, m.resize, in, func(runner *infer.Runner, raw []byte, took time.Duration) error {
		r = m.result(raw, top)
		r.Device, r.Elapsed = runner.Device(), took
		return nil
	})
	return r, err
}

// result returns the result for a raw output of the model.
func (m *Model) result(raw []byte, top int) Result {
	scores := make([]float64, len(m.labels))
	m.backbone.Dequantize(scores, raw)
	r := Rank(m.labels, scores, top)
	r.Unknown = r.Unknown || m.none != "" && r.Label == m.none
	return r
}
