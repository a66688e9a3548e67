package tflite

import (
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite/flatbuf"
)

// An OptionsType says which table an operator's builtin options are: the
// number of a member of the schema's union BuiltinOptions.
type OptionsType uint8

// The options with a typed view, and those without a field that programs here
// write.
const (
	OptionsNone            OptionsType = 0
	OptionsConv2D          OptionsType = 1
	OptionsDepthwiseConv2D OptionsType = 2
	OptionsPool2D          OptionsType = 5
	OptionsFullyConnected  OptionsType = 8
	OptionsSoftmax         OptionsType = 9
	OptionsConcatenation   OptionsType = 10
	OptionsAdd             OptionsType = 11
	OptionsL2Norm          OptionsType = 12
	OptionsReshape         OptionsType = 17
	OptionsMul             OptionsType = 21
	OptionsPad             OptionsType = 22
	OptionsReducer         OptionsType = 27
	OptionsSub             OptionsType = 28
	OptionsSqueeze         OptionsType = 30
	OptionsStridedSlice    OptionsType = 32
	OptionsDequantize      OptionsType = 38
	OptionsPadV2           OptionsType = 43
	OptionsLeakyRelu       OptionsType = 75
	OptionsQuantize        OptionsType = 89
	OptionsHardSwish       OptionsType = 91
)

// String gives the name of the options' table, for instance Conv2DOptions.
func (t OptionsType) String() string {
	switch {
	case t == OptionsNone:
		return "NONE"
	case int(t) < len(builtinOptions):
		return builtinOptions[t].Name
	}
	return fmt.Sprintf("OptionsType(%d)", uint8(t))
}

// Options are an operator's builtin options: an immutable value. The zero
// value means the operator has none.
//
// A typed view of options that are absent or of another type gives the
// schema's default for every field; so does a field that is absent. Callers
// who must know compare Type first.
type Options struct {
	Type  OptionsType
	table *node
}

// EmptyOptions gives options of type t with every field at its default, for
// tables without fields such as OptionsPad; no options if the schema has no
// type t.
func EmptyOptions(t OptionsType) Options {
	if t == OptionsNone || int(t) >= len(builtinOptions) {
		return Options{}
	}
	return Options{t, newNode(builtinOptions[t])}
}

// fields gives the table if it is of type t, else nil.
func (o Options) fields(t OptionsType) *node {
	if o.Type != t {
		return nil
	}
	return o.table
}

// Conv2DOptions are those of CONV_2D. The defaults have stride 0, which no
// runtime accepts, and dilation 1.
type Conv2DOptions struct {
	Padding              Padding
	StrideW, StrideH     int32
	Activation           Activation
	DilationW, DilationH int32
	QuantizedBiasType    TensorType
}

// Conv2D is the typed view of OptionsConv2D.
func (o Options) Conv2D() Conv2DOptions {
	n := o.fields(OptionsConv2D)
	return Conv2DOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.activation(3),
		n.int32(4, 1), n.int32(5, 1), TensorType(n.get(6, 0))}
}

// Options gives c as an operator's options.
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

// DepthwiseConv2DOptions are those of DEPTHWISE_CONV_2D. The defaults have
// stride 0, which no runtime accepts, and dilation 1.
type DepthwiseConv2DOptions struct {
	Padding              Padding
	StrideW, StrideH     int32
	DepthMultiplier      int32
	Activation           Activation
	DilationW, DilationH int32
}

// DepthwiseConv2D is the typed view of OptionsDepthwiseConv2D.
func (o Options) DepthwiseConv2D() DepthwiseConv2DOptions {
	n := o.fields(OptionsDepthwiseConv2D)
	return DepthwiseConv2DOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.int32(3, 0),
		n.activation(4), n.int32(5, 1), n.int32(6, 1)}
}

// Options gives c as an operator's options.
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

// Pool2DOptions are those of AVERAGE_POOL_2D, MAX_POOL_2D and L2_POOL_2D. The
// defaults have stride and filter 0, which no runtime accepts.
type Pool2DOptions struct {
	Padding                   Padding
	StrideW, StrideH          int32
	FilterWidth, FilterHeight int32
	Activation                Activation
}

// Pool2D is the typed view of OptionsPool2D.
func (o Options) Pool2D() Pool2DOptions {
	n := o.fields(OptionsPool2D)
	return Pool2DOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.int32(3, 0),
		n.int32(4, 0), n.activation(5)}
}

// Options gives p as an operator's options.
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

// FullyConnectedOptions are those of FULLY_CONNECTED. The default is no
// activation, row-major weights and an output of two dimensions.
type FullyConnectedOptions struct {
	Activation               Activation
	WeightsFormat            int8 // 0 row-major, 1 shuffled 4x16 int8
	KeepNumDims              bool
	AsymmetricQuantizeInputs bool
	QuantizedBiasType        TensorType
}

// FullyConnected is the typed view of OptionsFullyConnected.
func (o Options) FullyConnected() FullyConnectedOptions {
	n := o.fields(OptionsFullyConnected)
	return FullyConnectedOptions{n.activation(0), int8(n.get(1, 0)), n.flag(2, false), n.flag(3, false),
		TensorType(n.get(4, 0))}
}

// Options gives f as an operator's options.
func (f FullyConnectedOptions) Options() Options {
	o := EmptyOptions(OptionsFullyConnected)
	o.table.setByte(0, int8(f.Activation))
	o.table.setByte(1, f.WeightsFormat)
	o.table.setFlag(2, f.KeepNumDims)
	o.table.setFlag(3, f.AsymmetricQuantizeInputs)
	o.table.setByte(4, int8(f.QuantizedBiasType))
	return o
}

// SoftmaxOptions are those of SOFTMAX, which gives exp(Beta·x) normalised. The
// schema's default Beta is 0.
type SoftmaxOptions struct{ Beta float32 }

// Softmax is the typed view of OptionsSoftmax.
func (o Options) Softmax() SoftmaxOptions {
	return SoftmaxOptions{o.fields(OptionsSoftmax).float32(0)}
}

// Options gives s as an operator's options.
func (s SoftmaxOptions) Options() Options {
	o := EmptyOptions(OptionsSoftmax)
	o.table.set(0, uint64(math.Float32bits(s.Beta)), 0)
	return o
}

// ReshapeOptions are those of RESHAPE.
type ReshapeOptions struct {
	NewShape []int32 // nil when absent; the second input then has the shape
}

// Reshape is the typed view of OptionsReshape.
func (o Options) Reshape() ReshapeOptions {
	return ReshapeOptions{flatbuf.Int32s(o.fields(OptionsReshape).vector(0))}
}

// Options gives r as an operator's options.
func (r ReshapeOptions) Options() Options {
	o := EmptyOptions(OptionsReshape)
	o.table.setInt32s(0, r.NewShape)
	return o
}

// SqueezeOptions are those of SQUEEZE.
type SqueezeOptions struct {
	SqueezeDims []int32 // none means every dimension of size 1
}

// Squeeze is the typed view of OptionsSqueeze.
func (o Options) Squeeze() SqueezeOptions {
	return SqueezeOptions{flatbuf.Int32s(o.fields(OptionsSqueeze).vector(0))}
}

// Options gives s as an operator's options.
func (s SqueezeOptions) Options() Options {
	o := EmptyOptions(OptionsSqueeze)
	o.table.setInt32s(0, s.SqueezeDims)
	return o
}

// ConcatenationOptions are those of CONCATENATION. The default axis is 0.
type ConcatenationOptions struct {
	Axis       int32
	Activation Activation
}

// Concatenation is the typed view of OptionsConcatenation.
func (o Options) Concatenation() ConcatenationOptions {
	n := o.fields(OptionsConcatenation)
	return ConcatenationOptions{n.int32(0, 0), n.activation(1)}
}

// Options gives c as an operator's options.
func (c ConcatenationOptions) Options() Options {
	o := EmptyOptions(OptionsConcatenation)
	o.table.setInt32(0, c.Axis, 0)
	o.table.setByte(1, int8(c.Activation))
	return o
}

// AddOptions are those of ADD. The default PotScaleInt16 is true.
type AddOptions struct {
	Activation    Activation
	PotScaleInt16 bool
}

// Add is the typed view of OptionsAdd.
func (o Options) Add() AddOptions {
	n := o.fields(OptionsAdd)
	return AddOptions{n.activation(0), n.flag(1, true)}
}

// Options gives a as an operator's options.
func (a AddOptions) Options() Options {
	return elementwise(OptionsAdd, a.Activation, a.PotScaleInt16)
}

// SubOptions are those of SUB. The default PotScaleInt16 is true.
type SubOptions struct {
	Activation    Activation
	PotScaleInt16 bool
}

// Sub is the typed view of OptionsSub.
func (o Options) Sub() SubOptions {
	n := o.fields(OptionsSub)
	return SubOptions{n.activation(0), n.flag(1, true)}
}

// Options gives s as an operator's options.
func (s SubOptions) Options() Options {
	return elementwise(OptionsSub, s.Activation, s.PotScaleInt16)
}

func elementwise(t OptionsType, a Activation, potScaleInt16 bool) Options {
	o := EmptyOptions(t)
	o.table.setByte(0, int8(a))
	if !potScaleInt16 {
		o.table.v[1] = uint64(0)
	}
	return o
}

// MulOptions are those of MUL.
type MulOptions struct{ Activation Activation }

// Mul is the typed view of OptionsMul.
func (o Options) Mul() MulOptions { return MulOptions{o.fields(OptionsMul).activation(0)} }

// Options gives m as an operator's options.
func (m MulOptions) Options() Options {
	o := EmptyOptions(OptionsMul)
	o.table.setByte(0, int8(m.Activation))
	return o
}

// L2NormOptions are those of L2_NORMALIZATION.
type L2NormOptions struct{ Activation Activation }

// L2Norm is the typed view of OptionsL2Norm.
func (o Options) L2Norm() L2NormOptions { return L2NormOptions{o.fields(OptionsL2Norm).activation(0)} }

// Options gives l as an operator's options.
func (l L2NormOptions) Options() Options {
	o := EmptyOptions(OptionsL2Norm)
	o.table.setByte(0, int8(l.Activation))
	return o
}

// ReducerOptions are those of MEAN, SUM and the other reductions. The default
// drops the reduced dimensions.
type ReducerOptions struct{ KeepDims bool }

// Reducer is the typed view of OptionsReducer.
func (o Options) Reducer() ReducerOptions {
	return ReducerOptions{o.fields(OptionsReducer).flag(0, false)}
}

// Options gives r as an operator's options.
func (r ReducerOptions) Options() Options {
	o := EmptyOptions(OptionsReducer)
	o.table.setFlag(0, r.KeepDims)
	return o
}

// LeakyReluOptions are those of LEAKY_RELU: Alpha is the slope below zero.
type LeakyReluOptions struct{ Alpha float32 }

// LeakyRelu is the typed view of OptionsLeakyRelu.
func (o Options) LeakyRelu() LeakyReluOptions {
	return LeakyReluOptions{o.fields(OptionsLeakyRelu).float32(0)}
}

// Options gives l as an operator's options.
func (l LeakyReluOptions) Options() Options {
	o := EmptyOptions(OptionsLeakyRelu)
	o.table.set(0, uint64(math.Float32bits(l.Alpha)), 0)
	return o
}

// StridedSliceOptions are those of STRIDED_SLICE; bit i of a mask is about
// dimension i.
type StridedSliceOptions struct {
	BeginMask, EndMask, EllipsisMask, NewAxisMask, ShrinkAxisMask int32
	Offset                                                        bool // the end is relative to the begin
}

// StridedSlice is the typed view of OptionsStridedSlice.
func (o Options) StridedSlice() StridedSliceOptions {
	n := o.fields(OptionsStridedSlice)
	return StridedSliceOptions{n.int32(0, 0), n.int32(1, 0), n.int32(2, 0), n.int32(3, 0), n.int32(4, 0),
		n.flag(5, false)}
}

// Options gives s as an operator's options.
func (s StridedSliceOptions) Options() Options {
	o := EmptyOptions(OptionsStridedSlice)
	for slot, mask := range [...]int32{s.BeginMask, s.EndMask, s.EllipsisMask, s.NewAxisMask, s.ShrinkAxisMask} {
		o.table.setInt32(slot, mask, 0)
	}
	o.table.setFlag(5, s.Offset)
	return o
}
