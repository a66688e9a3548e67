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

// ModelOptions say how ClassifyWith uses a model.
type ModelOptions struct {
	Resize     dataset.Resize // of photos; "" is as the model's metadata says
	Top        int            // so many best classes, all if 0
	Threads    int            // at most so many cores; 0 is all
	Devices    *Devices       // nil is the CPU
	Arithmetic backbone.Arithmetic
}

// ClassifyWith names what is on photos with a model file alone: any classifier,
// such as one that Export wrote. Results are delivered as by [Workspace.Classify].
func ClassifyWith(ctx context.Context, model string, o ModelOptions, photos []dataset.Item, deliver func(Result) error) error {
	file, err := readFile(model, tflite.MaxFileSize)
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
	b, err := o.Devices.backbone(file, backbone.Options{Name: filepath.Base(model), Embedding: output, Arithmetic: o.Arithmetic})
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
	// Devices and Arithmetic are as in Options.
	Devices    *Devices
	Arithmetic backbone.Arithmetic
}

// RunResult is what a model made of its inputs.
type RunResult struct {
	Outputs [][]byte
	// Times has the duration of each run.
	Times  []time.Duration
	Device string // of the last run
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
	if err := o.Devices.check(m); err != nil {
		return fail(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{
		Threads: max(o.Threads, 1), Outputs: o.Tensors, Arithmetic: o.Arithmetic, Accelerator: o.Devices.accelerator(),
	})
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
	r.Device = in.Device()
	for i := range in.Outputs() {
		r.Outputs = append(r.Outputs, append([]byte(nil), in.Output(i)...))
	}
	return r, nil
}

// ErrInput is wrapped when the bytes given to Run do not fit the model's inputs.
var ErrInput = errors.New("unfitting input")
