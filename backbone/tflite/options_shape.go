package tflite

import "math"

// ResizeOptions are the options of RESIZE_BILINEAR and RESIZE_NEAREST_NEIGHBOR. At most
// one of them is true.
type ResizeOptions struct {
	AlignCorners     bool // the centers of the corner pixels stay in place
	HalfPixelCenters bool // pixel i has its center at i + ½
}

// resizeSlot returns the first slot of ResizeOptions in a table of type t.
func resizeSlot(t OptionsType) int {
	if t == OptionsResizeBilinear {
		return 2 // after two obsolete fields
	}
	return 0
}

// Resize returns a typed view of options with type OptionsResizeBilinear or
// OptionsResizeNearestNeighbor.
func (o Options) Resize() ResizeOptions {
	if o.Type != OptionsResizeBilinear && o.Type != OptionsResizeNearestNeighbor {
		return ResizeOptions{}
	}
	slot := resizeSlot(o.Type)
	return ResizeOptions{o.table.flag(slot, false), o.table.flag(slot+1, false)}
}

// Options converts r to an operator's options of type t, OptionsResizeBilinear or
// OptionsResizeNearestNeighbor.
func (r ResizeOptions) Options(t OptionsType) Options {
	o, slot := EmptyOptions(t), resizeSlot(t)
	o.table.setFlag(slot, r.AlignCorners)
	o.table.setFlag(slot+1, r.HalfPixelCenters)
	return o
}

// number returns field slot of options whose type is one of types, or 0.
func (o Options) number(slot int, types ...OptionsType) int32 {
	for _, t := range types {
		if o.Type == t {
			return o.table.int32(slot, 0)
		}
	}
	return 0
}

// numbers returns options of type t whose fields are the given numbers.
func numbers(t OptionsType, fields ...int32) Options {
	o := EmptyOptions(t)
	for slot, v := range fields {
		o.table.setInt32(slot, v, 0)
	}
	return o
}

// SplitOptions are the options of SPLIT and SPLIT_V.
type SplitOptions struct{ NumSplits int32 }

// Split returns a typed view of options with type OptionsSplit or OptionsSplitV.
func (o Options) Split() SplitOptions {
	return SplitOptions{o.number(0, OptionsSplit, OptionsSplitV)}
}

// Options converts s to an operator's options of type t, OptionsSplit or OptionsSplitV.
func (s SplitOptions) Options(t OptionsType) Options { return numbers(t, s.NumSplits) }

// PackOptions are the options of PACK and UNPACK. Count is the number of tensors that are
// packed or unpacked.
type PackOptions struct{ Count, Axis int32 }

// Pack returns a typed view of options with type OptionsPack or OptionsUnpack.
func (o Options) Pack() PackOptions {
	return PackOptions{o.number(0, OptionsPack, OptionsUnpack), o.number(1, OptionsPack, OptionsUnpack)}
}

// Options converts p to an operator's options of type t, OptionsPack or OptionsUnpack.
func (p PackOptions) Options(t OptionsType) Options { return numbers(t, p.Count, p.Axis) }

// BlockOptions are the options of SPACE_TO_DEPTH and DEPTH_TO_SPACE.
type BlockOptions struct{ BlockSize int32 }

// Block returns a typed view of options with type OptionsSpaceToDepth or
// OptionsDepthToSpace.
func (o Options) Block() BlockOptions {
	return BlockOptions{o.number(0, OptionsSpaceToDepth, OptionsDepthToSpace)}
}

// Options converts b to an operator's options of type t, OptionsSpaceToDepth or
// OptionsDepthToSpace.
func (b BlockOptions) Options(t OptionsType) Options { return numbers(t, b.BlockSize) }

// GatherOptions are the options of GATHER. The first BatchDims axes of the input and of
// the indices are the same.
type GatherOptions struct{ Axis, BatchDims int32 }

// Gather returns a typed view of options with type OptionsGather.
func (o Options) Gather() GatherOptions {
	return GatherOptions{o.number(0, OptionsGather), o.number(1, OptionsGather)}
}

// Options converts g to an operator's options.
func (g GatherOptions) Options() Options { return numbers(OptionsGather, g.Axis, g.BatchDims) }

// ArgMaxOptions are the options of ARG_MAX.
type ArgMaxOptions struct{ OutputType TensorType }

// ArgMax returns a typed view of options with type OptionsArgMax.
func (o Options) ArgMax() ArgMaxOptions {
	return ArgMaxOptions{TensorType(o.fields(OptionsArgMax).get(0, 0))}
}

// Options converts a to an operator's options.
func (a ArgMaxOptions) Options() Options { return oneByte(OptionsArgMax, int8(a.OutputType)) }

// DivOptions are the options of DIV.
type DivOptions struct{ Activation Activation }

// Div returns a typed view of options with type OptionsDiv.
func (o Options) Div() DivOptions { return DivOptions{o.fields(OptionsDiv).activation(0)} }

// Options converts d to an operator's options.
func (d DivOptions) Options() Options { return oneByte(OptionsDiv, int8(d.Activation)) }

// TransposeConvOptions are the options of TRANSPOSE_CONV. The default stride is 0, which
// no runtime accepts.
type TransposeConvOptions struct {
	Padding           Padding
	StrideW, StrideH  int32
	Activation        Activation
	QuantizedBiasType TensorType
}

// TransposeConv returns a typed view of options with type OptionsTransposeConv.
func (o Options) TransposeConv() TransposeConvOptions {
	n := o.fields(OptionsTransposeConv)
	return TransposeConvOptions{Padding(n.get(0, 0)), n.int32(1, 0), n.int32(2, 0), n.activation(3), TensorType(n.get(4, 0))}
}

// Options converts c to an operator's options.
func (c TransposeConvOptions) Options() Options {
	o := EmptyOptions(OptionsTransposeConv)
	o.table.setByte(0, int8(c.Padding))
	o.table.setInt32(1, c.StrideW, 0)
	o.table.setInt32(2, c.StrideH, 0)
	o.table.setByte(3, int8(c.Activation))
	o.table.setByte(4, int8(c.QuantizedBiasType))
	return o
}

// UnidirectionalSequenceLSTMOptions are the options of UNIDIRECTIONAL_SEQUENCE_LSTM. A
// clip of 0 means none.
type UnidirectionalSequenceLSTMOptions struct {
	Activation         Activation
	CellClip, ProjClip float32
	TimeMajor          bool // the time is the first axis, and otherwise the second
}

// UnidirectionalSequenceLSTM returns a typed view of options with type
// OptionsUnidirectionalSequenceLSTM.
func (o Options) UnidirectionalSequenceLSTM() UnidirectionalSequenceLSTMOptions {
	n := o.fields(OptionsUnidirectionalSequenceLSTM)
	return UnidirectionalSequenceLSTMOptions{n.activation(0), n.float32(1), n.float32(2), n.flag(3, false)}
}

// Options converts l to an operator's options.
func (l UnidirectionalSequenceLSTMOptions) Options() Options {
	o := EmptyOptions(OptionsUnidirectionalSequenceLSTM)
	o.table.setByte(0, int8(l.Activation))
	o.table.set(1, uint64(math.Float32bits(l.CellClip)), 0)
	o.table.set(2, uint64(math.Float32bits(l.ProjClip)), 0)
	o.table.setFlag(3, l.TimeMajor)
	return o
}
