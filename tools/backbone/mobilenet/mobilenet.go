// Package mobilenet writes a trained MobileNet v1 0.25 for 128×128 pixels as a
// quantized TensorFlow Lite model. Call [ReadWeights], then [Weights.Model].
//
// The same weights produce the same bytes on every processor.
package mobilenet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

const (
	// Size is the width and height of the input in pixels.
	Size = 128
	// Dim is the number of values in the embedding.
	Dim = 256
	// Description is stored in the model.
	Description = "imprint's own MobileNet v1 0.25 for 128×128 pixels, an embedding of 256 values"

	// inputScale and inputZero map bytes to −1…1, as in Coral's models.
	inputScale, inputZero = 1.0 / 128, 128
	// activationScale is the scale of every activation in Coral's
	// mobilenet_v1_0.25_128_quant. Its 255 steps reach 5.99976, just below the clipping
	// of RELU6.
	activationScale float32 = 0.023528477177023888
)

// ErrWeights means that there are too few or too many weights, or that some are not finite or do
// not fit the quantization.
var ErrWeights = errors.New("invalid weights")

// A Layer is a convolution with batch normalization folded into it.
type Layer struct {
	Depthwise bool
	Kernel    int // width and height
	Stride    int
	In, Out   int // number of channels
	// Weights have the shape [row, column, input channel, output channel], or [row,
	// column, channel] in a depthwise layer.
	Weights []float32
	Bias    []float32 // one per output channel
}

// Weights contains the layers from the input to the embedding.
type Weights []Layer

// layers returns the 27 layers without their weights.
func layers() Weights {
	blocks := []struct{ out, stride int }{
		{16, 1}, {32, 2}, {32, 1}, {64, 2}, {64, 1}, {128, 2}, {128, 1},
		{128, 1}, {128, 1}, {128, 1}, {128, 1}, {256, 2}, {256, 1},
	}
	w := Weights{{Kernel: 3, Stride: 2, In: 3, Out: 8}}
	in := 8
	for _, b := range blocks {
		w = append(w, Layer{Depthwise: true, Kernel: 3, Stride: b.stride, In: in, Out: in}, Layer{Kernel: 1, Stride: 1, In: in, Out: b.out})
		in = b.out
	}
	return w
}

func (l *Layer) weights() int {
	if l.Depthwise {
		return l.Kernel * l.Kernel * l.Out
	}
	return l.Kernel * l.Kernel * l.In * l.Out
}

// ReadWeights reads a file written by train.py. It has little-endian float32 values:
// first the weights of all layers, then their biases.
func ReadWeights(r io.Reader) (Weights, error) {
	w := layers()
	read := func(n int) ([]float32, error) {
		f := make([]float32, n)
		if err := binary.Read(r, binary.LittleEndian, f); err != nil {
			return nil, fmt.Errorf("%w: file ends early: %w", ErrWeights, err)
		}
		for i, x := range f {
			if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
				return nil, fmt.Errorf("%w: value %d is %v", ErrWeights, i, x)
			}
		}
		return f, nil
	}
	var err error
	for i := range w {
		if w[i].Weights, err = read(w[i].weights()); err != nil {
			return nil, err
		}
	}
	for i := range w {
		if w[i].Bias, err = read(w[i].Out); err != nil {
			return nil, err
		}
	}
	if n, err := r.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%w: data after the last bias", ErrWeights)
	}
	return w, nil
}

// Model quantizes the weights and returns the model file.
func (w Weights) Model() ([]byte, error) {
	m := &tflite.Model{Version: 3, Description: Description, Buffers: []tflite.Buffer{nil}}
	m.Subgraphs = []tflite.Subgraph{{Name: "main", DebugMetadataIndex: -1}}
	b := &builder{m: m}
	at := b.tensor("input", tflite.TypeUint8, []int32{1, Size, Size, 3}, inputScale, inputZero, nil)
	m.Subgraphs[0].Inputs = []int32{at}
	size, scale := Size, float32(inputScale)
	for i := range w {
		l := &w[i]
		name := fmt.Sprintf("conv%d", (i+1)/2)
		if l.Depthwise {
			name += "/depthwise"
		} else if i > 0 {
			name += "/pointwise"
		}
		size /= l.Stride
		var err error
		if at, err = b.convolution(l, name, at, size, scale); err != nil {
			return nil, fmt.Errorf("write layer %s: %w", name, err)
		}
		scale = activationScale
	}
	pool := b.tensor("embedding", tflite.TypeUint8, []int32{1, 1, 1, Dim}, activationScale, 0, nil)
	o := tflite.Pool2DOptions{Padding: tflite.PaddingValid, StrideW: 2, StrideH: 2, FilterWidth: int32(size), FilterHeight: int32(size)}
	b.operator(tflite.OpAveragePool2D, o.Options(), []int32{at}, pool)
	m.Subgraphs[0].Outputs = []int32{pool}
	return m.Encode()
}

type builder struct{ m *tflite.Model }

// tensor adds a tensor with a single scale. content is nil unless it is a constant.
func (b *builder) tensor(name string, t tflite.TensorType, shape []int32, scale float32, zero int64, content []byte) int32 {
	n := tflite.Tensor{Name: name, Shape: shape, Type: t, Quantization: &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{zero}}}
	if content != nil {
		n.Buffer = b.m.AddBuffer(content)
	}
	return b.m.AddTensor(0, n)
}

func (b *builder) operator(code tflite.BuiltinOperator, o tflite.Options, in []int32, out int32) {
	g := &b.m.Subgraphs[0]
	g.Operators = append(g.Operators, tflite.Operator{
		Opcode: b.m.OperatorCode(code, "", 1), Inputs: in, Outputs: []int32{out}, Options: o, DebugMetadataIndex: -1,
	})
}

// convolution adds layer l, which reads the tensor with index at. scale is the scale of that
// tensor. convolution returns the index of the output tensor; size is the output's width and
// height.
func (b *builder) convolution(l *Layer, name string, at int32, size int, scale float32) (int32, error) {
	q := quantize(l.Weights)
	k := int32(l.Kernel)
	shape, content := []int32{1, k, k, int32(l.Out)}, q.values
	if !l.Depthwise {
		// In TensorFlow Lite, the output channel comes first.
		shape = []int32{int32(l.Out), k, k, int32(l.In)}
		rows := len(q.values) / l.Out
		content = make([]byte, len(q.values))
		for r := range rows {
			for c := range l.Out {
				content[c*rows+r] = q.values[r*l.Out+c]
			}
		}
	}
	// Runtimes require this float32 product as the scale of the bias.
	biasScale := scale * q.scale
	bias, err := quantizeBias(l.Bias, biasScale)
	if err != nil {
		return 0, err
	}
	in := []int32{
		at,
		b.tensor(name+"/weights", tflite.TypeUint8, shape, q.scale, q.zero, content),
		b.tensor(name+"/bias", tflite.TypeInt32, []int32{int32(l.Out)}, biasScale, 0, bias),
	}
	out := b.tensor(name, tflite.TypeUint8, []int32{1, int32(size), int32(size), int32(l.Out)}, activationScale, 0, nil)
	s := int32(l.Stride)
	if l.Depthwise {
		o := tflite.DepthwiseConv2DOptions{
			Padding: tflite.PaddingSame, StrideW: s, StrideH: s, DepthMultiplier: 1,
			Activation: tflite.ActRelu6, DilationW: 1, DilationH: 1,
		}
		b.operator(tflite.OpDepthwiseConv2D, o.Options(), in, out)
		return out, nil
	}
	o := tflite.Conv2DOptions{Padding: tflite.PaddingSame, StrideW: s, StrideH: s, Activation: tflite.ActRelu6, DilationW: 1, DilationH: 1}
	b.operator(tflite.OpConv2D, o.Options(), in, out)
	return out, nil
}

// quantized contains the quantized weights of a layer. A value represents the weight scale·(value −
// zero).
type quantized struct {
	values []byte
	scale  float32
	zero   int64
}

// quantize maps the range of w, extended to include 0, to the values 1 to 255. Like Coral's models,
// it does not use the value 0, so that the sum of two int8 products fits in 16 bits.
func quantize(w []float32) quantized {
	var low, high float64
	for _, x := range w {
		low, high = min(low, float64(x)), max(high, float64(x))
	}
	q := quantized{values: make([]byte, len(w)), scale: float32((high - low) / 254)}
	if q.scale == 0 {
		q.scale = 1 // all weights are zero
	}
	q.zero = 1 + int64(math.RoundToEven(-low/float64(q.scale)))
	for i, x := range w {
		v := q.zero + int64(math.RoundToEven(float64(x/q.scale)))
		q.values[i] = byte(min(max(v, 1), 255))
	}
	return q
}

// quantizeBias returns the biases as little-endian int32 values with the given scale.
func quantizeBias(bias []float32, scale float32) ([]byte, error) {
	var b []byte
	for c, x := range bias {
		v := math.RoundToEven(float64(x) / float64(scale))
		if math.Abs(v) > math.MaxInt32 {
			return nil, fmt.Errorf("%w: bias %d is %v, too large for scale %v", ErrWeights, c, x, scale)
		}
		b = binary.LittleEndian.AppendUint32(b, uint32(int32(v)))
	}
	return b, nil
}
