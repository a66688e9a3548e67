package backbonetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// Weights is the format in which a float32 model stores its weights.
type Weights int

// The formats that TensorFlow Lite's converter supports for float models.
const (
	Float32Weights Weights = iota
	Float16Weights         // each constant is widened by a DEQUANTIZE operator
	Int8Weights            // dynamic range: inputs are quantized when an operator runs
)

// FloatClassifier returns the model file of a classifier with float32 input: CONV_2D,
// DEPTHWISE_CONV_2D, CONV_2D, AVERAGE_POOL_2D, RESHAPE, FULLY_CONNECTED and SOFTMAX with
// random weights. The labels are "base 0", "base 1" and so on. Unless mean and std are
// nil, the metadata contains them as the normalization of the input.
func FloatClassifier(w Weights, classes int, mean, std []float32) []byte {
	b := NewFloatBuilder(w, 3, 1, Size, Size, 3)
	b.Conv(3, 16, 2, 1)
	b.Depthwise(3, 1, 1, 1)
	b.Conv(1, Dim, 1, 1)
	side := b.shape()[1]
	b.op(tflite.OpAveragePool2D, tflite.Pool2DOptions{Padding: tflite.PaddingValid, StrideW: 1, StrideH: 1, FilterWidth: side, FilterHeight: side}.Options(),
		b.float("embedding", []int32{1, 1, 1, Dim}))
	b.op(tflite.OpReshape, tflite.ReshapeOptions{NewShape: []int32{1, Dim}}.Options(), b.float("flat", []int32{1, Dim}))
	b.Dense(classes, false)
	b.op(tflite.OpSoftmax, tflite.SoftmaxOptions{Beta: 1}.Options(), b.float("scores", []int32{1, int32(classes)}))
	if mean != nil || std != nil {
		if err := b.m.SetNormalization(mean, std); err != nil {
			panic(err)
		}
	}
	return mustEncode(&b.builder)
}

// DynamicRange returns model files with int8 weights and float32 inputs, by name:
// "network" is a FloatClassifier, and each of the others has one operator with weights.
func DynamicRange() map[string][]byte {
	files := map[string][]byte{"network": FloatClassifier(Int8Weights, 6, nil, nil)}
	add := func(name string, shape []int32, build func(*FloatBuilder)) {
		b := NewFloatBuilder(Int8Weights, uint64(len(files)), shape...)
		build(b)
		files[name] = b.Encode()
	}
	add("dense", []int32{1, 40}, func(b *FloatBuilder) { b.Dense(12, false) })
	add("dense asymmetric", []int32{1, 40}, func(b *FloatBuilder) { b.Dense(12, true) })
	add("dense odd", []int32{4, 33}, func(b *FloatBuilder) { b.Dense(7, false) })
	add("dense odd asymmetric", []int32{4, 33}, func(b *FloatBuilder) { b.Dense(7, true) })
	add("conv", []int32{1, 9, 11, 5}, func(b *FloatBuilder) { b.Conv(3, 16, 1, 1) })
	add("conv 1x1", []int32{1, 6, 6, 24}, func(b *FloatBuilder) { b.Conv(1, 13, 1, 1) })
	add("conv stride", []int32{1, 12, 12, 3}, func(b *FloatBuilder) { b.Conv(3, 8, 2, 1) })
	add("conv dilated", []int32{1, 12, 12, 4}, func(b *FloatBuilder) { b.Conv(3, 8, 1, 2) })
	add("conv batch", []int32{2, 7, 7, 4}, func(b *FloatBuilder) { b.Conv(3, 8, 1, 1) })
	add("conv one channel", []int32{1, 9, 9, 4}, func(b *FloatBuilder) { b.Conv(3, 1, 1, 1) })
	add("depthwise", []int32{1, 9, 11, 16}, func(b *FloatBuilder) { b.Depthwise(3, 1, 1, 1) })
	add("depthwise stride", []int32{1, 12, 12, 7}, func(b *FloatBuilder) { b.Depthwise(5, 1, 2, 1) })
	add("depthwise multiple", []int32{1, 8, 8, 6}, func(b *FloatBuilder) { b.Depthwise(3, 2, 1, 1) })
	add("depthwise dilated", []int32{1, 10, 10, 8}, func(b *FloatBuilder) { b.Depthwise(3, 1, 1, 2) })
	add("depthwise batch", []int32{2, 8, 8, 8}, func(b *FloatBuilder) { b.Depthwise(3, 1, 1, 1) })
	return files
}

// A FloatBuilder builds a float32 model, one operator after another.
type FloatBuilder struct {
	builder
	kind Weights
}

// NewFloatBuilder returns a builder of a model with one input of the given shape. The
// seed determines all weights.
func NewFloatBuilder(w Weights, seed uint64, inputShape ...int32) *FloatBuilder {
	m := &tflite.Model{Version: 3, Description: "made by backbonetest", Buffers: []tflite.Buffer{nil}}
	m.Subgraphs = []tflite.Subgraph{{DebugMetadataIndex: -1}}
	b := &FloatBuilder{builder{m: m, random: rand.New(rand.NewPCG(seed, 7))}, w}
	b.at = b.float("photo", inputShape)
	m.Subgraphs[0].Inputs = []int32{b.at}
	return b
}

// Encode returns the model file. The model's output is that of the last operator.
func (b *FloatBuilder) Encode() []byte { return mustEncode(&b.builder) }

// float adds a float32 tensor and returns its index.
func (b *FloatBuilder) float(name string, shape []int32) int32 {
	return b.m.AddTensor(0, tflite.Tensor{Name: name, Shape: shape, Type: tflite.TypeFloat32})
}

// Conv adds a CONV_2D with out k×k filters, SAME padding and RELU6.
func (b *FloatBuilder) Conv(k int32, out int, stride, dilation int32) {
	in := b.shape()
	filter := b.floatWeights([]int32{int32(out), k, k, in[3]}, 0)
	o := tflite.Conv2DOptions{Padding: tflite.PaddingSame, StrideW: stride, StrideH: stride, Activation: tflite.ActRelu6, DilationW: dilation, DilationH: dilation}
	b.op(tflite.OpConv2D, o.Options(), b.windowed(stride, int32(out)), filter, b.floatBias(out))
}

// Depthwise adds a DEPTHWISE_CONV_2D with k×k filters, SAME padding and RELU6.
func (b *FloatBuilder) Depthwise(k, multiplier, stride, dilation int32) {
	out := b.shape()[3] * multiplier
	filter := b.floatWeights([]int32{1, k, k, out}, 3)
	o := tflite.DepthwiseConv2DOptions{Padding: tflite.PaddingSame, StrideW: stride, StrideH: stride, DepthMultiplier: multiplier,
		Activation: tflite.ActRelu6, DilationW: dilation, DilationH: dilation}
	b.op(tflite.OpDepthwiseConv2D, o.Options(), b.windowed(stride, out), filter, b.floatBias(int(out)))
}

// Dense adds a FULLY_CONNECTED with out outputs along the last axis. If asymmetric is
// set, an operator with int8 weights quantizes its input with a zero point.
func (b *FloatBuilder) Dense(out int, asymmetric bool) {
	in := b.shape()
	filter := b.floatWeights([]int32{int32(out), in[len(in)-1]}, -1)
	o := tflite.FullyConnectedOptions{AsymmetricQuantizeInputs: asymmetric}
	b.op(tflite.OpFullyConnected, o.Options(), b.float(fmt.Sprint("dense ", b.at), []int32{in[0], int32(out)}), filter, b.floatBias(out))
}

// windowed adds the output tensor of a convolution with SAME padding.
func (b *FloatBuilder) windowed(stride, channels int32) int32 {
	in := b.shape()
	return b.float(fmt.Sprint("map ", b.at), []int32{in[0], (in[1] + stride - 1) / stride, (in[2] + stride - 1) / stride, channels})
}

// floatBias adds a random float32 bias of n elements.
func (b *FloatBuilder) floatBias(n int) int32 {
	var raw []byte
	for range n {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(0.3*b.normal()+0.1)))
	}
	return b.constant(tflite.Tensor{Name: fmt.Sprint("bias ", b.at), Shape: []int32{int32(n)}, Type: tflite.TypeFloat32}, raw)
}

// floatWeights adds random weights in b's format and returns the tensor that the operator
// reads. int8 weights have one scale for each slice along axis, or a single scale if axis
// is -1.
func (b *FloatBuilder) floatWeights(shape []int32, axis int) int32 {
	n := 1
	for _, d := range shape {
		n *= int(d)
	}
	name := fmt.Sprint("weights ", b.at)
	fan := n / int(shape[0])
	if axis == 3 {
		fan = n / int(shape[3])
	}
	values := make([]float32, n)
	for i := range values {
		values[i] = float32(b.random.NormFloat64() * 1.6 / math.Sqrt(float64(fan)))
	}
	var raw []byte
	switch b.kind {
	case Float16Weights:
		for _, v := range values {
			raw = binary.LittleEndian.AppendUint16(raw, half(v))
		}
		source := b.constant(tflite.Tensor{Name: name, Shape: shape, Type: tflite.TypeFloat16}, raw)
		at := b.at
		b.at = source
		b.op(tflite.OpDequantize, tflite.Options{}, b.float(name+" widened", shape))
		wide := b.at
		b.at = at
		return wide
	case Int8Weights:
		return b.int8Weights(name, shape, axis, values)
	}
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(v))
	}
	return b.constant(tflite.Tensor{Name: name, Shape: shape, Type: tflite.TypeFloat32}, raw)
}

func (b *FloatBuilder) int8Weights(name string, shape []int32, axis int, values []float32) int32 {
	slices, slice := 1, func(int) int { return 0 }
	switch axis {
	case 0:
		slices, slice = int(shape[0]), func(i int) int { return i / (len(values) / int(shape[0])) }
	case 3:
		slices, slice = int(shape[3]), func(i int) int { return i % int(shape[3]) }
	}
	q := &tflite.Quantization{Scale: make([]float32, slices), ZeroPoint: make([]int64, slices), Dimension: int32(max(axis, 0))}
	for i, v := range values {
		s := &q.Scale[slice(i)]
		*s = max(*s, float32(math.Abs(float64(v)))/127)
	}
	raw := make([]byte, len(values))
	for i, v := range values {
		raw[i] = byte(int8(math.RoundToEven(float64(v / q.Scale[slice(i)]))))
	}
	return b.constant(tflite.Tensor{Name: name, Shape: shape, Type: tflite.TypeInt8, Quantization: q}, raw)
}

// normal returns a random number with mean 0 and variance 1, the same on every processor.
func (b *FloatBuilder) normal() float64 {
	sum := -6.0
	for range 12 {
		sum += b.random.Float64()
	}
	return sum
}

// half returns the bits of v as a float16, rounded toward zero. Subnormal results become
// 0.
func half(v float32) uint16 {
	bits := math.Float32bits(v)
	sign, exponent, mantissa := uint16(bits>>16&0x8000), int(bits>>23&0xff)-127+15, uint16(bits>>13&0x3ff)
	if exponent <= 0 {
		return sign
	}
	return sign | uint16(exponent)<<10 | mantissa
}
