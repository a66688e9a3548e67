package predict

import (
	"context"
	"errors"
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/tpu/pool"
)

// Options configure [File].
type Options struct {
	Resize     dataset.Resize // "" is the mode in the model's metadata, or dataset.Crop
	Top        int            // number of classes in Result.Top; 0 means all
	Threads    int            // maximum number of cores to use; 0 means all
	Devices    *pool.Pool     // nil means the CPU
	Arithmetic backbone.Arithmetic
	// Labels is a file with the labels of the classes, one per line. If it is "", the labels are
	// read from the model, from its archive or from a file next to it.
	Labels string
}

// ErrLabels means that a file does not have exactly one label for each class of the model.
var ErrLabels = errors.New("the labels do not fit the model")

// ErrNotClassifier means that a model outputs an embedding instead of scores.
var ErrNotClassifier = errors.New("the model is not a classifier")

// ErrDetector means that a model outputs boxes instead of one score for each class.
var ErrDetector = errors.New("the model is a detector, not a classifier")

// checkClassifier returns an error if a model without labels ends in an embedding. The output of
// an Edge TPU operator can't be known, so compiled models pass.
func checkClassifier(m *tflite.Model) error {
	for _, op := range m.Subgraphs[0].Operators {
		switch m.OperatorCodes[op.Opcode].Builtin {
		case tflite.OpSoftmax, tflite.OpLogistic, tflite.OpCustom:
			return nil
		}
	}
	if _, last, err := backbone.FindEmbedding(m); err != nil || last >= 0 {
		return nil
	}
	out := &m.Subgraphs[0].Tensors[m.Subgraphs[0].Outputs[0]]
	return fmt.Errorf("%w: its output %q is an embedding of %d values", ErrNotClassifier, out.Name, out.NumElements())
}

// maxClasses is the maximum number of classes of a model. A small file can have an output of any size,
// and each class takes memory for its label.
const maxClasses = 1 << 20

// labelsOf returns a label for each of the n classes of m. from is the model file of m; file is a
// file of labels, or "". Classes without a label are called "class N", where N is the index of the
// class.
func labelsOf(m *tflite.Model, from *tflite.ModelFile, file string, n int) ([]string, error) {
	if n > maxClasses {
		return nil, fmt.Errorf("%w: its output has %d values, more than %d", ErrNotClassifier, n, maxClasses)
	}
	if file != "" {
		labels, err := tflite.ReadLabels(file)
		if err == nil && len(labels) != n {
			err = fmt.Errorf("%w: %s has %d labels, and the model has %d classes", ErrLabels, file, len(labels), n)
		}
		return labels, err
	}
	labels, err := m.Labels()
	if err != nil && len(from.Labels) == n { // otherwise they may belong to another model
		labels = from.Labels
	}
	for len(labels) < n {
		labels = append(labels, fmt.Sprintf("class %d", len(labels)))
	}
	return labels, nil
}

// File classifies photos with a model file, without a workspace. The model is any classifier, such
// as a model exported from a workspace, or the zip archive that Teachable Machine exports. File
// delivers the results in order; a photo that can't be read is a Result with Err. File stops at the
// first error that deliver returns. It fails with ErrNotClassifier if the model is an embedding
// extractor, and with ErrDetector if it is a detector.
func File(ctx context.Context, model string, o Options, photos []dataset.Item, deliver func(Result) error) error {
	m, err := Open(model, o)
	if err != nil {
		return err
	}
	defer m.Close()
	return m.runners.Photos(ctx, m.threads, m.resize, photos, func(i int, e infer.Embedding) error {
		if e.Err != nil {
			return deliver(Result{Path: photos[i].Path, Err: e.Err})
		}
		r := m.result(e.Raw, o.Top)
		r.Path, r.Device, r.Elapsed = photos[i].Path, e.Device, e.Took
		return deliver(r)
	})
}
