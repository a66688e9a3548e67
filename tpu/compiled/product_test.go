package compiled

import (
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// TestLogisticAndMul compares stages with those in compiled models. The first two are in the YOLOv8n
// of MRezqalla/GoalBuddy, the third in looming_64x64_3x3 of ricardodeazambuja/LibrEdgeTPU.
func TestLogisticAndMul(t *testing.T) {
	codes := func(scale float32, zero int64, shape ...int32) tflite.Tensor {
		return tflite.Tensor{Type: tflite.TypeInt8, Shape: shape, Quantization: &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{zero}}}
	}
	constant := codes(0.5, 0, 1, 2)
	constant.Buffer = 1
	for _, test := range []struct {
		name    string
		kind    tflite.BuiltinOperator
		tensors []tflite.Tensor // the inputs and the output
		want    *executable.Stage
	}{
		{"LOGISTIC", tflite.OpLogistic, []tflite.Tensor{codes(1.004573, -2, 1, 2), codes(1./256, -128, 1, 2)},
			&executable.Stage{Multiplier: 1.004573, Low: -10.396732, High: 10.396732, InZero: 126}},
		{"MUL", tflite.OpMul, []tflite.Tensor{codes(1.004573, -2, 1, 2), codes(1./256, -128, 1, 2), codes(0.5106424, -127, 1, 2)},
			&executable.Stage{Multiplier: 0.0076846597, Low: -1, High: 253.99998, InZero: 126, Zero: 1}},
		{"square", tflite.OpMul, []tflite.Tensor{codes(0.9906863, -1, 1, 2), codes(0.9906863, -1, 1, 2), codes(62.629963, -128, 1, 2)},
			&executable.Stage{Multiplier: 0.015670763, High: 255.00002, WeightZero: 127, InZero: 127}},
		{"LOGISTIC with another output", tflite.OpLogistic, []tflite.Tensor{codes(1, 0, 1, 2), codes(1./128, -128, 1, 2)}, nil},
		{"MUL by a constant", tflite.OpMul, []tflite.Tensor{codes(0.5, 0, 1, 2), constant, codes(0.5, 0, 1, 2)}, nil},
		{"MUL of different shapes", tflite.OpMul, []tflite.Tensor{codes(0.5, 0, 1, 2), codes(0.5, 0, 1, 1), codes(0.5, 0, 1, 2)}, nil},
		{"floating-point MUL", tflite.OpMul, []tflite.Tensor{codes(0.5, 0, 1, 2), {Shape: []int32{1, 2}}, codes(0.5, 0, 1, 2)}, nil},
	} {
		op := tflite.Operator{Outputs: []int32{int32(len(test.tensors) - 1)}}
		for i := range op.Outputs[0] {
			op.Inputs = append(op.Inputs, i)
		}
		m := &tflite.Model{Buffers: []tflite.Buffer{nil, {1, 2}}, OperatorCodes: []tflite.OperatorCode{{Builtin: test.kind}},
			Subgraphs: []tflite.Subgraph{{Tensors: test.tensors, Operators: []tflite.Operator{op}}}}
		l, err := readLayer(m, 0, sharedWeights{})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if (l.stage == nil) != (test.want == nil) || l.stage != nil && *l.stage != *test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, l.stage, test.want)
		}
	}
}

// TestLogisticFound checks that each LOGISTIC of movenet has its stage in one place.
func TestLogisticFound(t *testing.T) {
	p, _ := openShared(t, "movenet_single_pose_lightning_ptq")
	n := 0
	for i := range p.layers {
		if l := &p.layers[i]; l.kind == tflite.OpLogistic {
			n++
			if len(l.stages) != 1 {
				t.Errorf("%s: found at %d places, want 1", l.name, len(l.stages))
			}
		}
	}
	if n != 2 {
		t.Errorf("movenet has %d LOGISTICs, want 2", n)
	}
}
