package imprint

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/predict"
)

// A Snapshot is one generation of a workspace. It never changes.
type Snapshot struct {
	Generation uint64
	Resize     dataset.Resize
	Labels     []string           // in the order of the scores; nil without classes
	None       string             // the label of the answer "unknown", if the model has it
	Backbone   *backbone.Backbone // embeds photos
	Scorer     *infer.Scorer      // computes the scores; nil without classes
	Detector   *predict.Detector  // finds what is classified; nil if whole photos are
	Model      *backbone.Backbone // computes Scorer's input from a photo; nil if the embedding is the input
	Warnings   []string           // see [Workspace.Warnings]
	SHA256     store.Digest       // SHA-256 of model.tflite; zero without classes

	options Options
	ref     store.BackboneRef
	file    []byte // content of the backbone's file
	pair    *pair

	detector   *detector
	background infer.Background
	memory     *memory
}

// Snapshot returns the generation that w holds. If model.tflite does not belong to that
// generation, Snapshot makes the model from the state.
func (w *Workspace) Snapshot() (*Snapshot, error) {
	model, err := w.publishedModel()
	if err != nil { // a process was killed before it published the model
		model, _, err = w.rebuild()
	}
	if err != nil {
		return nil, err
	}
	return w.snapshot(model)
}

// PublishedSnapshot is like Snapshot, but fails with ErrUnpublished if model.tflite does not belong
// to the generation that w holds.
func (w *Workspace) PublishedSnapshot() (*Snapshot, error) {
	model, err := w.publishedModel()
	if err != nil {
		return nil, err
	}
	return w.snapshot(model)
}

func (w *Workspace) snapshot(model []byte) (s *Snapshot, err error) {
	s = &Snapshot{
		Generation: w.state.Generation, Resize: w.state.Settings.Resize, Backbone: w.backbone, Warnings: w.warnings,
		options: w.options, ref: w.state.Backbone, file: w.file, SHA256: w.state.Model, None: w.state.Settings.NoneLabel(),
	}
	if w.state.Settings.Detector != nil {
		if s.detector, err = w.detectorOf(w.state.Settings.Detector); err != nil {
			return nil, err
		}
		s.Detector = s.detector.Detector
	}
	switch {
	case model == nil:
	case w.onDevices():
		s.Model, s.Scorer, err = w.compiledModel(model)
	default:
		s.Scorer, err = w.scorer(model)
	}
	if err != nil {
		return nil, err
	}
	if s.Scorer != nil {
		s.Labels = s.Scorer.Labels
	}
	s.pair, s.background, s.memory = w.pair, w.background, w.memory // w.scorer may have loaded the pair
	return s, nil
}

// IsCurrent reports whether s is the generation that the workspace holds.
func (w *Workspace) IsCurrent(s *Snapshot) bool {
	return s.Generation == w.state.Generation && s.SHA256 == w.state.Model && s.ref.Same(w.state.Backbone)
}

// scorer returns a Scorer for model, which must be the model of the workspace's state.
func (w *Workspace) scorer(model []byte) (*infer.Scorer, error) {
	s := &infer.Scorer{Embedding: w.backbone.Embedding, Dim: w.backbone.Dim()}
	layout := w.state.Settings.Layout
	if layout == classifier.Float {
		if w.head == nil {
			w.head = w.headIn(model)
		}
		fitted, err := w.currentHead()
		if err != nil {
			return nil, err
		}
		s.Labels, s.Head = fitted.Head.Labels, fitted.Head
		return s, nil
	}
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, err
	}
	if s.Labels, err = m.Labels(); err != nil {
		return nil, err
	}
	if layout == classifier.TPU {
		p, err := w.pairOf(w.state.Settings.Pair)
		if err != nil {
			return nil, err
		}
		var embedding int32
		if m, embedding, err = p.Uncompiled(model, w.backbone.Model()); err != nil {
			return nil, err
		}
		m.Subgraphs[0].Inputs = []int32{embedding}
	} else if err := w.cut(m); err != nil {
		return nil, err
	}
	if s.Last, err = backbone.NewInterpreter(m, backbone.InterpreterOptions{Arithmetic: w.options.Arithmetic}); err != nil {
		return nil, err
	}
	if got := s.Last.Outputs()[0]; len(got.Shape) == 0 || int(got.Shape[len(got.Shape)-1]) < len(s.Labels) {
		return nil, fmt.Errorf("the model has an output of shape %v for %d classes: %w", got.Shape, len(s.Labels), classifier.ErrShape)
	}
	return s, nil
}

// cut makes the embedding the input of m, so that only the operators after it run.
func (w *Workspace) cut(m *tflite.Model) error {
	g := m.Subgraphs[0]
	if len(g.Outputs) != 1 {
		return fmt.Errorf("the model has %d outputs: %w", len(g.Outputs), classifier.ErrShape)
	}
	want := w.backbone.Embedding
	// Operators are in execution order. Searching only before op makes the loop end even if the
	// graph has a cycle.
	producers := g.Producers()
	for at, end := g.Outputs[0], len(g.Operators); ; {
		op := producers[at]
		if op < 0 || op >= end || len(g.Operators[op].Inputs) == 0 || g.Operators[op].Inputs[0] < 0 {
			return fmt.Errorf("the model has no tensor %q before its last operators: %w", want.Name, classifier.ErrShape)
		}
		at, end = g.Operators[op].Inputs[0], op
		if t := &g.Tensors[at]; t.Name == want.Name && t.Type == want.Type && t.NumElements() == w.backbone.Dim() {
			g.Inputs = []int32{at}
			m.Subgraphs[0] = g
			return nil
		}
	}
}
