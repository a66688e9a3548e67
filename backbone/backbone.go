// Package backbone computes the embedding of a photo with a frozen TensorFlow Lite
// model. Call [Parse], which finds the embedding in any classifier or embedding
// model, then [Backbone.NewRunner] for each goroutine that embeds photos.
//
// A [Backbone] is immutable and safe for concurrent use. A [Runner] and an [Interpreter]
// serve one goroutine at a time, and the slices they return are valid until their next
// run. By default, quantized models produce results bit-identical to TensorFlow Lite 2.9
// on x86-64, on every processor.
package backbone

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrInput means that a model's input is not one RGB photo.
var ErrInput = errors.New("model does not take a photo")

// Options choose how Parse uses a model as a backbone.
type Options struct {
	Name      string // of the model, for errors
	Embedding string // name or index of the embedding tensor; "" finds it
	// Arithmetic and Accelerator have the same meaning as in InterpreterOptions.
	Arithmetic  Arithmetic
	Accelerator Accelerator
	// IgnoreNormalization scales the pixels for a float model to −1…1 and ignores the
	// normalization in its metadata. Versions of this package without
	// Backbone.Normalized always did so.
	IgnoreNormalization bool
}

// A Backbone is a model that maps a photo to an embedding.
type Backbone struct {
	Name   string            // from Options
	SHA256 [sha256.Size]byte // of the model file
	// Embedding describes the embedding tensor: uint8 or int8 with one scale, or
	// float32.
	Embedding TensorInfo
	// LastLayer is the index of the main graph's operator that reads the embedding to
	// classify it, or -1 if there is none.
	LastLayer     int
	Width, Height int // of the photo, in pixels
	// Normalized reports whether the model's metadata gives its float input a
	// normalization other than the default, −1…1.
	Normalized bool

	model  *tflite.Model
	photo  *PhotoInput
	shared *program // of all runners
}

// Parse verifies the model file b and prepares it for embedding photos. The Backbone
// keeps b, which must not change.
//
// The error wraps ErrInput, ErrNoEmbedding, ErrUnsupportedOperator,
// ErrModelTooLarge, or one of package tflite's errors for a file that is not a valid
// model.
func Parse(b []byte, o Options) (*Backbone, error) {
	bb, err := parse(b, o)
	if err != nil {
		return nil, fmt.Errorf("load backbone %s: %w", o.Name, err)
	}
	return bb, nil
}

func parse(b []byte, o Options) (*Backbone, error) {
	m, err := tflite.Parse(b)
	if err != nil {
		return nil, err
	}
	if len(m.Subgraphs) == 0 {
		return nil, fmt.Errorf("%w: the model has no graph", ErrNoEmbedding)
	}
	embedding, last, err := FindEmbedding(m)
	if o.Embedding != "" {
		found := embedding
		if embedding, err = tensorNamed(m, o.Embedding); err == nil && embedding != found {
			last = -1
		}
	}
	if err != nil {
		return nil, err
	}
	shared, err := newProgram(m, InterpreterOptions{Outputs: []int32{embedding}, Arithmetic: o.Arithmetic, Accelerator: o.Accelerator})
	if err != nil {
		return nil, err
	}
	bb := &Backbone{Name: o.Name, SHA256: sha256.Sum256(b), Embedding: shared.describe(shared.outputs)[0], LastLayer: last, model: m, shared: shared}
	switch t := bb.Embedding; {
	case t.Type == tflite.TypeFloat32, (t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8) && len(t.Scale) == 1:
	default:
		return nil, fmt.Errorf("%w: tensor %q is %v with %d scales, want float32, or uint8 or int8 with one scale", ErrNoEmbedding, t.Name, t.Type, len(t.Scale))
	}
	if bb.photo, err = NewPhotoInput(m, shared.describe(shared.inputs), o.IgnoreNormalization); err != nil {
		return nil, err
	}
	bb.Width, bb.Height, bb.Normalized = bb.photo.Width, bb.photo.Height, bb.photo.Normalized
	return bb, nil
}

// Model returns the parsed model, which must not be changed.
func (b *Backbone) Model() *tflite.Model { return b.model }

// Dim returns the number of values in an embedding.
func (b *Backbone) Dim() int {
	n := 1
	for _, d := range b.Embedding.Shape {
		n *= int(d)
	}
	return n
}

// EmbeddingSize returns the length of a raw embedding in bytes.
func (b *Backbone) EmbeddingSize() int { return b.Dim() * b.Embedding.Type.Size() }

// Dequantize writes the real values of the raw embedding into dst, which must have
// length Dim. See [TensorInfo.Dequantize].
func (b *Backbone) Dequantize(dst []float64, raw []byte) {
	b.Embedding.Dequantize(dst, raw)
}

// NewRunner returns a Runner that spreads the work of one photo over the given number
// of threads, clamped to 1…64. Runners share the weights. Close the Runner after use.
func (b *Backbone) NewRunner(threads int) *Runner {
	in := b.shared.start(clampThreads(threads))
	return &Runner{b: b, in: in, rgb: b.photo.RGB(in)}
}

// A Runner embeds one photo at a time.
type Runner struct {
	b   *Backbone
	in  *Interpreter
	rgb []byte
}

// RGB returns the memory for the next photo: Height rows of Width pixels, each a red,
// a green and a blue byte. Embed may overwrite it, so fill it before every call.
func (r *Runner) RGB() []byte { return r.rgb }

// Embed runs the model on the photo in RGB and returns the raw embedding, which is
// valid until the next call. Embed does not allocate.
func (r *Runner) Embed(ctx context.Context) ([]byte, error) {
	r.b.photo.Fill(r.in, r.rgb)
	if err := r.in.Invoke(ctx); err != nil {
		return nil, fmt.Errorf("run backbone %s: %w", r.b.Name, err)
	}
	return r.in.Output(0), nil
}

// Device returns the name of the device that the last Embed ran on. See
// [Interpreter.Device].
func (r *Runner) Device() string { return r.in.Device() }

// Threads returns the number of threads that share the work of one photo.
func (r *Runner) Threads() int { return len(r.in.pool.workers) }

// Close stops the Runner's goroutines. The Runner cannot be used afterwards.
func (r *Runner) Close() { r.in.Close() }
