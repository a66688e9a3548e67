package handle

import (
	"context"
	"errors"
	"image"
	"runtime"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/integrations/delegate/host"
)

// A Model is a model file without a workspace.
type Model struct {
	path    string
	options *options
	devices *devices

	gate
	classifier    *predict.Model // nil if the model is not a classifier
	notClassifier error
	embedder      *embedder // nil until needed
}

// OpenModel opens a model with the options of imprint_model_open.
func (l *Library) OpenModel(ctx context.Context, name string, given []host.Option) (m *Model, err error) {
	o, err := parse(given, modelOptions)
	if err != nil {
		return nil, err
	}
	m = &Model{options: o}
	if m.path, err = modelfile.Locate(name); err != nil {
		return nil, err
	}
	if m.devices, err = l.open(ctx, o); err != nil {
		return nil, err
	}
	if err := m.load(); err != nil {
		m.devices.Close()
		return nil, err
	}
	return m, nil
}

// load loads the classifier or, if the model is none, the embedder.
func (m *Model) load() error {
	if err := m.devices.emulateFile(m.path); err != nil {
		return err
	}
	o := m.options
	c, err := predict.Open(m.path, predict.Options{Resize: o.Resize, Threads: o.Threads, Devices: m.devices.Pool, Arithmetic: o.Arithmetic, Labels: o.labels})
	if errors.Is(err, predict.ErrNotClassifier) {
		m.notClassifier = err
		return m.loadEmbedder()
	}
	m.classifier = c
	return err
}

// loadEmbedder loads the embedder unless it is loaded.
func (m *Model) loadEmbedder() error {
	if m.embedder != nil {
		return nil
	}
	b, resize, err := modelfile.Backbone(m.path, m.devices.Pool, backbone.Options{Embedding: m.options.Embedding, Arithmetic: m.options.Arithmetic})
	if err != nil {
		return err
	}
	if m.options.Resize != "" {
		resize = m.options.Resize
	}
	m.embedder = newEmbedder(b, resize, m.options.Threads)
	return nil
}

// Close waits for the calls that use the model and frees it.
func (m *Model) Close() error {
	return m.close(func() error {
		if m.classifier != nil {
			m.classifier.Close()
		}
		if m.embedder != nil {
			m.embedder.runner.Close()
		}
		return m.devices.Close()
	})
}

// Classify classifies a photo. It fails with predict.ErrNotClassifier if the model is an embedding
// extractor.
func (m *Model) Classify(ctx context.Context, p *Photo) (Result, error) {
	return ask(&m.gate, func() (Result, error) {
		if m.classifier == nil {
			return Result{}, m.notClassifier
		}
		return m.classify(ctx, m.classifier, p)
	})
}

// Labels returns the classes in the order of the model's scores.
func (m *Model) Labels() ([]string, error) {
	return ask(&m.gate, func() ([]string, error) {
		if m.classifier == nil {
			return nil, m.notClassifier
		}
		return m.classifier.Labels(), nil
	})
}

// Embed computes the embedding of a photo.
func (m *Model) Embed(ctx context.Context, p *Photo) ([]float64, error) {
	return ask(&m.gate, func() ([]float64, error) {
		if err := m.loadEmbedder(); err != nil {
			return nil, err
		}
		return m.embedder.embed(ctx, p, &m.pixels)
	})
}

// EmbeddingLength returns the number of values of an embedding.
func (m *Model) EmbeddingLength() (int, error) {
	return ask(&m.gate, func() (int, error) {
		if err := m.loadEmbedder(); err != nil {
			return 0, err
		}
		return m.embedder.backbone.Dim(), nil
	})
}

// InputSize returns the size of the model's input in pixels.
func (m *Model) InputSize() (image.Point, error) {
	return ask(&m.gate, func() (image.Point, error) {
		if m.classifier != nil {
			return image.Pt(m.classifier.InputSize()), nil
		}
		return image.Pt(m.embedder.backbone.Width, m.embedder.backbone.Height), nil
	})
}

// An embedder embeds one photo at a time.
type embedder struct {
	backbone *backbone.Backbone
	runner   *backbone.Runner
	resizer  dataset.Resizer
}

func newEmbedder(b *backbone.Backbone, resize dataset.Resize, threads int) *embedder {
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	return &embedder{b, b.NewRunner(threads), dataset.Resizer{Mode: resize, Width: b.Width, Height: b.Height}}
}

func (e *embedder) embed(ctx context.Context, p *Photo, memory *[]byte) ([]float64, error) {
	_, err := reader[struct{}]{
		func(img image.Image) (struct{}, error) { return struct{}{}, e.resizer.Resize(e.runner.RGB(), img) },
		func(f *dataset.File) (struct{}, error) { return struct{}{}, e.resizer.Read(e.runner.RGB(), f) },
	}.read(p, memory)
	if err != nil {
		return nil, err
	}
	raw, err := e.runner.Embed(ctx)
	if err != nil {
		return nil, err
	}
	embedding := make([]float64, e.backbone.Dim())
	e.backbone.Dequantize(embedding, raw)
	return embedding, nil
}
