package detect

import (
	"errors"
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// ErrNoDetector means that a model has no TFLite_Detection_PostProcess operator.
var ErrNoDetector = errors.New("the model is not a detector")

// A Head describes the TFLite_Detection_PostProcess operator of a detector: one box and one row of
// scores for each anchor go in, and a few detections come out. A Head is immutable.
type Head struct {
	Operator          int     // index in the main graph
	Encodings, Scores int32   // tensors [1, anchors, 4 or more] and [1, anchors, classes]
	Outputs           []int32 // tensors of the boxes, their classes, their scores and their number
	Params            kernels.DetectionParams
	Background        bool // column 0 of the scores is the background

	decoder *kernels.BoxDecoder
}

// FindHead returns the head of a detector, compiled for the Edge TPU or not. The error wraps
// ErrNoDetector, [tflite.ErrCorrupt], [backbone.ErrUnsupportedOperator], or one of package kernels'
// errors.
func FindHead(m *tflite.Model) (*Head, error) {
	if len(m.Subgraphs) == 0 {
		return nil, fmt.Errorf("%w: it has no graph", ErrNoDetector)
	}
	g := &m.Subgraphs[0]
	for i := range g.Operators {
		op := &g.Operators[i]
		if code := int(op.Opcode); code >= len(m.OperatorCodes) || m.OperatorCodes[code].CustomCode != backbone.DetectionCode {
			continue
		}
		h, err := newHead(m, op)
		if err != nil {
			return nil, fmt.Errorf("operator %d (%s): %w", i, backbone.DetectionCode, err)
		}
		h.Operator = i
		return h, nil
	}
	return nil, fmt.Errorf("%w: it has no operator %s", ErrNoDetector, backbone.DetectionCode)
}

func newHead(m *tflite.Model, op *tflite.Operator) (*Head, error) {
	g := &m.Subgraphs[0]
	if len(op.Inputs) != 3 || len(op.Outputs) != 4 {
		return nil, fmt.Errorf("%d inputs and %d outputs: %w", len(op.Inputs), len(op.Outputs), tflite.ErrCorrupt)
	}
	params, err := backbone.ParseDetectionOptions(op.CustomOptions)
	if err != nil {
		return nil, err
	}
	var in [3]*kernels.Tensor
	for i, t := range op.Inputs {
		if t < 0 || int(t) >= len(g.Tensors) {
			return nil, fmt.Errorf("no tensor %d: the model has %d: %w", t, len(g.Tensors), tflite.ErrCorrupt)
		}
		var data []byte
		if b := int(g.Tensors[t].Buffer); b < len(m.Buffers) && len(m.Buffers[b]) > 0 {
			data = m.Buffers[b]
		}
		if in[i], err = backbone.KernelTensor(g, t, data); err != nil {
			return nil, err
		}
	}
	h := &Head{Encodings: op.Inputs[0], Scores: op.Inputs[1], Outputs: op.Outputs, Params: *params}
	if h.decoder, err = kernels.NewBoxDecoder(params.Scale, in[0], in[2]); err != nil {
		return nil, err
	}
	if s := in[1].Shape; len(s) != 3 || s[1] != h.decoder.Len() || s[2] < params.Classes {
		return nil, fmt.Errorf("scores of shape %v for %d anchors and %d classes: %w", s, h.decoder.Len(), params.Classes, kernels.ErrInvalid)
	}
	h.Background = in[1].Shape[2] > params.Classes
	return h, nil
}

// Len returns the number of anchors.
func (h *Head) Len() int { return h.decoder.Len() }

// Anchors returns the anchors as boxes, in the order of the rows of scores.
func (h *Head) Anchors() []Box {
	list := make([]Box, h.Len())
	for i := range list {
		a := h.decoder.Anchors()[4*i:][:4]
		y, x, halfH, halfW := a[0], a[1], a[2]/2, a[3]/2
		list[i] = Box{X0: x - halfW, Y0: y - halfH, X1: x + halfW, Y1: y + halfH}
	}
	return list
}

// Decode returns the boxes of all anchors, given the bytes of the tensor h.Encodings. They may extend
// beyond the photo.
func (h *Head) Decode(encodings []byte) []Box {
	corners := make([]float32, 4*h.Len())
	h.decoder.Decode(corners, encodings)
	list := make([]Box, h.Len())
	for i := range list {
		c := corners[4*i:][:4]
		list[i] = Box{Y0: c[0], X0: c[1], Y1: c[2], X1: c[3]}
	}
	return list
}
