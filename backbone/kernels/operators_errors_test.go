package kernels

import (
	"errors"
	"math"
	"testing"
)

// TestOperatorErrors checks operands that the constructors of operators that move or
// combine elements must refuse.
func TestOperatorErrors(t *testing.T) {
	second := func(_ Kernel, err error) error { return err }
	i8 := func(shape ...int) *Tensor { return with(u8(shape...), func(t *Tensor) { t.Type = Int8 }) }
	f32 := func(shape ...int) *Tensor { return &Tensor{Type: Float32, Shape: shape} }
	list := func(values ...int32) *Tensor { return ints([]int{len(values)}, values...) }
	variable := &Tensor{Type: Int32, Shape: []int{2}}
	resized := func(p ResizeParams, out *Tensor, size *Tensor) error {
		return second(NewResizeBilinear(p, u8(1, 2, 2, 3), size, out))
	}
	sliced := func(p StridedSliceParams, begin, end, stride int32, out *Tensor) error {
		return second(NewStridedSlice(p, u8(5), list(begin), list(end), list(stride), out))
	}
	transposed := func(shape, filter, in, bias, out *Tensor) error {
		return second(NewTransposeConv(TransposeConvParams{Window: Window{StrideH: 2, StrideW: 2}}, shape, filter, in, bias, out))
	}
	for name, test := range map[string]struct{ got, want error }{
		"transpose twice":          {second(NewTranspose(u8(2, 3), list(0, 0), u8(2, 2))), ErrInvalid},
		"transpose axis":           {second(NewTranspose(u8(2, 3), list(0, 2), u8(2, 3))), ErrInvalid},
		"transpose output":         {second(NewTranspose(u8(2, 3), list(1, 0), u8(2, 3))), ErrInvalid},
		"transpose count":          {second(NewTranspose(u8(2, 3), list(0), u8(2, 3))), ErrInvalid},
		"transpose variable":       {second(NewTranspose(u8(2, 3), variable, u8(3, 2))), ErrUnsupported},
		"transpose float axes":     {second(NewTranspose(u8(2), constant(f32(1)), u8(2))), ErrUnsupported},
		"transpose types":          {second(NewTranspose(u8(2, 3), list(1, 0), i8(3, 2))), ErrUnsupported},
		"transpose 9 axes":         {second(NewTranspose(u8(1, 1, 1, 1, 1, 1, 1, 1, 1), list(0, 1, 2, 3, 4, 5, 6, 7, 8), u8(1, 1, 1, 1, 1, 1, 1, 1, 1))), ErrUnsupported},
		"transpose many axes":      {second(NewTranspose(u8(2), constant(&Tensor{Type: Int64, Shape: []int{maxIntegers + 1}}), u8(2))), ErrUnsupported},
		"split uneven":             {second(NewSplit(list(0), 0, 2, u8(3), u8(1))), ErrInvalid},
		"split axis":               {second(NewSplit(list(1), 0, 2, u8(4), u8(2))), ErrInvalid},
		"split two axes":           {second(NewSplit(list(0, 0), 0, 2, u8(4), u8(2))), ErrInvalid},
		"split output":             {second(NewSplit(list(0), 1, 2, u8(4), u8(3))), ErrInvalid},
		"split output axes":        {second(NewSplit(list(0), 0, 1, u8(4), u8(4, 1))), ErrInvalid},
		"split_v sum":              {second(NewSplitV(list(1, 2), list(0), 0, 2, u8(4), u8(1))), ErrInvalid},
		"split_v negative":         {second(NewSplitV(list(-2, 6), list(0), 0, 2, u8(4), u8(1))), ErrInvalid},
		"split_v unknown twice":    {second(NewSplitV(list(-1, -1), list(0), 0, 2, u8(4), u8(1))), ErrInvalid},
		"split_v count":            {second(NewSplitV(list(4), list(0), 1, 2, u8(4), u8(1))), ErrInvalid},
		"unpack count":             {second(NewUnpack(0, 0, 2, u8(3, 2), u8(2))), ErrInvalid},
		"unpack axes":              {second(NewUnpack(2, 0, 1, u8(1, 1, 1), u8(1))), ErrInvalid},
		"unpack axis":              {second(NewUnpack(-3, 0, 2, u8(2, 2), u8(2))), ErrInvalid},
		"pack shapes":              {second(NewPack(0, []*Tensor{u8(2), u8(3)}, u8(2, 2))), ErrInvalid},
		"pack axes":                {second(NewPack(0, []*Tensor{u8(2, 1)}, u8(1, 2))), ErrInvalid},
		"pack nothing":             {second(NewPack(0, nil, u8(1, 2))), ErrInvalid},
		"pack nil":                 {second(NewPack(0, []*Tensor{nil}, u8(1, 2))), ErrInvalid},
		"pack scales":              {second(NewPack(0, []*Tensor{u8(2)}, with(u8(1, 2), func(t *Tensor) { t.Scale = []float32{2} }))), ErrUnsupported},
		"slice beyond":             {second(NewSlice(u8(4), list(2), list(3), u8(3))), ErrInvalid},
		"slice negative":           {second(NewSlice(u8(4), list(-1), list(1), u8(1))), ErrInvalid},
		"slice huge":               {second(NewSlice(u8(4), list(math.MaxInt32), list(math.MaxInt32), u8(1))), ErrInvalid},
		"slice size -2":            {second(NewSlice(u8(4), list(0), list(-2), u8(1))), ErrInvalid},
		"slice output":             {second(NewSlice(u8(4), list(0), list(2), u8(3))), ErrInvalid},
		"strided stride 0":         {sliced(StridedSliceParams{}, 0, 2, 0, u8(2)), ErrInvalid},
		"strided empty":            {sliced(StridedSliceParams{}, 3, 2, 1, u8(1)), ErrInvalid},
		"strided shrink beyond":    {sliced(StridedSliceParams{ShrinkAxisMask: 1}, 5, 6, 1, u8()), ErrInvalid},
		"strided shrink backward":  {sliced(StridedSliceParams{ShrinkAxisMask: 1}, 1, 2, -1, u8()), ErrInvalid},
		"strided extremes":         {sliced(StridedSliceParams{Offset: true}, math.MaxInt32, math.MaxInt32, math.MinInt32, u8(2)), ErrInvalid},
		"strided entries":          {second(NewStridedSlice(StridedSliceParams{}, u8(5), list(0, 0), list(1, 1), list(1, 1), u8(1))), ErrInvalid},
		"strided counts":           {second(NewStridedSlice(StridedSliceParams{}, u8(5), list(0), list(1, 1), list(1), u8(1))), ErrInvalid},
		"blocks of 0":              {second(NewSpaceToDepth(0, u8(1, 2, 2, 1), u8(1, 1, 1, 4))), ErrInvalid},
		"blocks of 2":              {second(NewSpaceToDepth(2, u8(1, 2, 3, 1), u8(1, 1, 1, 4))), ErrInvalid},
		"blocks too large":         {second(NewDepthToSpace(math.MaxInt32, u8(1, 1, 1, 4), u8(1, 2, 2, 1))), ErrInvalid},
		"blocks of 3 axes":         {second(NewDepthToSpace(2, u8(1, 1, 4), u8(2, 2, 1))), ErrInvalid},
		"tile output":              {second(NewTile(u8(2), list(2), u8(5))), ErrInvalid},
		"tile count":               {second(NewTile(u8(2), list(2, 1), u8(4))), ErrInvalid},
		"tile times 0":             {second(NewTile(u8(2), list(0), u8(2))), ErrInvalid},
		"resize size":              {resized(ResizeParams{}, u8(1, 4, 4, 3), list(4, 5)), ErrInvalid},
		"resize channels":          {resized(ResizeParams{}, u8(1, 4, 4, 2), list(4, 4)), ErrInvalid},
		"resize size count":        {resized(ResizeParams{}, u8(1, 4, 4, 3), list(4)), ErrInvalid},
		"resize both modes":        {resized(ResizeParams{true, true}, u8(1, 4, 4, 3), list(4, 4)), ErrInvalid},
		"resize variable":          {resized(ResizeParams{}, u8(1, 4, 4, 3), variable), ErrUnsupported},
		"resize int32":             {second(NewResizeBilinear(ResizeParams{}, ints([]int{1, 1, 1, 1}), list(1, 1), ints([]int{1, 1, 1, 1}))), ErrUnsupported},
		"resize nil":               {second(NewResizeNearestNeighbor(ResizeParams{}, nil, nil, nil)), ErrInvalid},
		"arg_max output":           {second(NewArgMax(u8(2, 3), list(1), ints([]int{3}))), ErrInvalid},
		"arg_max uint8":            {second(NewArgMax(u8(2, 3), list(1), u8(2))), ErrUnsupported},
		"arg_max scalar":           {second(NewArgMax(u8(), list(0), ints(nil))), ErrInvalid},
		"gather float indices":     {second(NewGather(0, 0, u8(2), f32(1), u8(1))), ErrUnsupported},
		"gather axis":              {second(NewGather(1, 0, u8(2), list(0), u8(1))), ErrInvalid},
		"gather batch":             {second(NewGather(1, 1, u8(2, 3), list(0, 1, 2), u8(2))), ErrInvalid},
		"gather batch after axis":  {second(NewGather(0, 1, u8(2), list(0, 1), u8(2))), ErrInvalid},
		"gather output":            {second(NewGather(0, 0, u8(2), list(0), u8(2))), ErrInvalid},
		"gather_nd coordinates":    {second(NewGatherND(u8(2), list(0, 0), u8())), ErrInvalid},
		"gather_nd scalar":         {second(NewGatherND(u8(2), ints(nil, 0), u8())), ErrInvalid},
		"maximum types":            {second(NewMaximum(u8(2), i8(2), u8(2))), ErrUnsupported},
		"minimum shapes":           {second(NewMinimum(u8(2), u8(3), u8(3))), ErrInvalid},
		"squared difference uint8": {second(NewSquaredDifference(u8(2), u8(2), u8(2))), ErrUnsupported},
		"squared difference scale": {second(NewSquaredDifference(i8(2), i8(2), with(i8(2), func(t *Tensor) { t.Scale = []float32{1e-30} }))), ErrInvalid},
		"prelu shape":              {second(NewPRelu(u8(1), u8(2), u8(2))), ErrInvalid},
		"prelu scales":             {second(NewPRelu(u8(2), with(u8(2), func(t *Tensor) { t.Scale = nil }), u8(2))), ErrInvalid},
		"div activation":           {second(NewDiv(9, f32(1), f32(1), f32(1))), ErrUnsupported},
		"sum axis":                 {second(NewSum(false, u8(2, 3), list(2), u8(2, 3))), ErrInvalid},
		"sum output":               {second(NewSum(true, u8(2, 3), list(1), u8(2))), ErrInvalid},
		"sum scales":               {second(NewSum(false, u8(2), list(0), with(u8(), func(t *Tensor) { t.Scale = nil }))), ErrInvalid},
		"reduce_max types":         {second(NewReduceMax(false, u8(2), list(0), i8())), ErrUnsupported},
		"reduce_min variable":      {second(NewReduceMin(false, u8(2), variable, u8())), ErrUnsupported},
		"tanh int32":               {second(NewTanh(list(1), list(1))), ErrUnsupported},
		"rsqrt uint8":              {second(NewRsqrt(u8(2), u8(2))), ErrUnsupported},
		"rsqrt scale":              {second(NewRsqrt(with(i8(2), func(t *Tensor) { t.Scale = []float32{1e-38} }), with(i8(2), func(t *Tensor) { t.Scale = []float32{1e-38} }))), ErrInvalid},
		"leaky_relu NaN":           {second(NewLeakyReLU(float32(math.NaN()), u8(2), u8(2))), ErrInvalid},
		"leaky_relu types":         {second(NewLeakyReLU(1, u8(2), i8(2))), ErrUnsupported},
		"transpose_conv stride 0":  {second(NewTransposeConv(TransposeConvParams{}, list(1, 2, 2, 1), constant(u8(1, 1, 1, 1)), u8(1, 2, 2, 1), nil, u8(1, 2, 2, 1))), ErrInvalid},
		"transpose_conv input":     {transposed(list(1, 4, 4, 1), constant(u8(1, 2, 2, 3)), u8(1, 3, 2, 3), nil, u8(1, 4, 4, 1)), ErrInvalid},
		"transpose_conv shape":     {transposed(list(1, 4, 4, 2), constant(u8(1, 2, 2, 3)), u8(1, 2, 2, 3), nil, u8(1, 4, 4, 1)), ErrInvalid},
		"transpose_conv channels":  {transposed(list(1, 4, 4, 1), constant(u8(2, 2, 2, 3)), u8(1, 2, 2, 3), nil, u8(1, 4, 4, 1)), ErrInvalid},
		"transpose_conv bias":      {transposed(list(1, 4, 4, 1), constant(u8(1, 2, 2, 3)), u8(1, 2, 2, 3), list(1, 2), u8(1, 4, 4, 1)), ErrInvalid},
		"transpose_conv variable":  {transposed(list(1, 4, 4, 1), u8(1, 2, 2, 3), u8(1, 2, 2, 3), nil, u8(1, 4, 4, 1)), ErrUnsupported},
		"transpose_conv types":     {transposed(list(1, 4, 4, 1), constant(i8(1, 2, 2, 3)), u8(1, 2, 2, 3), nil, u8(1, 4, 4, 1)), ErrUnsupported},
		"floor_div uint8":          {second(NewFloorDiv(u8(1), u8(1), u8(1))), ErrUnsupported},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: got error %v, want %q", name, test.got, test.want)
		}
	}
}
