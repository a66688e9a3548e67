// Package publish writes model files. Start with [Model], which appends a head to a backbone.
package publish

import (
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Model returns a model file with the backbone b, of which file is the content, followed by head. It
// checks the model by reading it. Only the Coral layout uses norms; see [classifier.Head.Append].
func Model(file []byte, b *backbone.Backbone, head *classifier.Head, norms []float64, s store.Settings) ([]byte, error) {
	m, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	if err := head.Append(m, b.Embedding.Index, s.Layout, norms); err != nil {
		return nil, err
	}
	if err := m.SetLabels(head.Labels); err != nil {
		return nil, fmt.Errorf("put the labels into the model: %w", err)
	}
	model, err := Encode(m, s, b.Normalized)
	if err != nil {
		return nil, err
	}
	if err := check(model, head, s.Layout); err != nil {
		return nil, fmt.Errorf("check the model before publishing it: %w", err)
	}
	return model, nil
}

// Encode returns m as a file with metadata that says how to prepare photos for the model.
func Encode(m *tflite.Model, s store.Settings, normalized bool) ([]byte, error) {
	meta := classifier.Metadata{Version: 1, Resize: string(s.Resize), Layout: s.Layout, Normalized: normalized, None: s.None}
	if err := meta.Store(m); err != nil {
		return nil, err
	}
	b, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("write the model: %w", err)
	}
	return b, nil
}

// check returns an error unless the model file contains head.
func check(b []byte, head *classifier.Head, layout classifier.Layout) error {
	m, err := tflite.Parse(b)
	if err != nil {
		return err
	}
	got, _, err := classifier.Read(m)
	if err != nil {
		return err
	}
	var largest, tolerance float64
	for _, v := range head.Weights {
		largest = max(largest, math.Abs(float64(v)))
	}
	if layout == classifier.Coral {
		tolerance = largest / 100
	}
	if len(got.Weights) != len(head.Weights) {
		return fmt.Errorf("got %d weights, want %d", len(got.Weights), len(head.Weights))
	}
	for i, v := range head.Weights {
		if math.Abs(float64(got.Weights[i])-float64(v)) > tolerance {
			return fmt.Errorf("weight %d is %v, want %v", i, got.Weights[i], v)
		}
	}
	return nil
}
