package backbonetest

import (
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

var (
	codeTypes  = []tflite.TensorType{tflite.TypeUint8, tflite.TypeInt8}
	realTypes  = append(slices.Clone(codeTypes), tflite.TypeFloat32)
	plainTypes = append(slices.Clone(realTypes), tflite.TypeInt32)
)

// moves are operators that move elements, and those that choose among them.
var moves = []operatorKind{
	{"TRANSPOSE", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 5))
		perm, out := make([]int32, len(shape)), make([]int32, len(shape))
		for i, p := range b.random.Perm(len(shape)) {
			perm[i], out[i] = int32(p), shape[p]
		}
		x := b.input(t, shape...)
		b.op(tflite.OpTranspose, tflite.Options{}, []int32{b.like(x, out...)}, x, b.ints(perm...))
	}},
	{"SPLIT", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		axis, n := b.n(0, int32(len(shape)-1)), b.n(1, 4)
		part := slices.Clone(shape)
		shape[axis] *= n
		x := b.input(t, shape...)
		var outputs []int32
		for range n {
			outputs = append(outputs, b.like(x, part...))
		}
		b.op(tflite.OpSplit, tflite.SplitOptions{NumSplits: n}.Options(tflite.OptionsSplit), outputs, b.scalar(b.either(axis, shape)), x)
	}},
	{"SPLIT_V", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		axis, n := b.n(0, int32(len(shape)-1)), b.n(1, 4)
		var sizes []int32
		shape[axis] = 0
		for range n {
			sizes = append(sizes, b.n(1, 4))
			shape[axis] += sizes[len(sizes)-1]
		}
		x := b.input(t, shape...)
		var outputs []int32
		for _, size := range sizes {
			part := slices.Clone(shape)
			part[axis] = size
			outputs = append(outputs, b.like(x, part...))
		}
		if b.coin() {
			sizes[b.n(0, n-1)] = -1
		}
		b.op(tflite.OpSplitV, tflite.SplitOptions{NumSplits: n}.Options(tflite.OptionsSplitV), outputs, x, b.ints(sizes...), b.scalar(b.either(axis, shape)))
	}},
	{"PACK", plainTypes, func(b *operators, t tflite.TensorType) {
		shape, n := b.shape(b.n(0, 3)), b.n(1, 4)
		axis := b.n(0, int32(len(shape)))
		inputs := []int32{b.input(t, shape...)}
		for range n - 1 {
			x := b.input(t, shape...)
			b.at(x).Quantization = b.at(inputs[0]).Quantization
			inputs = append(inputs, x)
		}
		shape = slices.Insert(shape, int(axis), n)
		b.op(tflite.OpPack, tflite.PackOptions{Count: n, Axis: b.either(axis, shape)}.Options(tflite.OptionsPack), []int32{b.like(inputs[0], shape...)}, inputs...)
	}},
	{"UNPACK", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		axis := b.n(0, int32(len(shape)-1))
		x, n := b.input(t, shape...), shape[axis]
		var outputs []int32
		for range n {
			outputs = append(outputs, b.like(x, slices.Delete(slices.Clone(shape), int(axis), int(axis)+1)...))
		}
		b.op(tflite.OpUnpack, tflite.PackOptions{Count: n, Axis: b.either(axis, shape)}.Options(tflite.OptionsUnpack), outputs, x)
	}},
	{"SLICE", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		var begin, size, out []int32
		for _, d := range shape {
			from := b.n(0, d-1)
			n := b.n(1, d-from)
			begin, size, out = append(begin, from), append(size, n), append(out, n)
			if from+n == d && b.coin() {
				size[len(size)-1] = -1
			}
		}
		x := b.input(t, shape...)
		b.op(tflite.OpSlice, tflite.Options{}, []int32{b.like(x, out...)}, x, b.ints(begin...), b.ints(size...))
	}},
	{"STRIDED_SLICE", plainTypes, stridedSlice},
	{"TILE", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		times, out := make([]int32, len(shape)), slices.Clone(shape)
		for i := range out {
			times[i] = b.n(1, 3)
			out[i] *= times[i]
		}
		x := b.input(t, shape...)
		b.op(tflite.OpTile, tflite.Options{}, []int32{b.like(x, out...)}, x, b.ints(times...))
	}},
	{"SPACE_TO_DEPTH", plainTypes, func(b *operators, t tflite.TensorType) {
		s, block := b.shape(4), b.n(1, 3)
		x := b.input(t, s[0], s[1]*block, s[2]*block, s[3])
		b.op(tflite.OpSpaceToDepth, tflite.BlockOptions{BlockSize: block}.Options(tflite.OptionsSpaceToDepth),
			[]int32{b.like(x, s[0], s[1], s[2], s[3]*block*block)}, x)
	}},
	{"DEPTH_TO_SPACE", plainTypes, func(b *operators, t tflite.TensorType) {
		s, block := b.shape(4), b.n(1, 3)
		x := b.input(t, s[0], s[1], s[2], s[3]*block*block)
		b.op(tflite.OpDepthToSpace, tflite.BlockOptions{BlockSize: block}.Options(tflite.OptionsDepthToSpace),
			[]int32{b.like(x, s[0], s[1]*block, s[2]*block, s[3])}, x)
	}},
	{"GATHER", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		axis := b.n(0, int32(len(shape)-1))
		batch := min(axis, b.n(0, 1))
		indices := slices.Concat(shape[:batch], b.shape(b.n(0, 2)))
		x := b.input(t, shape...)
		i := b.inputOf(b.index(), func() int64 { return int64(b.n(0, shape[axis]-1)) }, indices...)
		out := b.like(x, slices.Concat(shape[:axis], indices[batch:], shape[axis+1:])...)
		b.op(tflite.OpGather, tflite.GatherOptions{Axis: b.either(axis, shape), BatchDims: batch}.Options(), []int32{out}, x, i)
	}},
	{"GATHER_ND", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		n := b.n(1, int32(len(shape)))
		indices := append(b.shape(b.n(1, 2)), n)
		x, at := b.input(t, shape...), -1
		i := b.inputOf(b.index(), func() int64 {
			at++
			return int64(b.n(0, shape[at%int(n)]-1))
		}, indices...)
		out := b.like(x, slices.Concat(indices[:len(indices)-1], shape[n:])...)
		b.op(tflite.OpGatherND, tflite.Options{}, []int32{out}, x, i)
	}},
	{"ARG_MAX", plainTypes, func(b *operators, t tflite.TensorType) {
		shape := b.shape(b.n(1, 4))
		axis, index := b.n(0, int32(len(shape)-1)), b.index()
		x := b.input(t, shape...)
		out := b.tensor(index, slices.Delete(slices.Clone(shape), int(axis), int(axis)+1)...)
		b.op(tflite.OpArgMax, tflite.ArgMaxOptions{OutputType: index}.Options(), []int32{out}, x, b.scalar(b.either(axis, shape)))
	}},
	{"RESIZE_NEAREST_NEIGHBOR", realTypes, func(b *operators, t tflite.TensorType) {
		b.resize(t, tflite.OpResizeNearestNeighbor, tflite.OptionsResizeNearestNeighbor)
	}},
	{"RESIZE_BILINEAR", realTypes, func(b *operators, t tflite.TensorType) {
		b.resize(t, tflite.OpResizeBilinear, tflite.OptionsResizeBilinear)
	}},
}

// index returns the type of an index.
func (b *operators) index() tflite.TensorType {
	if b.coin() {
		return tflite.TypeInt32
	}
	return tflite.TypeInt64
}

// either returns axis, or the negative number of the same axis.
func (b *operators) either(axis int32, shape []int32) int32 {
	if b.coin() {
		return axis
	}
	return axis - int32(len(shape))
}

// resize adds an operator that resizes an image.
func (b *operators) resize(t tflite.TensorType, code tflite.BuiltinOperator, o tflite.OptionsType) {
	s := b.shape(4)
	h, w := b.n(1, 20), b.n(1, 20)
	switch b.n(0, 5) {
	case 0:
		h, w = 2*s[1], 2*s[2]
	case 1:
		h, w, s[3] = 8*s[1], 8*s[2], 8
	}
	mode := b.n(0, 2)
	x := b.input(t, s...)
	b.op(code, tflite.ResizeOptions{AlignCorners: mode == 1, HalfPixelCenters: mode == 2}.Options(o),
		[]int32{b.like(x, s[0], h, w, s[3])}, x, b.ints(h, w))
}

// stridedSlice adds a STRIDED_SLICE.
func stridedSlice(b *operators, t tflite.TensorType) {
	shape := b.shape(b.n(1, 4))
	var begin, end, strides, out []int32
	var o tflite.StridedSliceOptions
	for i, d := range shape {
		bit := int32(1) << i
		from, step := b.n(0, d-1), b.n(1, 3)
		to := b.n(from+1, d)
		if b.n(0, 3) == 0 {
			from, to, step = to-1, from-1, -step
		}
		n := (to - from + step - step/max(step, -step)) / step
		first, last := int32(0), d
		if step < 0 {
			first, last = d-1, -1
		}
		if to < 0 { // the end before the first index can only be masked
			o.EndMask |= bit
		}
		if from == first && b.coin() {
			o.BeginMask |= bit
			from = b.n(-9, 9)
		} else if b.coin() {
			from -= d
		}
		if to == last && b.coin() {
			o.EndMask |= bit
		} else if to > 0 && to < d && b.coin() {
			to -= d
		}
		if n == 1 && step > 0 && o.BeginMask&bit == 0 && b.coin() {
			o.ShrinkAxisMask |= bit
		} else {
			out = append(out, n)
		}
		begin, end, strides = append(begin, from), append(end, to), append(strides, step)
	}
	x := b.input(t, shape...)
	b.op(tflite.OpStridedSlice, o.Options(), []int32{b.like(x, out...)}, x, b.ints(begin...), b.ints(end...), b.ints(strides...))
}
