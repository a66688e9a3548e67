package imprint

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tpu/pool"
)

// ModelOptions say how ClassifyWith uses a model.
type ModelOptions struct {
	Resize     dataset.Resize // of photos; "" is as the model's metadata says
	Top        int            // so many best classes, all if 0
	Threads    int            // at most so many cores; 0 is all
	Devices    *pool.Pool     // nil is the CPU
	Arithmetic backbone.Arithmetic
}

// ClassifyWith names what is on photos with a model file alone: any classifier,
// such as one that Export wrote. Results are delivered as by [Workspace.Classify].
func ClassifyWith(ctx context.Context, model string, o ModelOptions, photos []dataset.Item, deliver func(Result) error) error {
	file, err := tflite.ReadFile(model)
	if err != nil {
		return fmt.Errorf("load model: %w", err)
	}
	return classifyWith(ctx, model, file, o, photos, deliver)
}

// classifyWith does that with the content of a model file.
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
	var runners []*backbone.Runner
	defer closeRunners(&runners)
	scores := make([]float64, b.Dim())
	return embedPhotos(ctx, b, &runners, o.Threads, resizeFor(b, o.Resize), photos, func(i int, e embedded) error {
		if e.err != nil {
			return deliver(Result{Path: photos[i].Path, Err: e.err})
		}
		b.Dequantize(scores, e.raw)
		r := newResult(photos[i].Path, e.device, labels[:len(scores)], scores, o.Top)
		r.Elapsed = e.took
		return deliver(r)
	})
}
