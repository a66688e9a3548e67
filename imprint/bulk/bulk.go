// Package bulk embeds photos and trains models outside a workspace, for sets of photos that are too
// large for one. Start with [Open], then embed with [Engine.Embed] and train with [Engine.Train]. The
// model has the same bytes as that of a new workspace to which the same photos are added.
//
// An Engine is safe for concurrent use by multiple goroutines.
package bulk

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/publish"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Options configure [Open].
type Options struct {
	Backbone  string         // path of a model file or name of a pulled model; "" means the built-in one
	Embedding string         // tensor of the backbone that is the embedding; "" finds it
	Resize    dataset.Resize // "" means the mode in the backbone's metadata, or dataset.Crop
	Threads   int            // maximum number of cores to use; 0 means all
}

// An Engine embeds photos with one backbone. All calls share the weights and at most Options.Threads
// runners.
type Engine struct {
	backbone *backbone.Backbone
	file     []byte
	resize   dataset.Resize
	threads  int
	pool     *infer.Pool
}

// Open loads a backbone. The caller must call Close.
func Open(o Options) (*Engine, error) {
	file, name, err := infer.ReadBackbone(o.Backbone)
	if err != nil {
		return nil, err
	}
	b, err := backbone.Parse(file, backbone.Options{Name: name, Embedding: o.Embedding})
	if err != nil {
		return nil, err
	}
	threads := infer.Cores(o.Threads)
	return &Engine{b, file, infer.ResizeFor(b, o.Resize), threads, infer.NewPool(b, threads)}, nil
}

// Close frees the runners. No call of Embed may be running.
func (e *Engine) Close() { e.pool.Leave() }

// Backbone returns the model that embeds the photos.
func (e *Engine) Backbone() *backbone.Backbone { return e.backbone }

// Resize returns the resize mode.
func (e *Engine) Resize() dataset.Resize { return e.resize }

// An Embedding is the embedding of one photo, or the reason why it has none.
type Embedding struct {
	Photo [32]byte // SHA-256 of the file
	Raw   []byte   // raw output of the backbone, [backbone.Backbone.EmbeddingSize] bytes
	Hash  uint64   // [dataset.Hash] of the resized photo
	Err   error    // why the photo can't be added
}

// Embed reads and embeds photos, several at once, and delivers the embeddings in order. It stops early
// only if the backbone or deliver fails, or when ctx ends.
func (e *Engine) Embed(ctx context.Context, items []dataset.Item, deliver func(i int, m Embedding) error) error {
	x := make([]float64, e.backbone.Dim())
	return e.pool.Photos(ctx, e.threads, e.resize, items, func(i int, m infer.Embedding) error {
		if m.Err == nil {
			if norm := e.Unit(x, m.Raw); !(norm > 0) || math.IsInf(norm, 0) {
				m.Err = fmt.Errorf("the backbone sees nothing in the photo: the embedding has length %v", norm)
			}
		}
		return deliver(i, Embedding{m.Photo, m.Raw, m.Hash, m.Err})
	})
}

// Unit writes the unit vector of a raw embedding to dst and returns the length of the embedding.
func (e *Engine) Unit(dst []float64, raw []byte) float64 { return infer.Unit(e.backbone, dst, raw) }

// Roots reports whether square roots of embeddings can be features, as in [classifier.Fit].
func (e *Engine) Roots() bool { return infer.Roots(e.backbone) }

// ResolveLabels maps labels to the spelling that a new workspace stores. An error wraps
// imprint.ErrLabel.
func ResolveLabels(labels []string) (map[string]string, error) {
	return new(store.State).ResolveLabels(labels)
}

// A Model is a trained model.
type Model struct {
	File   []byte // content of model.tflite
	Labels []byte // content of labels.txt
	Fitted *classifier.Fitted
}

// Train trains a model on a stream. It has the answer "unknown" where a new workspace has it by default.
func (e *Engine) Train(method classifier.Method, s *classifier.Stream) (*Model, error) {
	f, err := s.Fit(method, e.Roots())
	if err != nil {
		return nil, err
	}
	return e.model(f, func(b *infer.Background) (*classifier.Head, *classifier.Rejection, error) {
		return b.RejectStream(e.backbone, f, s, infer.DefaultRate)
	})
}

// TrainExamples is like Train, for examples in memory.
func (e *Engine) TrainExamples(method classifier.Method, examples []classifier.Example) (*Model, error) {
	f, err := classifier.Fit(examples, method, e.Roots())
	if err != nil {
		return nil, err
	}
	return e.model(f, func(b *infer.Background) (*classifier.Head, *classifier.Rejection, error) {
		return b.Reject(e.backbone, f, examples, nil, infer.DefaultRate)
	})
}

// model adds the row for "unknown", where possible, and writes the model.
func (e *Engine) model(f *classifier.Fitted, reject func(*infer.Background) (*classifier.Head, *classifier.Rejection, error)) (*Model, error) {
	taken := store.Spelling(f.Head.Labels, classifier.UnknownLabel)
	if taken == "" {
		head, r, err := reject(new(infer.Background))
		if err == nil {
			f.Head, f.Rejection = head, r
		} else if !errors.Is(err, classifier.ErrNoNegatives) {
			return nil, err
		}
	} else if f.Recipe.Method == classifier.Mean && len(f.Head.Labels) > 1 {
		// A workspace without the answer "unknown" imprints this head, which has other logits.
		return nil, fmt.Errorf("head %q with a class called %q: train with another head, or rename the class", classifier.Mean, taken)
	}
	settings := store.Settings{Resize: e.resize, Layout: classifier.Float}
	file, err := publish.Model(e.file, e.backbone, f.Head, nil, settings)
	if err != nil {
		return nil, err
	}
	return &Model{file, store.LabelLines(slices.Clone(f.Head.Labels)), f}, nil
}
