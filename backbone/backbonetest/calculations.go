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
	{"TRANSPOSE_CONV", realTypes, transposeConv},
	{"DIV", numberTypes, func(b *operators, t tflite.TensorType) {
		x, y, out := b.broadcast(t)
		b.op(tflite.OpDiv, tflite.DivOptions{Activation: b.activation()}.Options(), []int32{out}, x, y)
	}},
	{"FLOOR_DIV", numberTypes, func(b *operators, t tflite.TensorType) {
		x, y, out := b.broadcast(t)
		b.op(tflite.OpFloorDiv, tflite.Options{}, []int32{out}, x, y)
	}},
	{"LOGISTIC", codeTypes, func(b *operators, t tflite.TensorType) {
		b.function(tflite.OpLogistic, tflite.Options{}, t, 1.0/256, 0)
	}},
	{"TANH", realTypes, func(b *operators, t tflite.TensorType) {
		b.function(tflite.OpTanh, tflite.Options{}, t, 1.0/128, 128)
	}},
	{"LEAKY_RELU", realTypes, func(b *operators, t tflite.TensorType) {
		b.function(tflite.OpLeakyRelu, tflite.LeakyReluOptions{Alpha: float32(b.n(-10, 40)) / 32}.Options(), t, 0, 0)
	}},
	{"RSQRT", []tflite.TensorType{tflite.TypeInt8, tflite.TypeFloat32}, func(b *operators, t tflite.TensorType) {
		b.function(tflite.OpRsqrt, tflite.Options{}, t, 0, 0)
		if g := &b.m.Subgraphs[0]; t == tflite.TypeInt8 { // no negative values
			b.at(g.Inputs[len(g.Inputs)-1]).Quantization.ZeroPoint[0] = -128
		}
	}},
	{"SUM", plainTypes, func(b *operators, t tflite.TensorType) { b.reduction(tflite.OpSum, t, false) }},
	{"REDUCE_MAX", plainTypes, func(b *operators, t tflite.TensorType) { b.reduction(tflite.OpReduceMax, t, true) }},
	{"REDUCE_MIN", plainTypes, func(b *operators, t tflite.TensorType) { b.reduction(tflite.OpReduceMin, t, true) }},
	{"PRELU", realTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(4)
		x := b.input(t, shape...)
		b.op(tflite.OpPrelu, tflite.Options{}, []int32{b.tensor(t, shape...)}, x, b.constant(t, 1, 1, shape[3]))
	}},
	{"UNIDIRECTIONAL_SEQUENCE_LSTM", codeTypes[1:], lstm},
	{"L2_POOL_2D", []tflite.TensorType{tflite.TypeFloat32}, l2Pool},
}

// transposeConv adds a TRANSPOSE_CONV. Only int8 filters have a scale for each channel.
func transposeConv(b *operators, t tflite.TensorType) {
	o := tflite.TransposeConvOptions{Padding: tflite.Padding(b.n(0, 1)), StrideW: b.n(1, 3), StrideH: b.n(1, 3)}
	s, channels, kh, kw := b.shape(4), b.n(1, 5), b.n(1, 4), b.n(1, 4)
	size := func(in, k, stride int32) int32 {
		if o.Padding == tflite.PaddingSame {
			return in*stride - b.n(0, stride-1)
		}
		return (in-1)*stride + k + b.n(0, stride-1)
	}
	h, w := size(s[1], kh, o.StrideH), size(s[2], kw, o.StrideW)
	x, out := b.input(t, s...), b.tensor(t, s[0], h, w, channels)
	filter := b.constant(t, channels, kh, kw, s[3])
	bias := b.constant(tflite.TypeInt32, channels)
	switch t {
	case tflite.TypeFloat32:
		bias = b.constant(t, channels)
	case tflite.TypeInt8:
		q := &tflite.Quantization{}
		for range channels {
			q.Scale, q.ZeroPoint = append(q.Scale, float32(b.n(1, 1000))/4096), append(q.ZeroPoint, 0)
		}
		b.at(filter).Quantization = q
	}
	if t != tflite.TypeFloat32 {
		b.at(out).Quantization.Scale[0] *= 64
		in, f := b.at(x).Quantization.Scale[0], b.at(filter).Quantization.Scale
		b.at(bias).Quantization = &tflite.Quantization{}
		for _, scale := range f {
			q := b.at(bias).Quantization
			q.Scale, q.ZeroPoint = append(q.Scale, in*scale), append(q.ZeroPoint, 0)
		}
	}
	inputs := []int32{b.ints(s[0], h, w, channels), filter, x}
	if b.coin() {
		inputs = append(inputs, bias)
	}
	b.op(tflite.OpTransposeConv, o.Options(), []int32{out}, inputs...)
}

// l2Pool adds an L2_POOL_2D.
func l2Pool(b *operators, t tflite.TensorType) {
	o := tflite.Pool2DOptions{Padding: tflite.PaddingSame, StrideW: b.n(1, 3), StrideH: b.n(1, 3), FilterWidth: b.n(1, 4), FilterHeight: b.n(1, 4), Activation: b.activation()}
	s := b.shape(4)
	x := b.input(t, s...)
	out := b.tensor(t, s[0], (s[1]+o.StrideH-1)/o.StrideH, (s[2]+o.StrideW-1)/o.StrideW, s[3])
	b.op(tflite.OpL2Pool2D, o.Options(), []int32{out}, x)
}

// lstm adds a UNIDIRECTIONAL_SEQUENCE_LSTM, which TensorFlow Lite runs on int8.
func lstm(b *operators, t tflite.TensorType) {
	batch, times, depth, cells := b.n(1, 3), b.n(1, 6), b.n(1, 9), b.n(1, 9)
	o := tflite.UnidirectionalSequenceLSTMOptions{Activation: tflite.ActTanh, TimeMajor: b.coin()}
	if b.n(0, 2) == 0 {
		o.CellClip = float32(b.n(1, 8)) / 4
	}
	first, second := batch, times
	if o.TimeMajor {
		first, second = times, batch
	}
	x, out := b.input(t, first, second, depth), b.tensor(t, first, second, cells)
	b.at(out).Quantization.Scale[0] = float32(b.n(3, 40)) / 4096
	inputs := []int32{x}
	for i := range 8 {
		columns := depth
		if i >= 4 {
			columns = cells
		}
		w := b.constant(t, cells, columns)
		b.at(w).Quantization = &tflite.Quantization{Scale: []float32{float32(b.n(1, 100)) / 4096}, ZeroPoint: []int64{0}}
		inputs = append(inputs, w)
	}
	inputs = append(inputs, -1, -1, -1)
	for range 4 {
		inputs = append(inputs, b.constant(tflite.TypeInt32, cells))
	}
	state, cell := b.like(out, batch, cells), b.tensor(tflite.TypeInt16, batch, cells)
	b.at(cell).Quantization = &tflite.Quantization{Scale: []float32{1 / float32(int(1)<<b.n(10, 14))}, ZeroPoint: []int64{0}}
	b.at(state).IsVariable, b.at(cell).IsVariable = true, true
	inputs = append(inputs, -1, -1, state, cell, -1, -1, -1, -1)
	b.op(tflite.OpUnidirectionalSequenceLSTM, o.Options(), []int32{out}, inputs...)
	op := &b.m.Subgraphs[0].Operators[len(b.m.Subgraphs[0].Operators)-1]
	for range 4 { // scales of the gates, which only layer normalization uses
		op.Intermediates = append(op.Intermediates, b.tensor(tflite.TypeFloat32, 0))
	}
	op.Intermediates = append(op.Intermediates, b.like(out, 0))
}

// function adds an operator on one tensor. The output has the given scale and zero point,
// or random ones if scale is 0.
func (b *operators) function(code tflite.BuiltinOperator, o tflite.Options, t tflite.TensorType, scale float32, zero int64) {
	shape := b.shape(b.n(1, 4))
	x, out := b.input(t, shape...), b.tensor(t, shape...)
	if q := b.at(out).Quantization; q != nil && scale != 0 {
		if q.Scale[0], q.ZeroPoint[0] = scale, zero; t == tflite.TypeInt8 {
			q.ZeroPoint[0] -= 128
		}
	}
	b.op(code, o, []int32{out}, x)
}

// reduction adds an operator that reduces axes.
func (b *operators) reduction(code tflite.BuiltinOperator, t tflite.TensorType, same bool) {
	shape, keep := b.shape(b.n(1, 4)), b.coin()
	var axes, out []int32
	for i, d := range shape {
		switch {
		case b.coin():
			axes = append(axes, b.either(int32(i), shape))
			if keep {
				out = append(out, 1)
			}
		default:
			out = append(out, d)
		}
	}
	if len(axes) == 0 {
		return
	}
	x := b.input(t, shape...)
	y := b.tensor(t, out...)
	if same || b.coin() {
		b.at(y).Quantization = b.at(x).Quantization
	}
	b.op(code, tflite.ReducerOptions{KeepDims: keep}.Options(), []int32{y}, x, b.ints(axes...))
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
