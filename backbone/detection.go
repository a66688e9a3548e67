package backbone

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/backbone/tflite/flexbuf"
)

// DetectionCode is the custom code of the operator that turns a detector's encodings and scores
// into boxes. See [kernels.NewDetectionPostProcess].
const DetectionCode = "TFLite_Detection_PostProcess"

// isDetection reports whether code is that of a DetectionCode operator.
func isDetection(code *tflite.OperatorCode) bool {
	return code.Builtin == tflite.OpCustom && code.CustomCode == DetectionCode
}

// ParseDetectionOptions reads the custom options of an operator with DetectionCode. The error wraps
// [tflite.ErrCorrupt], [kernels.ErrInvalid] or, for values beyond the limits, ErrUnsupportedOperator.
func ParseDetectionOptions(options []byte) (*kernels.DetectionParams, error) {
	m, err := flexbuf.Parse(options)
	if err != nil {
		return nil, fmt.Errorf("options: %w: %w", tflite.ErrCorrupt, err)
	}
	p := &kernels.DetectionParams{PerClass: 100}
	for _, o := range []struct {
		key    string
		number *int
	}{
		{"num_classes", &p.Classes}, {"max_detections", &p.MaxDetections}, {"max_classes_per_detection", &p.ClassesPerBox},
		{"detections_per_class", &p.PerClass},
	} {
		if !m.Has(o.key) {
			continue // TensorFlow Lite reads 0, and 100 for detections_per_class
		}
		if *o.number, err = m.Int(o.key); err != nil {
			return nil, fmt.Errorf("options: %w: %w", tflite.ErrCorrupt, err)
		}
	}
	for _, o := range []struct {
		key   string
		value *float32
	}{
		{"nms_score_threshold", &p.ScoreThreshold}, {"nms_iou_threshold", &p.IoUThreshold},
		{"y_scale", &p.Scale[0]}, {"x_scale", &p.Scale[1]}, {"h_scale", &p.Scale[2]}, {"w_scale", &p.Scale[3]},
	} {
		v, err := m.Float(o.key)
		if err != nil {
			return nil, fmt.Errorf("options: %w: %w", tflite.ErrCorrupt, err)
		}
		*o.value = float32(v)
	}
	if p.Regular, err = m.Bool("use_regular_nms"); err != nil {
		return nil, fmt.Errorf("options: %w: %w", tflite.ErrCorrupt, err)
	}
	if err := p.Check(); errors.Is(err, kernels.ErrUnsupported) {
		return nil, fmt.Errorf("%w: %w", ErrUnsupportedOperator, err)
	} else if err != nil {
		return nil, err
	}
	return p, nil
}

// prepareDetection reads the options of b's operator and sets the shapes of its outputs, which
// files leave out or which differ from the options.
func (p *program) prepareDetection(b *kernelBuilder) error {
	var err error
	if b.detection, err = ParseDetectionOptions(b.op.CustomOptions); err != nil {
		return err
	}
	if !p.ownTensors {
		g := *p.graph
		g.Tensors = slices.Clone(g.Tensors)
		p.graph, p.ownTensors = &g, true
	}
	n := int32(b.detection.Detections())
	for i, shape := range [][]int32{{1, n, 4}, {1, n}, {1, n}, {1}} {
		t := &p.graph.Tensors[b.op.Outputs[i]]
		t.Shape, t.Type, t.Quantization = shape, tflite.TypeFloat32, nil
	}
	return nil
}

// detect builds a TFLite_Detection_PostProcess.
func (b *kernelBuilder) detect() (kernels.Kernel, error) {
	in, err := b.inputs(3, 3)
	if err != nil {
		return nil, err
	}
	return kernels.NewDetectionPostProcess(*b.detection, in[0], in[1], in[2], b.outs)
}
