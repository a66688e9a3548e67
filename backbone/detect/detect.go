// Package detect finds objects in photos with a TensorFlow Lite detector: an SSD that ends in
// TFLite_Detection_PostProcess. Call [Parse], then [Detector.NewRunner] for each goroutine that
// runs photos. [FindHead] gives access to the anchors and to the boxes of all of them.
//
// A [Detector] is immutable and safe for concurrent use. A [Runner] serves one goroutine at a time.
package detect

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// Options choose how Parse uses a model. Arithmetic and Accelerator have the same meaning as in
// [backbone.InterpreterOptions].
type Options struct {
	Name        string // of the model, for errors
	Arithmetic  backbone.Arithmetic
	Accelerator backbone.Accelerator
}

// A Detector is a model that maps a photo to detections. The photo is stretched to the size of the
// input, so boxes are relative to the whole photo.
type Detector struct {
	Name          string // from Options
	Width, Height int    // of the photo, in pixels
	Head          *Head

	model  *tflite.Model
	photo  *backbone.PhotoInput
	shared *backbone.Interpreter // never run; runners share its weights
}

// Parse verifies the model file b and prepares it. The Detector keeps b, which must not change.
//
// The error wraps [backbone.ErrInput], or one of those of [FindHead], [tflite.Parse] and
// [backbone.NewInterpreter].
func Parse(b []byte, o Options) (*Detector, error) {
	d, err := parse(b, o)
	if err != nil {
		return nil, fmt.Errorf("load detector %s: %w", o.Name, err)
	}
	return d, nil
}

func parse(b []byte, o Options) (*Detector, error) {
	m, err := tflite.Parse(b)
	if err != nil {
		return nil, err
	}
	head, err := FindHead(m)
	if err != nil {
		return nil, err
	}
	d := &Detector{Name: o.Name, Head: head, model: m}
	d.shared, err = backbone.NewInterpreter(m, backbone.InterpreterOptions{Outputs: head.Outputs, Arithmetic: o.Arithmetic, Accelerator: o.Accelerator})
	if err != nil {
		return nil, err
	}
	if d.photo, err = backbone.NewPhotoInput(m, d.shared.Inputs(), false); err != nil {
		return nil, err
	}
	d.Width, d.Height = d.photo.Width, d.photo.Height
	return d, nil
}

// Model returns the parsed model, which must not be changed.
func (d *Detector) Model() *tflite.Model { return d.model }

// NewRunner returns a Runner that spreads the work of one photo over the given number of threads,
// clamped to 1…64. Runners share the weights. Close the Runner after use.
func (d *Detector) NewRunner(threads int) *Runner {
	in := d.shared.CloneWith(threads)
	return &Runner{d: d, in: in, rgb: d.photo.RGB(in)}
}

// A Runner runs the detector on one photo at a time.
type Runner struct {
	d   *Detector
	in  *backbone.Interpreter
	rgb []byte
}

// RGB returns the memory for the next photo: Height rows of Width pixels, each a red, a green and a
// blue byte. Detect may overwrite it, so fill it before every call.
func (r *Runner) RGB() []byte { return r.rgb }

// Detect runs the model on the photo in RGB and returns what it found, best first.
func (r *Runner) Detect(ctx context.Context) ([]Detection, error) {
	r.d.photo.Fill(r.in, r.rgb)
	if err := r.in.Invoke(ctx); err != nil {
		return nil, fmt.Errorf("run detector %s: %w", r.d.Name, err)
	}
	return r.d.Head.detections(r.floats(0), r.floats(1), r.floats(2), r.floats(3)[0]), nil
}

// floats returns the values of an output of the post-process.
func (r *Runner) floats(output int) []float32 {
	info, raw := r.in.Outputs()[output], r.in.Output(output)
	wide := make([]float64, len(raw)/4)
	info.Dequantize(wide, raw)
	list := make([]float32, len(wide))
	for i, v := range wide {
		list[i] = float32(v)
	}
	return list
}

// Device returns the name of the device that the last Detect ran on. See
// [backbone.Interpreter.Device].
func (r *Runner) Device() string { return r.in.Device() }

// Close stops the Runner's goroutines. The Runner cannot be used afterwards.
func (r *Runner) Close() { r.in.Close() }
