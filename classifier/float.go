package classifier

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// float writes h in the Float layout.
func (b *graphBuilder) float(h *Head) error {
	classes, dim := int32(len(h.Labels)), int32(h.Dim)
	from := b.tensor()
	version := int32(1)
	switch from.Type {
	case tflite.TypeInt8:
		version = 2
		fallthrough
	case tflite.TypeUint8:
		b.op(tflite.OpDequantize, version, tflite.EmptyOptions(tflite.OptionsDequantize),
			tflite.Tensor{Name: "imprint/embedding", Shape: from.Shape, Type: tflite.TypeFloat32})
	case tflite.TypeFloat32:
	default:
		return fmt.Errorf("append a float head to tensor %q: type %v is not uint8, int8 or float32: %w", from.Name, from.Type, ErrShape)
	}
	if h.Sqrt {
		b.op(tflite.OpSqrt, 1, tflite.Options{}, tflite.Tensor{Name: "imprint/root", Shape: b.tensor().Shape, Type: tflite.TypeFloat32})
	}
	// L2_NORMALIZATION normalizes along the last dimension, which must therefore hold all
	// values.
	if from.Shape[len(from.Shape)-1] != dim {
		b.reshape("imprint/flat", 1, dim)
	}
	b.op(tflite.OpL2Normalization, 1, tflite.L2NormOptions{}.Options(),
		tflite.Tensor{Name: "imprint/unit", Shape: b.tensor().Shape, Type: tflite.TypeFloat32})
	weights := b.constant(tflite.Tensor{Name: "imprint/weights", Shape: []int32{classes, dim}, Type: tflite.TypeFloat32}, float32Bytes(h.Weights))
	bias := b.constant(tflite.Tensor{Name: "imprint/bias", Shape: []int32{classes}, Type: tflite.TypeFloat32}, float32Bytes(h.Bias))
	scores := tflite.Tensor{Name: "imprint/logits", Shape: []int32{1, classes}, Type: tflite.TypeFloat32}
	b.op(tflite.OpFullyConnected, 1, tflite.FullyConnectedOptions{}.Options(), scores, weights, bias)
	scores.Name = "imprint/scores"
	b.op(tflite.OpSoftmax, 1, tflite.SoftmaxOptions{Beta: 1}.Options(), scores)
	return nil
}

// float32Bytes encodes v in little-endian order, as model files store it.
func float32Bytes(v []float32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, f := range v {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}

// int32Bytes encodes v in little-endian order, as model files store it.
func int32Bytes(v ...int32) []byte {
	b := make([]byte, 0, 4*len(v))
	for _, i := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
	}
	return b
}
