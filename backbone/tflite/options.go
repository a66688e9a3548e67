package tflite

import (
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// An OptionsType is the type of an operator's builtin options: a member of the union
// BuiltinOptions.
type OptionsType uint8

// The types with a typed view, and types without fields that other packages write.
const (
	OptionsNone                       OptionsType = 0
	OptionsConv2D                     OptionsType = 1
	OptionsDepthwiseConv2D            OptionsType = 2
	OptionsPool2D                     OptionsType = 5
	OptionsFullyConnected             OptionsType = 8
	OptionsSoftmax                    OptionsType = 9
	OptionsConcatenation              OptionsType = 10
	OptionsAdd                        OptionsType = 11
	OptionsL2Norm                     OptionsType = 12
	OptionsResizeBilinear             OptionsType = 15
	OptionsReshape                    OptionsType = 17
	OptionsSpaceToDepth               OptionsType = 19
	OptionsMul                        OptionsType = 21
	OptionsPad                        OptionsType = 22
	OptionsGather                     OptionsType = 23
	OptionsReducer                    OptionsType = 27
	OptionsSub                        OptionsType = 28
	OptionsDiv                        OptionsType = 29
	OptionsSqueeze                    OptionsType = 30
	OptionsStridedSlice               OptionsType = 32
	OptionsSplit                      OptionsType = 35
	OptionsDequantize                 OptionsType = 38
	OptionsArgMax                     OptionsType = 40
	OptionsPadV2                      OptionsType = 43
	OptionsTransposeConv              OptionsType = 49
	OptionsPack                       OptionsType = 59
	OptionsUnpack                     OptionsType = 64
	OptionsUnidirectionalSequenceLSTM OptionsType = 71
	OptionsResizeNearestNeighbor      OptionsType = 74
	OptionsLeakyRelu                  OptionsType = 75
	OptionsSplitV                     OptionsType = 79
	OptionsQuantize                   OptionsType = 89
	OptionsHardSwish                  OptionsType = 91
	OptionsDepthToSpace               OptionsType = 94
)

// String returns the name of the table in the schema, such as Conv2DOptions.
func (t OptionsType) String() string {
	switch {
	case t == OptionsNone:
		return "NONE"
	case int(t) < len(builtinOptions):
		return builtinOptions[t].Name
	}
	return fmt.Sprintf("OptionsType(%d)", uint8(t))
}

// Options are an operator's builtin options. They are immutable. The zero value means
// that the operator has no options.
//
// A method such as Conv2D returns a typed view, in which absent fields have the schema's
// default values. If the options are absent or of another type, all fields have their
// default values. Check Type to tell these cases apart.
type Options struct {
	Type  OptionsType
	table *node
}

// EmptyOptions returns options of type t with default values, for tables without fields
// such as OptionsPad. If the schema has no type t, it returns the zero Options.
func EmptyOptions(t OptionsType) Options {
	if t == OptionsNone || int(t) >= len(builtinOptions) {
		return Options{}
	}
	return Options{t, newNode(builtinOptions[t])}
}

// oneByte returns options of type t whose first field is v, a value of an enumeration.
func oneByte(t OptionsType, v int8) Options {
	o := EmptyOptions(t)
	o.table.setByte(0, v)
	return o
}

// fields returns the table if it has type t, and otherwise nil.
func (o Options) fields(t OptionsType) *node {
	if o.Type != t {
		return nil
	}
	return o.table
}

// Conv2DOptions are the options of CONV_2D. The default stride is 0, which no runtime
// accepts. The default dilation is 1.
type Conv2DOptions struct {
	Padding              Padding
	StrideW, StrideH     int32
	Activation           Activation
	DilationW, DilationH int32
	QuantizedBiasType    TensorType
}

// Conv2D returns a typed view of options with type OptionsConv2D.
func (o Options) Conv2D() Conv2DOptions {
	n := o.fields(OptionsConv2D)
	return Conv2DOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.activation(3),
		n.int32(4, 1), n.int32(5, 1), TensorType(n.get(6, 0))}
}

// Options converts c to an operator's options.
func (c Conv2DOptions) Options() Options {
	o := EmptyOptions(OptionsConv2D)
	o.table.setByte(0, int8(c.Padding))
	o.table.setInt32(1, c.StrideW, 0)
	o.table.setInt32(2, c.StrideH, 0)
	o.table.setByte(3, int8(c.Activation))
	o.table.setInt32(4, c.DilationW, 1)
	o.table.setInt32(5, c.DilationH, 1)
	o.table.setByte(6, int8(c.QuantizedBiasType))
	return o
}

// DepthwiseConv2DOptions are the options of DEPTHWISE_CONV_2D. The default stride is 0,
// which no runtime accepts. The default dilation is 1.
type DepthwiseConv2DOptions struct {
	Padding              Padding
	StrideW, StrideH     int32
	DepthMultiplier      int32
	Activation           Activation
	DilationW, DilationH int32
}

// DepthwiseConv2D returns a typed view of options with type OptionsDepthwiseConv2D.
func (o Options) DepthwiseConv2D() DepthwiseConv2DOptions {
	n := o.fields(OptionsDepthwiseConv2D)
	return DepthwiseConv2DOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.int32(3, 0),
		n.activation(4), n.int32(5, 1), n.int32(6, 1)}
}

// Options converts c to an operator's options.
func (c DepthwiseConv2DOptions) Options() Options {
	o := EmptyOptions(OptionsDepthwiseConv2D)
	o.table.setByte(0, int8(c.Padding))
	o.table.setInt32(1, c.StrideW, 0)
	o.table.setInt32(2, c.StrideH, 0)
	o.table.setInt32(3, c.DepthMultiplier, 0)
	o.table.setByte(4, int8(c.Activation))
	o.table.setInt32(5, c.DilationW, 1)
	o.table.setInt32(6, c.DilationH, 1)
	return o
}

// Pool2DOptions are the options of AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D. The
// default strides and filter sizes are 0, which no runtime accepts.
type Pool2DOptions struct {
	Padding                   Padding
	StrideW, StrideH          int32
	FilterWidth, FilterHeight int32
	Activation                Activation
}

// Pool2D returns a typed view of options with type OptionsPool2D.
func (o Options) Pool2D() Pool2DOptions {
	n := o.fields(OptionsPool2D)
	return Pool2DOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.int32(3, 0),
		n.int32(4, 0), n.activation(5)}
}

// Options converts p to an operator's options.
func (p Pool2DOptions) Options() Options {
	o := EmptyOptions(OptionsPool2D)
	o.table.setByte(0, int8(p.Padding))
	o.table.setInt32(1, p.StrideW, 0)
	o.table.setInt32(2, p.StrideH, 0)
	o.table.setInt32(3, p.FilterWidth, 0)
	o.table.setInt32(4, p.FilterHeight, 0)
	o.table.setByte(5, int8(p.Activation))
	return o
}

// FullyConnectedOptions are the options of FULLY_CONNECTED. By default there is no
// activation, weights are row-major and the output has two dimensions.
type FullyConnectedOptions struct {
	Activation               Activation
	WeightsFormat            int8 // 0 is row-major, 1 is shuffled 4x16 int8
	KeepNumDims              bool
	AsymmetricQuantizeInputs bool
	QuantizedBiasType        TensorType
}

// FullyConnected returns a typed view of options with type OptionsFullyConnected.
func (o Options) FullyConnected() FullyConnectedOptions {
	n := o.fields(OptionsFullyConnected)
	return FullyConnectedOptions{n.activation(0), int8(n.get(1, 0)), n.flag(2, false), n.flag(3, false),
		TensorType(n.get(4, 0))}
}

// Options converts f to an operator's options.
func (f FullyConnectedOptions) Options() Options {
	o := EmptyOptions(OptionsFullyConnected)
	o.table.setByte(0, int8(f.Activation))
	o.table.setByte(1, f.WeightsFormat)
	o.table.setFlag(2, f.KeepNumDims)
	o.table.setFlag(3, f.AsymmetricQuantizeInputs)
	o.table.setByte(4, int8(f.QuantizedBiasType))
	return o
}

// SoftmaxOptions are the options of SOFTMAX, which computes exp(Beta·x) and divides by
// the sum. The default Beta is 0.
type SoftmaxOptions struct{ Beta float32 }

// Softmax returns a typed view of options with type OptionsSoftmax.
func (o Options) Softmax() SoftmaxOptions {
	return SoftmaxOptions{o.fields(OptionsSoftmax).float32(0)}
}

// Options converts s to an operator's options.
func (s SoftmaxOptions) Options() Options {
	o := EmptyOptions(OptionsSoftmax)
	o.table.set(0, uint64(math.Float32bits(s.Beta)), 0)
	return o
}

// ReshapeOptions are the options of RESHAPE.
type ReshapeOptions struct {
	NewShape []int32 // nil if the second input has the shape
}

// Reshape returns a typed view of options with type OptionsReshape.
func (o Options) Reshape() ReshapeOptions {
	return ReshapeOptions{flatbuf.Int32s(o.fields(OptionsReshape).vector(0))}
}

// Options converts r to an operator's options.
func (r ReshapeOptions) Options() Options {
	o := EmptyOptions(OptionsReshape)
	o.table.setInt32s(0, r.NewShape)
	return o
}

// SqueezeOptions are the options of SQUEEZE.
type SqueezeOptions struct {
	SqueezeDims []int32 // empty for all dimensions of size 1
}

// Squeeze returns a typed view of options with type OptionsSqueeze.
func (o Options) Squeeze() SqueezeOptions {
	return SqueezeOptions{flatbuf.Int32s(o.fields(OptionsSqueeze).vector(0))}
}

// Options converts s to an operator's options.
func (s SqueezeOptions) Options() Options {
	o := EmptyOptions(OptionsSqueeze)
	o.table.setInt32s(0, s.SqueezeDims)
	return o
}

// ConcatenationOptions are the options of CONCATENATION. The default Axis is 0.
type ConcatenationOptions struct {
	Axis       int32
	Activation Activation
}

// Concatenation returns a typed view of options with type OptionsConcatenation.
func (o Options) Concatenation() ConcatenationOptions {
	n := o.fields(OptionsConcatenation)
	return ConcatenationOptions{n.int32(0, 0), n.activation(1)}
}

// Options converts c to an operator's options.
func (c ConcatenationOptions) Options() Options {
	o := EmptyOptions(OptionsConcatenation)
	o.table.setInt32(0, c.Axis, 0)
	o.table.setByte(1, int8(c.Activation))
	return o
}

// AddOptions are the options of ADD. PotScaleInt16 is true by default.
type AddOptions struct {
	Activation    Activation
	PotScaleInt16 bool
}

// Add returns a typed view of options with type OptionsAdd.
func (o Options) Add() AddOptions {
	n := o.fields(OptionsAdd)
	return AddOptions{n.activation(0), n.flag(1, true)}
}

// Options converts a to an operator's options.
func (a AddOptions) Options() Options {
	return elementwise(OptionsAdd, a.Activation, a.PotScaleInt16)
}

// SubOptions are the options of SUB. PotScaleInt16 is true by default.
type SubOptions struct {
	Activation    Activation
	PotScaleInt16 bool
}

// Sub returns a typed view of options with type OptionsSub.
func (o Options) Sub() SubOptions {
	n := o.fields(OptionsSub)
	return SubOptions{n.activation(0), n.flag(1, true)}
}

// Options converts s to an operator's options.
func (s SubOptions) Options() Options {
	return elementwise(OptionsSub, s.Activation, s.PotScaleInt16)
}

// elementwise returns the options of ADD or SUB.
func elementwise(t OptionsType, a Activation, potScaleInt16 bool) Options {
	o := EmptyOptions(t)
	o.table.setByte(0, int8(a))
	if !potScaleInt16 {
		o.table.v[1] = uint64(0)
	}
	return o
}

// MulOptions are the options of MUL.
type MulOptions struct{ Activation Activation }

// Mul returns a typed view of options with type OptionsMul.
func (o Options) Mul() MulOptions { return MulOptions{o.fields(OptionsMul).activation(0)} }

// Options converts m to an operator's options.
func (m MulOptions) Options() Options { return oneByte(OptionsMul, int8(m.Activation)) }

// L2NormOptions are the options of L2_NORMALIZATION.
type L2NormOptions struct{ Activation Activation }

// L2Norm returns a typed view of options with type OptionsL2Norm.
func (o Options) L2Norm() L2NormOptions { return L2NormOptions{o.fields(OptionsL2Norm).activation(0)} }

// Options converts l to an operator's options.
func (l L2NormOptions) Options() Options { return oneByte(OptionsL2Norm, int8(l.Activation)) }

// ReducerOptions are the options of MEAN, SUM and other reductions. By default, the
// reduced dimensions are removed.
type ReducerOptions struct{ KeepDims bool }

// Reducer returns a typed view of options with type OptionsReducer.
func (o Options) Reducer() ReducerOptions {
	return ReducerOptions{o.fields(OptionsReducer).flag(0, false)}
}

// Options converts r to an operator's options.
func (r ReducerOptions) Options() Options {
	o := EmptyOptions(OptionsReducer)
	o.table.setFlag(0, r.KeepDims)
	return o
}

// LeakyReluOptions are the options of LEAKY_RELU. Alpha is the slope below zero.
type LeakyReluOptions struct{ Alpha float32 }

// LeakyRelu returns a typed view of options with type OptionsLeakyRelu.
func (o Options) LeakyRelu() LeakyReluOptions {
	return LeakyReluOptions{o.fields(OptionsLeakyRelu).float32(0)}
}

// Options converts l to an operator's options.
func (l LeakyReluOptions) Options() Options {
	o := EmptyOptions(OptionsLeakyRelu)
	o.table.set(0, uint64(math.Float32bits(l.Alpha)), 0)
	return o
}

// StridedSliceOptions are the options of STRIDED_SLICE. Bit i of a mask applies to
// dimension i.
type StridedSliceOptions struct {
	BeginMask, EndMask, EllipsisMask, NewAxisMask, ShrinkAxisMask int32
	Offset                                                        bool // the end is relative to the beginning
}

// StridedSlice returns a typed view of options with type OptionsStridedSlice.
func (o Options) StridedSlice() StridedSliceOptions {
	n := o.fields(OptionsStridedSlice)
	return StridedSliceOptions{n.int32(0, 0), n.int32(1, 0), n.int32(2, 0), n.int32(3, 0), n.int32(4, 0),
		n.flag(5, false)}
}

// Options converts s to an operator's options.
func (s StridedSliceOptions) Options() Options {
	o := EmptyOptions(OptionsStridedSlice)
	for slot, mask := range [...]int32{s.BeginMask, s.EndMask, s.EllipsisMask, s.NewAxisMask, s.ShrinkAxisMask} {
		o.table.setInt32(slot, mask, 0)
	}
	o.table.setFlag(5, s.Offset)
	return o
}
