package imprint

import (
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// tail gives that of model, which is the model of the Workspace's state.
func (k *Workspace) scorer(model []byte) (*scorer, error) {
	t := &scorer{embedding: k.backbone.Embedding, dim: k.backbone.Dim()}
	if k.state.Settings.Layout == classifier.Float {
		if k.head == nil {
			k.head = k.headIn(model)
		}
		fitted, err := k.currentHead()
		if err != nil {
			return nil, err
		}
		t.labels, t.head = fitted.Head.Labels, fitted.Head
		return t, nil
	}
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, err
	}
	if t.labels, err = m.Labels(); err != nil {
		return nil, err
	}
	if k.state.Settings.Layout == classifier.TPU {
		p, err := k.pairOf(k.state.Settings.Pair)
		if err != nil {
			return nil, err
		}
		var at int32
		if m, at, err = p.Uncompiled(model, k.backbone.Model()); err != nil {
			return nil, err
		}
		m.Subgraphs[0].Inputs = []int32{at}
	} else if err := k.cut(m); err != nil {
		return nil, err
	}
	if t.last, err = backbone.NewInterpreter(m, backbone.InterpreterOptions{Arithmetic: k.options.Arithmetic}); err != nil {
		return nil, err
	}
	if got := t.last.Outputs()[0]; len(got.Shape) == 0 || int(got.Shape[len(got.Shape)-1]) < len(t.labels) {
		return nil, fmt.Errorf("the model has an output of shape %v for %d classes: %w", got.Shape, len(t.labels), classifier.ErrShape)
	}
	return t, nil
}

// cut makes the embedding the input of m, whose last operators follow it.
func (k *Workspace) cut(m *tflite.Model) error {
	g := m.Subgraphs[0]
	if len(g.Outputs) != 1 {
		return fmt.Errorf("the model has %d outputs: %w", len(g.Outputs), classifier.ErrShape)
	}
	want := k.backbone.Embedding
	for at := g.Outputs[0]; ; {
		op := slices.IndexFunc(g.Operators, func(o tflite.Operator) bool { return slices.Contains(o.Outputs, at) })
		if op < 0 || len(g.Operators[op].Inputs) == 0 || g.Operators[op].Inputs[0] < 0 {
			return fmt.Errorf("the model has no tensor %q before its last operators: %w", want.Name, classifier.ErrShape)
		}
		at = g.Operators[op].Inputs[0]
		if t := &g.Tensors[at]; t.Name == want.Name && t.Type == want.Type && t.NumElements() == k.backbone.Dim() {
			g.Inputs = []int32{at}
			m.Subgraphs[0] = g
			return nil
		}
	}
}
