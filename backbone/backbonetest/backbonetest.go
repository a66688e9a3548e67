// Package backbonetest makes small models and photos for tests. Start with
// [Extractor] and [Photo]. Everything is computed from fixed seeds, so a call with the
// same arguments returns the same bytes on every machine.
package backbonetest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"

	"github.com/imprintkit/imprint/backbone/tflite"
)

const (
	// Size is the width and height of the models' input, in pixels.
	Size = 32
	// Dim is the number of values in the models' embeddings.
	Dim = 48
)

// Extractor returns the model file of a uint8 embedding extractor, a very small MobileNet
// with random weights: input [1, 32, 32, 3]; CONV_2D, DEPTHWISE_CONV_2D, CONV_2D and
// AVERAGE_POOL_2D; output [1, 1, 1, 48].
func Extractor() []byte { return mustEncode(extractor()) }

// Classifier returns the model file of a classifier with output [1, classes]. It adds a
// last layer with random weights to the Extractor. The added operators are the same as in
// Coral's classifiers: CONV_2D, RESHAPE and SOFTMAX. The labels in the file are "base 0",
// "base 1" and so on.
func Classifier(classes int) []byte {
	b := extractor()
	b.conv("logits", 1, 1, classes, 1, tflite.ActNone, 0.1, 128)
	b.op(tflite.OpReshape, tflite.ReshapeOptions{NewShape: []int32{1, int32(classes)}}.Options(), b.tensor("flat", []int32{1, int32(classes)}, 0.1, 128))
	b.op(tflite.OpSoftmax, tflite.SoftmaxOptions{Beta: 1}.Options(), b.tensor("scores", []int32{1, int32(classes)}, 1.0/256, 0))
	return mustEncode(b)
}

// Photo returns a PNG of 40×30 pixels. The kind determines its waves and color, and the
// seed determines its noise. Photos of one kind have similar embeddings.
func Photo(kind, seed uint64) []byte {
	r := rand.New(rand.NewPCG(kind, seed))
	base := [3]float64{}
	for i := range base {
		base[i] = 40 + float64((kind*uint64(67*i+59)+uint64(i)*90)%176)
	}
	img := image.NewNRGBA(image.Rect(0, 0, 40, 30))
	for y := range 30 {
		for x := range 40 {
			var c [3]uint8
			for i := range c {
				wave := 30 * math.Sin(float64(x)*float64(kind%5+1)/4+float64(y)*float64(kind%3)/3)
				c[i] = uint8(min(max(base[i]+wave+20*r.NormFloat64(), 0), 255))
			}
			img.SetNRGBA(x, y, color.NRGBA{c[0], c[1], c[2], 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // writing to memory does not fail
	}
	return b.Bytes()
}

// WidePhoto returns a PNG of 80×30 pixels. Only one part of it shows the class, 0 or 1:
// the left and right quarters if margins is set, otherwise the middle half. About 60 % of
// the blocks in that part have the color of the class. All other blocks have random
// colors.
func WidePhoto(class int, margins bool, seed uint64) []byte {
	r := rand.New(rand.NewPCG(seed, uint64(class)))
	img := image.NewNRGBA(image.Rect(0, 0, 80, 30))
	for y0 := 0; y0 < 30; y0 += 10 {
		for x0 := 0; x0 < 80; x0 += 10 {
			c := color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255}
			if outer := x0 < 20 || x0 >= 60; outer == margins && r.IntN(5) < 3 {
				c = color.NRGBA{uint8(170 - 80*class), 60, uint8(90 + 80*class), 255}
			}
			for y := y0; y < y0+10; y++ {
				for x := x0; x < x0+10; x++ {
					img.SetNRGBA(x, y, c)
				}
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // writing to memory does not fail
	}
	return b.Bytes()
}

// A builder adds operators to a model, one after another.
type builder struct {
	m      *tflite.Model
	at     int32 // the current tensor, which the next operator reads
	random *rand.Rand
}

// input returns a builder whose current tensor is a photo.
func input() *builder {
	m := &tflite.Model{Version: 3, Description: "made by backbonetest", Buffers: []tflite.Buffer{nil}}
	m.Subgraphs = []tflite.Subgraph{{DebugMetadataIndex: -1}}
	b := &builder{m: m, random: rand.New(rand.NewPCG(1, 2))}
	b.at = b.tensor("photo", []int32{1, Size, Size, 3}, 1.0/128, 128)
	m.Subgraphs[0].Inputs = []int32{b.at}
	return b
}

// extractor returns a builder with the operators of [Extractor].
func extractor() *builder {
	b := input()
	b.conv("conv", 3, 3, 16, 2, tflite.ActRelu6, 6.0/255, 0)
	b.depthwise("depthwise")
	b.conv("pointwise", 1, 1, Dim, 1, tflite.ActRelu6, 6.0/255, 0)
	side := b.shape()[1]
	b.op(tflite.OpAveragePool2D, tflite.Pool2DOptions{Padding: tflite.PaddingValid, StrideW: 1, StrideH: 1, FilterWidth: side, FilterHeight: side}.Options(),
		b.tensor("embedding", []int32{1, 1, 1, Dim}, 6.0/255, 0))
	return b
}

// mustEncode returns the model file. It adds labels if the output has one score per
// class.
func mustEncode(b *builder) []byte {
	b.m.Subgraphs[0].Outputs = []int32{b.at}
	if out := b.shape(); len(out) == 2 {
		var labels []string
		for i := range out[1] {
			labels = append(labels, fmt.Sprint("base ", i))
		}
		if err := b.m.SetLabels(labels); err != nil {
			panic(err)
		}
	}
	return encode(b)
}

func encode(b *builder) []byte {
	file, err := b.m.Encode()
	if err != nil {
		panic(err) // a bug in this package
	}
	return file
}

// shape returns the shape of the current tensor.
func (b *builder) shape() []int32 { return b.m.Subgraphs[0].Tensors[b.at].Shape }

// tensor adds a uint8 tensor and returns its index.
func (b *builder) tensor(name string, shape []int32, scale float32, zero int64) int32 {
	return b.m.AddTensor(0, tflite.Tensor{Name: name, Shape: shape, Type: tflite.TypeUint8,
		Quantization: &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{zero}}})
}

// op adds an operator that reads the current tensor and the constants. Its output, the
// tensor out, becomes the current tensor.
func (b *builder) op(code tflite.BuiltinOperator, o tflite.Options, out int32, constants ...int32) {
	g := &b.m.Subgraphs[0]
	g.Operators = append(g.Operators, tflite.Operator{Opcode: b.m.OperatorCode(code, "", 1), Inputs: append([]int32{b.at}, constants...),
		Outputs: []int32{out}, Options: o, DebugMetadataIndex: -1})
	b.at = out
}

// weights adds random uint8 weights and int32 biases for n output channels, and returns
// their tensors.
func (b *builder) weights(name string, shape []int32, n int) (filter, bias int32) {
	size := 1
	for _, d := range shape {
		size *= int(d)
	}
	w := make([]byte, size)
	for i := range w {
		w[i] = byte(min(max(128+40*b.random.NormFloat64(), 0), 255))
	}
	scale := float32(1.6 / math.Sqrt(float64(size/n)) / 40)
	in := b.m.Subgraphs[0].Tensors[b.at].Quantization.Scale[0]
	filter = b.constant(tflite.Tensor{Name: name + "/weights", Shape: shape, Type: tflite.TypeUint8,
		Quantization: &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{128}}}, w)
	biases := make([]byte, 0, 4*n)
	for range n {
		biases = binary.LittleEndian.AppendUint32(biases, uint32(int32((0.3*b.random.NormFloat64()-0.2)/float64(in*scale))))
	}
	bias = b.constant(tflite.Tensor{Name: name + "/bias", Shape: []int32{int32(n)}, Type: tflite.TypeInt32,
		Quantization: &tflite.Quantization{Scale: []float32{in * scale}, ZeroPoint: []int64{0}}}, biases)
	return filter, bias
}

func (b *builder) constant(t tflite.Tensor, content []byte) int32 {
	t.Buffer = b.m.AddBuffer(content)
	return b.m.AddTensor(0, t)
}

// conv adds a CONV_2D with out h×w filters and SAME padding.
func (b *builder) conv(name string, h, w int32, out int, stride int32, act tflite.Activation, scale float32, zero int64) {
	in := b.shape()
	filter, bias := b.weights(name, []int32{int32(out), h, w, in[3]}, out)
	side := (in[1] + stride - 1) / stride
	b.op(tflite.OpConv2D, tflite.Conv2DOptions{Padding: tflite.PaddingSame, StrideW: stride, StrideH: stride, Activation: act, DilationW: 1, DilationH: 1}.Options(),
		b.tensor(name, []int32{1, side, side, int32(out)}, scale, zero), filter, bias)
}

// depthwise adds a 3×3 DEPTHWISE_CONV_2D with stride 1, SAME padding and RELU6.
func (b *builder) depthwise(name string) {
	in := b.shape()
	filter, bias := b.weights(name, []int32{1, 3, 3, in[3]}, int(in[3]))
	b.op(tflite.OpDepthwiseConv2D, tflite.DepthwiseConv2DOptions{Padding: tflite.PaddingSame, StrideW: 1, StrideH: 1, DepthMultiplier: 1, Activation: tflite.ActRelu6, DilationW: 1, DilationH: 1}.Options(),
		b.tensor(name, in, 6.0/255, 0), filter, bias)
}

// Changed returns a copy of a model file of this package after a change. It panics if the model can't
// be written.
func Changed(file []byte, change func(*tflite.Model)) []byte {
	m, err := tflite.Parse(file)
	if err != nil {
		panic(err) // a bug in this package
	}
	change(m)
	b, err := m.Encode()
	if err != nil {
		panic(err)
	}
	return b
}
