package imprint

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
)

// ClassifyWith names what is on photos with a model file alone: any classifier,
// such as one that Export wrote. Photos are prepared as the model's metadata says,
// or by fit if that is not "". Results are delivered as by [Kit.Classify].
func ClassifyWith(ctx context.Context, model string, fit dataset.Fit, photos []dataset.Item, top, threads int, deliver func(Result) error) error {
	file, err := readFile(model, tflite.MaxFileSize)
	if err != nil {
		return fmt.Errorf("load model: %w", err)
	}
	return classifyWith(ctx, model, file, fit, photos, top, threads, deliver)
}

// classifyWith does that with the content of a model file.
func classifyWith(ctx context.Context, model string, file []byte, fit dataset.Fit, photos []dataset.Item, top, threads int, deliver func(Result) error) error {
	m, err := tflite.Parse(file)
	if err != nil {
		return fmt.Errorf("load model %s: %w", model, err)
	}
	if len(m.Subgraphs) == 0 || len(m.Subgraphs[0].Outputs) == 0 {
		return fmt.Errorf("load model %s: %w: the model has no output", model, backbone.ErrNoEmbedding)
	}
	output := fmt.Sprint("#", m.Subgraphs[0].Outputs[0])
	b, err := backbone.Parse(file, backbone.Options{Name: filepath.Base(model), Embedding: output})
	if err != nil {
		return err
	}
	fit = fitFor(b, fit)
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
	return embedPhotos(ctx, b, &runners, threads, fit, photos, func(i int, e embedded) error {
		if e.err != nil {
			return deliver(Result{Path: photos[i].Path, Err: e.err})
		}
		b.Dequantize(scores, e.raw)
		r := newResult(photos[i].Path, labels[:len(scores)], scores, top)
		r.Elapsed = e.took
		return deliver(r)
	})
}

// ReadTensor reads a file of raw tensor bytes.
func ReadTensor(path string) ([]byte, error) {
	b, err := readFile(path, maxState)
	if err != nil {
		return nil, fmt.Errorf("read the input: %w", err)
	}
	return b, nil
}

// RunOptions say how Run runs a model.
type RunOptions struct {
	Inputs  [][]byte // raw bytes of each input tensor
	Tensors []int32  // tensors of the main graph to return; nil is the outputs
	Threads int
	Repeat  int // at least 1
}

// RunResult is what a model made of its inputs.
type RunResult struct {
	Outputs [][]byte
	// Times has the duration of each run.
	Times []time.Duration
}

// Run runs any model on raw tensor bytes.
func Run(ctx context.Context, model string, o RunOptions) (*RunResult, error) {
	fail := func(err error) (*RunResult, error) { return nil, fmt.Errorf("run %s: %w", model, err) }
	file, err := readFile(model, tflite.MaxFileSize)
	if err != nil {
		return fail(err)
	}
	m, err := tflite.Parse(file)
	if err != nil {
		return fail(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Threads: max(o.Threads, 1), Outputs: o.Tensors})
	if err != nil {
		return fail(err)
	}
	defer in.Close()
	inputs := in.Inputs()
	if len(o.Inputs) != len(inputs) {
		return fail(fmt.Errorf("%w: it has %d inputs, and %d were given", ErrInput, len(inputs), len(o.Inputs)))
	}
	r := new(RunResult)
	for range max(o.Repeat, 1) {
		// Each run begins anew: the memory of inputs is used for other tensors too.
		for i, b := range o.Inputs {
			if len(b) != len(in.Input(i)) {
				return fail(fmt.Errorf("%w: input %d, %q, is %v %v, %d bytes, and %d were given",
					ErrInput, i, inputs[i].Name, inputs[i].Type, inputs[i].Shape, len(in.Input(i)), len(b)))
			}
			copy(in.Input(i), b)
		}
		start := time.Now()
		if err := in.Invoke(ctx); err != nil {
			return fail(err)
		}
		r.Times = append(r.Times, time.Since(start))
	}
	for i := range in.Outputs() {
		r.Outputs = append(r.Outputs, append([]byte(nil), in.Output(i)...))
	}
	return r, nil
}

// ErrInput is wrapped when the bytes given to Run do not fit the model's inputs.
var ErrInput = errors.New("unfitting input")
