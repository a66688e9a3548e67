// Package backbone turns a photo into an embedding with a frozen TensorFlow Lite
// model. Start with [Parse], which finds the embedding in any classification or
// embedding model; then [Backbone.NewRunner] for each goroutine that embeds.
//
// A Backbone does not change and may be shared. A Runner and an [Interpreter] are
// used by one goroutine at a time; the slices they return are theirs and valid
// until their next run. The numbers are TensorFlow Lite's, bit for bit, and the
// same on every processor.
package backbone

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrInput is wrapped when a model does not take one photo.
var ErrInput = errors.New("model does not take a photo")

// Options say how a model serves as a backbone.
type Options struct {
	Name      string // for messages
	Embedding string // name or index of the embedding tensor; "" finds it
	// Arithmetic and Accelerator are as in InterpreterOptions.
	Arithmetic  Arithmetic
	Accelerator Accelerator
}

// A Backbone is a model with a photo as input and an embedding.
type Backbone struct {
	Name   string
	SHA256 [sha256.Size]byte // of the file
	// Embedding describes the tensor that serves as the embedding: uint8 or int8
	// with one scale, or float32.
	Embedding TensorInfo
	// LastLayer is the operator of the main graph that makes the model a classifier
	// and reads the embedding, or -1.
	LastLayer     int
	Width, Height int // of the photo, in pixels

	model  *tflite.Model
	input  TensorInfo
	shared *Interpreter
}

// Parse verifies the model file b and prepares it for embedding photos.
func Parse(b []byte, o Options) (*Backbone, error) {
	fail := func(err error) (*Backbone, error) { return nil, fmt.Errorf("load backbone %s: %w", o.Name, err) }
	m, err := tflite.Parse(b)
	if err != nil {
		return fail(err)
	}
	if len(m.Subgraphs) == 0 {
		return fail(fmt.Errorf("%w: the model has no graph", ErrNoEmbedding))
	}
	at, last, err := FindEmbedding(m)
	if o.Embedding != "" {
		found := at
		if at, err = tensorNamed(m, o.Embedding); err == nil && at != found {
			last = -1
		}
	}
	if err != nil {
		return fail(err)
	}
	shared, err := NewInterpreter(m, InterpreterOptions{Outputs: []int32{at}, Arithmetic: o.Arithmetic, Accelerator: o.Accelerator})
	if err != nil {
		return fail(err)
	}
	bb := &Backbone{Name: o.Name, SHA256: sha256.Sum256(b), Embedding: shared.Outputs()[0], LastLayer: last, model: m, shared: shared}
	switch t := bb.Embedding; {
	case t.Type == tflite.TypeFloat32, (t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8) && len(t.Scale) == 1:
	default:
		return fail(fmt.Errorf("%w: tensor %q is %v", ErrNoEmbedding, t.Name, t.Type))
	}
	if err := bb.checkInput(); err != nil {
		return fail(err)
	}
	return bb, nil
}

func (b *Backbone) checkInput() error {
	in := b.shared.Inputs()
	if len(in) != 1 {
		return fmt.Errorf("%w: it has %d inputs", ErrInput, len(in))
	}
	b.input = in[0]
	s := b.input.Shape
	if len(s) != 4 || s[0] != 1 || s[1] < 1 || s[2] < 1 || s[3] != 3 {
		return fmt.Errorf("%w: input %q has shape %v, not [1, height, width, 3]", ErrInput, b.input.Name, s)
	}
	switch b.input.Type {
	case tflite.TypeUint8, tflite.TypeInt8, tflite.TypeFloat32:
	default:
		return fmt.Errorf("%w: input %q is %v", ErrInput, b.input.Name, b.input.Type)
	}
	b.Height, b.Width = int(s[1]), int(s[2])
	return nil
}

// Model returns the parsed model. It is shared and must not be changed.
func (b *Backbone) Model() *tflite.Model { return b.model }

// Dim is the number of values of an embedding.
func (b *Backbone) Dim() int {
	n := 1
	for _, d := range b.Embedding.Shape {
		n *= int(d)
	}
	return n
}

// EmbeddingSize is the length of a raw embedding in bytes.
func (b *Backbone) EmbeddingSize() int { return b.Dim() * b.Embedding.Type.Size() }

// Dequantize writes the real values of a raw embedding into dst, which has Dim
// places: scale·(q − zero point), exact in a float64.
func (b *Backbone) Dequantize(dst []float64, raw []byte) {
	b.Embedding.Dequantize(dst, raw)
}

// NewRunner returns a runner with memory of its own over the shared weights, which
// uses so many threads for one photo.
func (b *Backbone) NewRunner(threads int) *Runner {
	r := &Runner{b: b, in: b.shared.start(min(max(threads, 1), maxThreads))}
	in := r.in
	if b.input.Type == tflite.TypeUint8 {
		r.rgb = in.Input(0)
	} else {
		r.rgb = make([]byte, b.Width*b.Height*3)
	}
	return r
}

// A Runner embeds one photo after the other.
type Runner struct {
	b   *Backbone
	in  *Interpreter
	rgb []byte
}

// RGB is where the next photo goes: Height rows of Width pixels of red, green and
// blue bytes. Embed uses them up.
func (r *Runner) RGB() []byte { return r.rgb }

// Embed runs the model on the photo in RGB and returns its raw embedding, which is
// valid until the next call. It does not allocate.
func (r *Runner) Embed(ctx context.Context) ([]byte, error) {
	switch dst := r.in.Input(0); r.b.input.Type {
	case tflite.TypeInt8: // the same reals as uint8: zero points are 128 apart
		for i, v := range r.rgb {
			dst[i] = v ^ 0x80
		}
	case tflite.TypeFloat32: // −1…1, what MobileNets are trained on
		for i, v := range r.rgb {
			binary.LittleEndian.PutUint32(dst[4*i:], math.Float32bits((float32(v)-127.5)/127.5))
		}
	}
	if err := r.in.Invoke(ctx); err != nil {
		return nil, fmt.Errorf("run backbone %s: %w", r.b.Name, err)
	}
	return r.in.Output(0), nil
}

// Device names what the last Embed ran on, as [Interpreter.Device].
func (r *Runner) Device() string { return r.in.Device() }

// Threads is the number of threads used for one photo.
func (r *Runner) Threads() int { return len(r.in.crew.threads) }

// Close stops what the runner started.
func (r *Runner) Close() { r.in.Close() }
