package classifier

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// float writes h as float32 operators.
func (t *tail) float(h *Head) error {
	classes, dim := int32(len(h.Labels)), int32(h.Dim)
	from := t.tensor()
	version := int32(1)
	switch from.Type {
	case tflite.TypeInt8:
		version = 2
		fallthrough
	case tflite.TypeUint8:
		t.op(tflite.OpDequantize, version, tflite.EmptyOptions(tflite.OptionsDequantize),
			tflite.Tensor{Name: "imprint/embedding", Shape: from.Shape, Type: tflite.TypeFloat32})
	case tflite.TypeFloat32:
	default:
		return fmt.Errorf("write a float head after tensor %q: it is %v, not uint8, int8 or float32: %w", from.Name, from.Type, ErrShape)
	}
	if h.Root {
		t.op(tflite.OpSqrt, 1, tflite.Options{}, tflite.Tensor{Name: "imprint/root", Shape: t.tensor().Shape, Type: tflite.TypeFloat32})
	}
	// L2_NORMALIZATION works along the last dimension, so all values must be in it.
	if from.Shape[len(from.Shape)-1] != dim {
		t.reshape("imprint/flat", 1, dim)
	}
	t.op(tflite.OpL2Normalization, 1, tflite.L2NormOptions{}.Options(),
		tflite.Tensor{Name: "imprint/unit", Shape: t.tensor().Shape, Type: tflite.TypeFloat32})
	weights := t.constant(tflite.Tensor{Name: "imprint/weights", Shape: []int32{classes, dim}, Type: tflite.TypeFloat32}, float32s(h.Weights))
	bias := t.constant(tflite.Tensor{Name: "imprint/bias", Shape: []int32{classes}, Type: tflite.TypeFloat32}, float32s(h.Bias))
	scores := tflite.Tensor{Name: "imprint/logits", Shape: []int32{1, classes}, Type: tflite.TypeFloat32}
	t.op(tflite.OpFullyConnected, 1, tflite.FullyConnectedOptions{}.Options(), scores, weights, bias)
	scores.Name = "imprint/scores"
	t.op(tflite.OpSoftmax, 1, tflite.SoftmaxOptions{Beta: 1}.Options(), scores)
	return nil
}

// float32s is v in the file's byte order.
func float32s(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// int32s is v in the file's byte order.
func int32s(v ...int32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, i := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
	}
	return b
}
