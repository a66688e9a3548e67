// Package backbone computes the embedding of a photo with a frozen TensorFlow Lite
// model. Call [Parse], which finds the embedding in any classifier or embedding
// model, then [Backbone.NewRunner] for each goroutine that embeds photos.
//
// A [Backbone] is immutable and safe for concurrent use. A [Runner] and an [Interpreter]
// serve one goroutine at a time, and the slices they return are valid until their next
// run. By default, the results of quantized models are bit-identical to those of
// TensorFlow Lite 2.9 on x86-64, whatever the processor.
package backbone

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrInput means that a model's input is not one RGB photo.
var ErrInput = errors.New("model does not take a photo")

// Options choose how Parse uses a model as a backbone.
type Options struct {
	Name      string // of the model, for errors
	Embedding string // name or index of the embedding tensor; "" finds it
	// Arithmetic and Accelerator are as in InterpreterOptions.
	Arithmetic  Arithmetic
	Accelerator Accelerator
	// IgnoreNormalization scales the pixels for a float model to −1…1, whatever its
	// metadata says, as this package did before it had Backbone.Normalized.
	IgnoreNormalization bool
}

// A Backbone is a model that maps a photo to an embedding.
type Backbone struct {
	Name   string            // from Options
	SHA256 [sha256.Size]byte // of the model file
	// Embedding describes the embedding tensor: uint8 or int8 with one scale, or
	// float32.
	Embedding TensorInfo
	// LastLayer is the index of the classification layer that reads the embedding, among
	// the main graph's operators, or -1 if there is none.
	LastLayer     int
	Width, Height int // of the photo, in pixels
	// Normalized reports whether the model's metadata gives its float input a
	// normalization other than the default, −1…1.
	Normalized bool

	model  *tflite.Model
	input  TensorInfo
	pixels *[3][256]float32 // values of a float input, by channel and pixel byte
	shared *Interpreter     // never run; runners share its program
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
	shared, err := NewInterpreter(m, InterpreterOptions{Outputs: []int32{embedding}, Arithmetic: o.Arithmetic, Accelerator: o.Accelerator})
	if err != nil {
		return nil, err
	}
	bb := &Backbone{Name: o.Name, SHA256: sha256.Sum256(b), Embedding: shared.Outputs()[0], LastLayer: last, model: m, shared: shared}
	switch t := bb.Embedding; {
	case t.Type == tflite.TypeFloat32, (t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8) && len(t.Scale) == 1:
	default:
		return nil, fmt.Errorf("%w: tensor %q is %v with %d scales, want float32, or uint8 or int8 with one scale", ErrNoEmbedding, t.Name, t.Type, len(t.Scale))
	}
	if err := bb.setInput(); err != nil {
		return nil, err
	}
	bb.setPixels(o.IgnoreNormalization)
	return bb, nil
}

// setPixels fills the table of normalized pixels for a float input: (x − mean)/std with
// the metadata's mean and std or, by default, −1…1, the range MobileNets are trained on.
func (b *Backbone) setPixels(ignore bool) {
	if b.input.Type != tflite.TypeFloat32 {
		return
	}
	mean, std := []float32{127.5}, []float32{127.5}
	// Ignore metadata that cannot be read or applied.
	if d, err := b.model.Describe(); err == nil && !ignore && len(d.Inputs) == 1 && isNormalization(d.Inputs[0].Mean, d.Inputs[0].Std) {
		mean, std = d.Inputs[0].Mean, d.Inputs[0].Std
	}
	b.pixels = new([3][256]float32)
	for c := range b.pixels {
		m, s := mean[c%len(mean)], std[c%len(std)]
		b.Normalized = b.Normalized || m != 127.5 || s != 127.5
		for x := range b.pixels[c] {
			b.pixels[c][x] = (float32(x) - m) / s
		}
	}
}

// isNormalization reports whether mean and std each have one value for all channels or
// one for each of three, and give finite pixels.
func isNormalization(mean, std []float32) bool {
	for _, list := range [...][]float32{mean, std} {
		if len(list) != 1 && len(list) != 3 {
			return false
		}
		for _, v := range list {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(std, func(v float32) bool { return !(math.Abs(float64(v)) >= 1e-30) })
}

// setInput sets the input, width and height. It returns an error if the model's input is
// not one photo.
func (b *Backbone) setInput() error {
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
	r := &Runner{b: b, in: b.shared.start(clampThreads(threads))}
	if b.input.Type == tflite.TypeUint8 {
		r.rgb = r.in.Input(0)
	} else {
		r.rgb = make([]byte, b.Width*b.Height*3)
	}
	return r
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
	switch dst := r.in.Input(0); r.b.input.Type {
	case tflite.TypeInt8: // int8 codes are uint8 codes minus 128
		for i, v := range r.rgb {
			dst[i] = v ^ 0x80
		}
	case tflite.TypeFloat32:
		pixels := r.b.pixels
		for i := 0; i+2 < len(r.rgb); i += 3 {
			for c := range pixels {
				binary.LittleEndian.PutUint32(dst[4*(i+c):], math.Float32bits(pixels[c][r.rgb[i+c]]))
			}
		}
	}
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
