package backbone

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// A TensorInfo describes an input or output of a model.
type TensorInfo struct {
	Name  string
	Index int32 // in the main graph's list of tensors
	Type  tflite.TensorType
	Shape []int32
	// Scale and ZeroPoint have one entry for the whole tensor or one for each slice
	// along the quantized dimension. They are empty if the tensor is not quantized.
	Scale     []float32
	ZeroPoint []int64
}

// Dequantize writes the real values of raw, the tensor's bytes, into dst, one value
// for each element of dst. A quantized value q becomes scale·(q − zero point), exact
// in float64. The tensor must be float32, or uint8 or int8 with one scale.
func (t *TensorInfo) Dequantize(dst []float64, raw []byte) {
	var scale float64
	var zero int64
	if len(t.Scale) > 0 {
		scale = float64(t.Scale[0])
	}
	if len(t.ZeroPoint) > 0 {
		zero = int64(t.ZeroPoint[0])
	}
	switch t.Type {
	case tflite.TypeUint8:
		for i, q := range raw[:len(dst)] {
			dst[i] = scale * float64(int64(q)-zero)
		}
	case tflite.TypeInt8:
		for i, q := range raw[:len(dst)] {
			dst[i] = scale * float64(int64(int8(q))-zero)
		}
	default:
		for i := range dst {
			dst[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(raw[4*i:])))
		}
	}
}

// describeTensor returns the TensorInfo of tensor t of g.
func describeTensor(g *tflite.Subgraph, t int32) TensorInfo {
	source := &g.Tensors[t]
	info := TensorInfo{Name: source.Name, Index: t, Type: source.Type, Shape: slices.Clone(source.Shape)}
	if q := source.Quantization; q != nil {
		info.Scale, info.ZeroPoint = slices.Clone(q.Scale), slices.Clone(q.ZeroPoint)
	}
	return info
}

// KernelTensor converts tensor t of g for package kernels. data is the content of a
// constant, and otherwise nil. The error wraps ErrUnsupportedOperator if no kernel knows the
// tensor's type.
func KernelTensor(g *tflite.Subgraph, t int32, data []byte) (*kernels.Tensor, error) {
	source := &g.Tensors[t]
	k := &kernels.Tensor{Data: data, Shape: make([]int, len(source.Shape))}
	for i, d := range source.Shape {
		k.Shape[i] = int(d)
	}
	switch source.Type {
	case tflite.TypeFloat32:
		k.Type = kernels.Float32
	case tflite.TypeInt32:
		k.Type = kernels.Int32
	case tflite.TypeInt64:
		k.Type = kernels.Int64
	case tflite.TypeUint8:
		k.Type = kernels.Uint8
	case tflite.TypeInt8:
		k.Type = kernels.Int8
	default:
		return nil, fmt.Errorf("tensor %s is %v: %w", tensorName(g, t), source.Type, ErrUnsupportedOperator)
	}
	if q := source.Quantization; q != nil {
		k.Scale, k.ZeroPoint, k.Axis = q.Scale, q.ZeroPoint, int(q.Dimension)
	}
	return k, nil
}

// tensorName returns the index and name of tensor t, for error messages.
func tensorName(g *tflite.Subgraph, t int32) string {
	return fmt.Sprintf("%d (%q)", t, g.Tensors[t].Name)
}
