package kernels

import (
	"fmt"
	"math"
	"unsafe"
)

// Limits of the custom operator TFLite_Detection_PostProcess. Large detectors have half a million
// anchors and report 100 boxes.
const (
	maxAnchors    = 1 << 20
	maxDetections = 1 << 16
)

// DetectionParams are the options of the custom operator TFLite_Detection_PostProcess, which
// decodes the boxes of a detector and keeps the best of those that overlap.
type DetectionParams struct {
	Classes int // without the background
	// The operator reports up to MaxDetections boxes, each ClassesPerBox times with its best classes.
	MaxDetections, ClassesPerBox int
	// With Regular, boxes suppress each other class by class, and up to PerClass boxes of a class
	// are reported. Otherwise, boxes suppress each other by the score of their best class.
	Regular  bool
	PerClass int
	// Boxes with a score below ScoreThreshold are dropped, as are boxes whose intersection over
	// union with a better box exceeds IoUThreshold.
	ScoreThreshold, IoUThreshold float32
	// Scale divides the four values of an encoding: y, x, height and width.
	Scale [4]float32
}

// Detections returns the number of detections in the outputs.
func (p *DetectionParams) Detections() int { return p.MaxDetections * p.ClassesPerBox }

// Check returns an error if the parameters are invalid or exceed the limits of this package.
func (p *DetectionParams) Check() error {
	switch {
	case p.Classes < 1 || p.MaxDetections < 1 || p.ClassesPerBox < 1 || p.Regular && p.PerClass < 1:
		return fmt.Errorf("%w: %d classes, %d detections, %d classes per detection, %d detections per class", ErrInvalid,
			p.Classes, p.MaxDetections, p.ClassesPerBox, p.PerClass)
	case p.MaxDetections > maxDetections/p.ClassesPerBox:
		return fmt.Errorf("%w: %d detections of %d classes, more than %d", ErrUnsupported, p.MaxDetections, p.ClassesPerBox, maxDetections)
	case !(p.IoUThreshold > 0 && p.IoUThreshold <= 1):
		return fmt.Errorf("%w: IoU threshold %v is not in 0…1", ErrInvalid, p.IoUThreshold)
	}
	for _, s := range p.Scale {
		if !(math.Abs(float64(s)) > 0) || math.IsInf(float64(s), 0) {
			return fmt.Errorf("%w: scales %v of the encodings", ErrInvalid, p.Scale)
		}
	}
	return nil
}

// Operations estimates the operations that the given number of boxes take at most.
func (p *DetectionParams) Operations(boxes int) float64 {
	const decode, read, compare = 64, 16, 4 // for each box, each score and each pair of boxes
	n := float64(boxes)
	pairs := n * min(n, float64(p.MaxDetections))
	if p.Regular {
		pairs = n * min(n, float64(p.PerClass)) * float64(p.Classes)
	}
	return decode*n + read*n*float64(p.Classes) + compare*pairs
}

// detection implements Kernel for TFLite_Detection_PostProcess.
type detection struct {
	DetectionParams
	boxes   *BoxDecoder
	columns int           // of the scores: the classes, after the background if there is one
	scores  *[256]float32 // of each code, or nil for float32
}

// NewDetectionPostProcess returns a Kernel for the custom operator TFLite_Detection_PostProcess.
// encodings is [1, N, 4 or more], scores is [1, N, classes] with or without a column for the
// background first, and anchors is a constant [N, 4]; all are uint8 or float32. The outputs are
// float32: boxes [1, D, 4] as y0, x0, y1, x1, classes [1, D], scores [1, D] and the number of boxes
// [1], where D is p.Detections(). Detections beyond that number are zero; in TensorFlow Lite, they
// can have any value.
//
// Results are bit-identical to TensorFlow Lite 2.9, except for boxes of NaN scores.
func NewDetectionPostProcess(p DetectionParams, encodings, scores, anchors *Tensor, out []*Tensor) (Kernel, error) {
	k, err := newDetection(p, encodings, scores, out)
	if err == nil {
		k.boxes, err = NewBoxDecoder(p.Scale, encodings, anchors)
	}
	if err == nil && k.boxes.n != scores.Shape[1] {
		err = fmt.Errorf("%w: scores of shape %v for %d boxes", ErrInvalid, scores.Shape, k.boxes.n)
	}
	if err != nil {
		return nil, fmt.Errorf("detection post-process: %w", err)
	}
	return k, nil
}

func newDetection(p DetectionParams, encodings, scores *Tensor, out []*Tensor) (*detection, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	if err := scores.check("scores"); err != nil {
		return nil, err
	}
	s := scores.Shape
	if len(s) != 3 || s[0] != 1 || s[2] < p.Classes || s[2] > p.Classes+1 {
		return nil, fmt.Errorf("%w: scores of shape %v for %d classes", ErrInvalid, s, p.Classes)
	}
	k := &detection{DetectionParams: p, columns: s[2]}
	switch scores.Type {
	case Float32:
	case Uint8:
		if err := scores.checkQuantized("scores"); err != nil {
			return nil, err
		}
		k.scores = dequantized(scores)
	default:
		return nil, fmt.Errorf("%w: scores are %v", ErrUnsupported, scores.Type)
	}
	if len(out) != 4 {
		return nil, fmt.Errorf("%w: %d outputs, want 4", ErrInvalid, len(out))
	}
	for i, n := range []int{4 * p.Detections(), p.Detections(), p.Detections(), 1} {
		if err := out[i].check("output"); err != nil {
			return nil, err
		}
		if out[i].Type != Float32 || out[i].Elements() != n {
			return nil, fmt.Errorf("%w: output %d is %v of shape %v, want %d float32 values", ErrInvalid, i, out[i].Type, out[i].Shape, n)
		}
	}
	return k, nil
}

// dequantized returns the real values of the codes of a uint8 tensor.
func dequantized(t *Tensor) *[256]float32 {
	var table [256]float32
	for i := range table {
		table[i] = float32(int32(i)-t.zero()) * t.scale()
	}
	return &table
}

// A BoxDecoder turns a detector's encodings into boxes: offsets from anchors into corners. (Huang
// et al.: Speed/accuracy trade-offs for modern convolutional object detectors, 2017, section 2.)
type BoxDecoder struct {
	n, stride int // number of boxes, and of values in an encoding
	scale     [4]float64
	anchors   []float32     // y, x, height and width of each
	values    *[256]float32 // of each code of an encoding, or nil for float32
}

// NewBoxDecoder returns a decoder for encodings [1, N, 4 or more], with a constant of N anchors.
// Both are uint8 or float32. scale is that of DetectionParams.
func NewBoxDecoder(scale [4]float32, encodings, anchors *Tensor) (*BoxDecoder, error) {
	if err := encodings.check("encodings"); err != nil {
		return nil, err
	}
	if err := anchors.check("anchors"); err != nil {
		return nil, err
	}
	s, c := encodings.Shape, anchors.Shape
	if len(s) != 3 || s[0] != 1 || s[2] < 4 || len(c) != 2 || c[0] < s[1] || c[1] != 4 {
		return nil, fmt.Errorf("%w: encodings of shape %v and anchors of shape %v", ErrInvalid, s, c)
	}
	if s[1] > maxAnchors {
		return nil, fmt.Errorf("%w: %d anchors, more than %d", ErrUnsupported, s[1], maxAnchors)
	}
	if encodings.Type != anchors.Type || anchors.Data == nil {
		return nil, fmt.Errorf("%w: encodings are %v, anchors are %v with %d bytes", ErrUnsupported, encodings.Type, anchors.Type, len(anchors.Data))
	}
	d := &BoxDecoder{n: s[1], stride: s[2], anchors: make([]float32, 4*s[1])}
	for i := range scale {
		d.scale[i] = float64(scale[i])
	}
	switch encodings.Type {
	case Float32:
		for i := range d.anchors {
			d.anchors[i] = floatAt(anchors.Data, i)
		}
	case Uint8:
		if err := encodings.checkQuantized("encodings"); err != nil {
			return nil, err
		}
		if err := anchors.checkQuantized("anchors"); err != nil {
			return nil, err
		}
		table := dequantized(anchors)
		for i := range d.anchors {
			d.anchors[i] = table[anchors.Data[i]]
		}
		d.values = dequantized(encodings)
	default:
		return nil, fmt.Errorf("%w: encodings are %v", ErrUnsupported, encodings.Type)
	}
	for i := 0; i < len(d.anchors); i += 4 {
		if h, w := d.anchors[i+2], d.anchors[i+3]; !(h >= 0 && w >= 0) {
			return nil, fmt.Errorf("%w: anchor %d has height %v and width %v", ErrInvalid, i/4, h, w)
		}
	}
	return d, nil
}

// Len returns the number of boxes.
func (d *BoxDecoder) Len() int { return d.n }

// Anchors returns the anchors: y and x of the center, height and width of each. The caller must not
// change them.
func (d *BoxDecoder) Anchors() []float32 { return d.anchors }

// Decode writes the corners of all boxes to dst, y0, x0, y1 and x1 of each, given the bytes of the
// encodings. Coordinates are relative to the photo, but not limited to 0…1. dst must have 4·Len()
// elements.
func (d *BoxDecoder) Decode(dst []float32, encodings []byte) {
	for i := range d.n {
		var e [4]float64
		for j := range e {
			if at := i*d.stride + j; d.values != nil {
				e[j] = float64(d.values[encodings[at]])
			} else {
				e[j] = float64(floatAt(encodings, at))
			}
		}
		a := d.anchors[4*i:][:4]
		// TensorFlow Lite computes in float64 and rounds to float32 once. The conversions keep
		// compilers from fusing a product with an addition.
		h, w := float64(a[2]), float64(a[3])
		y := float32(float64(e[0]/d.scale[0]*h) + float64(a[0]))
		x := float32(float64(e[1]/d.scale[1]*w) + float64(a[1]))
		halfH := float32(0.5 * Exp(e[2]/d.scale[2]) * h)
		halfW := float32(0.5 * Exp(e[3]/d.scale[3]) * w)
		box := dst[4*i:][:4]
		box[0], box[1], box[2], box[3] = y-halfH, x-halfW, y+halfH, x+halfW
	}
}

// carve returns the next n elements of scratch memory, aligned, and shortens scratch by them.
func carve[T int8 | int16 | int32 | float32 | uint64](scratch *[]byte, n int) []T {
	size := int(unsafe.Sizeof(T(0)))
	skip := -int(uintptr(unsafe.Pointer(unsafe.SliceData(*scratch)))) & (size - 1)
	taken := (*scratch)[skip : skip+n*size]
	*scratch = (*scratch)[skip+n*size:]
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(taken))), n)
}
