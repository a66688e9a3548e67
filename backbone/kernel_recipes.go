package backbone

import (
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// A recipe says how to build the kernel of an operator.
type recipe struct {
	// required is the number of inputs that must be present, and most the number of
	// inputs that may be.
	required, most int
	// reads are the inputs that the kernel reads when it runs, in the kernel's order.
	reads []int
	// build builds the kernel of one output.
	build func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error)
	// several is set if the operator may have more than one output. Each output then has
	// its own kernel.
	several bool
}

// recipes are the operators with a simple rule which inputs are constants.
var recipes = map[tflite.BuiltinOperator]recipe{
	// Operators that move elements.
	tflite.OpTranspose: {2, 2, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewTranspose(in[0], in[1], b.out)
	}, false},
	tflite.OpSlice: {3, 3, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewSlice(in[0], in[1], in[2], b.out)
	}, false},
	tflite.OpStridedSlice: {4, 4, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		o := b.op.Options.StridedSlice()
		return kernels.NewStridedSlice(kernels.StridedSliceParams{
			BeginMask: uint32(o.BeginMask), EndMask: uint32(o.EndMask), EllipsisMask: uint32(o.EllipsisMask),
			NewAxisMask: uint32(o.NewAxisMask), ShrinkAxisMask: uint32(o.ShrinkAxisMask), Offset: o.Offset,
		}, in[0], in[1], in[2], in[3], b.out)
	}, false},
	tflite.OpTile: {2, 2, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewTile(in[0], in[1], b.out)
	}, false},
	tflite.OpSpaceToDepth: {1, 1, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewSpaceToDepth(int(b.op.Options.Block().BlockSize), in[0], b.out)
	}, false},
	tflite.OpDepthToSpace: {1, 1, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewDepthToSpace(int(b.op.Options.Block().BlockSize), in[0], b.out)
	}, false},
	tflite.OpSplit: {2, 2, []int{1}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewSplit(in[0], b.output, len(b.op.Outputs), in[1], b.out)
	}, true},
	tflite.OpSplitV: {3, 3, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewSplitV(in[1], in[2], b.output, len(b.op.Outputs), in[0], b.out)
	}, true},
	tflite.OpUnpack: {1, 1, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewUnpack(int(b.op.Options.Pack().Axis), b.output, len(b.op.Outputs), in[0], b.out)
	}, true},
	tflite.OpGather: {2, 2, []int{0, 1}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		o := b.op.Options.Gather()
		return kernels.NewGather(int(o.Axis), int(o.BatchDims), in[0], in[1], b.out)
	}, false},
	tflite.OpGatherND: {2, 2, []int{0, 1}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewGatherND(in[0], in[1], b.out)
	}, false},
	tflite.OpArgMax: {2, 2, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewArgMax(in[0], in[1], b.out)
	}, false},

	// Operators that resize images.
	tflite.OpResizeBilinear: {2, 2, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewResizeBilinear(kernels.ResizeParams(b.op.Options.Resize()), in[0], in[1], b.out)
	}, false},
	tflite.OpResizeNearestNeighbor: {2, 2, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewResizeNearestNeighbor(kernels.ResizeParams(b.op.Options.Resize()), in[0], in[1], b.out)
	}, false},

	tflite.OpTransposeConv: {3, 4, []int{2}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		o := b.op.Options.TransposeConv()
		return kernels.NewTransposeConv(kernels.TransposeConvParams{
			Window: window(o.Padding, o.StrideH, o.StrideW, 1, 1), Activation: kernels.Activation(o.Activation),
		}, in[0], in[1], in[2], in[3], b.out)
	}, false},

	tflite.OpUnidirectionalSequenceLSTM: {1, lstmInputs, []int{0}, (*kernelBuilder).buildLSTM, false},

	// Operators that reduce axes.
	tflite.OpSum:       reduction(kernels.NewSum),
	tflite.OpReduceMax: reduction(kernels.NewReduceMax),
	tflite.OpReduceMin: reduction(kernels.NewReduceMin),

	// Operators on two tensors.
	tflite.OpMaximum:           onTwo(kernels.NewMaximum),
	tflite.OpMinimum:           onTwo(kernels.NewMinimum),
	tflite.OpSquaredDifference: onTwo(kernels.NewSquaredDifference),
	tflite.OpPrelu:             onTwo(kernels.NewPRelu),
	tflite.OpFloorDiv:          onTwo(kernels.NewFloorDiv),
	tflite.OpDiv: {2, 2, []int{0, 1}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return kernels.NewDiv(kernels.Activation(b.op.Options.Div().Activation), in[0], in[1], b.out)
	}, false},
}

// reduction returns the recipe of an operator that reduces axes.
func reduction(newKernel func(keepDims bool, in, axes, out *kernels.Tensor) (kernels.Kernel, error)) recipe {
	return recipe{2, 2, []int{0}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return newKernel(b.op.Options.Reducer().KeepDims, in[0], in[1], b.out)
	}, false}
}

// onTwo returns the recipe of an operator on two tensors without options.
func onTwo(newKernel func(a, b, out *kernels.Tensor) (kernels.Kernel, error)) recipe {
	return recipe{2, 2, []int{0, 1}, func(b *kernelBuilder, in []*kernels.Tensor) (kernels.Kernel, error) {
		return newKernel(in[0], in[1], b.out)
	}, false}
}
