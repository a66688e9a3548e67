package backbonetest

import (
	"github.com/imprintkit/imprint/backbone/tflite"
)

var (
	int32Type   = []tflite.TensorType{tflite.TypeInt32}
	numberTypes = []tflite.TensorType{tflite.TypeFloat32, tflite.TypeInt32}
	activations = []tflite.Activation{tflite.ActNone, tflite.ActRelu, tflite.ActReluN1To1, tflite.ActRelu6}
)

// calculations are operators that compute new values.
var calculations = []operatorKind{
	{"MAXIMUM", plainTypes, func(b *operators, t tflite.TensorType) { b.onTwo(tflite.OpMaximum, tflite.Options{}, t, true) }},
	{"MINIMUM", plainTypes, func(b *operators, t tflite.TensorType) { b.onTwo(tflite.OpMinimum, tflite.Options{}, t, true) }},
	{"SQUARED_DIFFERENCE", []tflite.TensorType{tflite.TypeInt8, tflite.TypeFloat32, tflite.TypeInt32}, func(b *operators, t tflite.TensorType) {
		b.onTwo(tflite.OpSquaredDifference, tflite.Options{}, t, false)
	}},
	{"ADD", int32Type, func(b *operators, t tflite.TensorType) {
		b.onTwo(tflite.OpAdd, tflite.AddOptions{Activation: b.activation(), PotScaleInt16: true}.Options(), t, false)
	}},
	{"SUB", int32Type, func(b *operators, t tflite.TensorType) {
		b.onTwo(tflite.OpSub, tflite.SubOptions{Activation: b.activation(), PotScaleInt16: true}.Options(), t, false)
	}},
	{"MUL", int32Type, func(b *operators, t tflite.TensorType) {
		b.onTwo(tflite.OpMul, tflite.MulOptions{Activation: b.activation()}.Options(), t, false)
	}},
	{"DIV", numberTypes, func(b *operators, t tflite.TensorType) {
		x, y, out := b.broadcast(t)
		b.op(tflite.OpDiv, tflite.DivOptions{Activation: b.activation()}.Options(), []int32{out}, x, y)
	}},
	{"FLOOR_DIV", numberTypes, func(b *operators, t tflite.TensorType) {
		x, y, out := b.broadcast(t)
		b.op(tflite.OpFloorDiv, tflite.Options{}, []int32{out}, x, y)
	}},
	{"PRELU", realTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(4)
		x := b.input(t, shape...)
		b.op(tflite.OpPrelu, tflite.Options{}, []int32{b.tensor(t, shape...)}, x, b.constant(t, 1, 1, shape[3]))
	}},
}

func (b *operators) activation() tflite.Activation {
	return activations[b.n(0, int32(len(activations)-1))]
}

// onTwo adds an operator on two tensors. If same is set, all tensors have the same
// quantization.
func (b *operators) onTwo(code tflite.BuiltinOperator, o tflite.Options, t tflite.TensorType, same bool) {
	x, y, out := b.broadcast(t)
	if same {
		b.at(y).Quantization, b.at(out).Quantization = b.at(x).Quantization, b.at(x).Quantization
	}
	b.op(code, o, []int32{out}, x, y)
}

// broadcast adds two inputs with shapes that can be broadcast, and an output. Integers of
// y are not 0.
func (b *operators) broadcast(t tflite.TensorType) (x, y, out int32) {
	shape := b.shape(b.n(1, 4))
	shapes := [2][]int32{}
	for i := range shapes {
		shapes[i] = append([]int32{}, shape...)
	}
	for i := range shape {
		switch b.n(0, 4) {
		case 0:
			shapes[0][i] = 1
		case 1:
			shapes[1][i] = 1
		}
	}
	if b.coin() {
		shapes[1] = shapes[1][b.n(0, int32(len(shape)-1)):]
	}
	for i := range shape {
		shape[i] = shapes[0][i]
		if j := i - len(shape) + len(shapes[1]); j >= 0 {
			shape[i] = max(shape[i], shapes[1][j])
		}
	}
	x = b.input(t, shapes[0]...)
	y = b.inputOf(t, func() int64 { return int64(b.n(1, 100) * (2*b.n(0, 1) - 1)) }, shapes[1]...)
	return x, y, b.tensor(t, shape...)
}
