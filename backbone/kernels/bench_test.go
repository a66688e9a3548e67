package kernels

import "testing"

// BenchmarkRun runs every kind of operator with the shapes of a MobileNet for 224×224
// pixels. Its throughput counts the bytes of the output.
func BenchmarkRun(b *testing.B) {
	same := Window{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	half := Window{StrideH: 2, StrideW: 2, DilationH: 1, DilationW: 1}
	whole := Window{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1, Padding: Valid}
	unit := with(u8(1, 1024), func(t *Tensor) { t.Scale, t.ZeroPoint = []float32{1.0 / 128}, []int64{128} })
	signed := func(t *Tensor) *Tensor { t.Type = Int8; return t }
	must := func(k Kernel, err error) Kernel {
		if err != nil {
			b.Fatal(err)
		}
		return k
	}
	for _, bench := range []struct {
		name string
		in   []*Tensor
		out  *Tensor
		make func(in []*Tensor, out *Tensor) (Kernel, error)
	}{
		{"conv3x3stride2", []*Tensor{u8(1, 224, 224, 3)}, u8(1, 112, 112, 32), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewConv2D(Conv2DParams{Window: half, Activation: ReLU6}, in[0], constant(u8(32, 3, 3, 3)), nil, out)
		}},
		{"conv1x1", []*Tensor{u8(1, 14, 14, 512)}, u8(1, 14, 14, 512), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewConv2D(Conv2DParams{Window: same, Activation: ReLU6}, in[0], constant(u8(512, 1, 1, 512)), nil, out)
		}},
		{"conv1x1int8", []*Tensor{signed(u8(1, 14, 14, 512))}, signed(u8(1, 14, 14, 512)), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewConv2D(Conv2DParams{Window: same, Activation: ReLU6}, in[0], signed(constant(u8(512, 1, 1, 512))), nil, out)
		}},
		{"depthwise3x3", []*Tensor{u8(1, 14, 14, 512)}, u8(1, 14, 14, 512), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewDepthwiseConv2D(DepthwiseConv2DParams{Window: same, Activation: ReLU6}, in[0], constant(u8(1, 3, 3, 512)), nil, out)
		}},
		{"depthwise5x5", []*Tensor{u8(1, 14, 14, 512)}, u8(1, 14, 14, 512), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewDepthwiseConv2D(DepthwiseConv2DParams{Window: same, Activation: ReLU6}, in[0], constant(u8(1, 5, 5, 512)), nil, out)
		}},
		{"fullyconnected", []*Tensor{u8(1, 1024)}, u8(1, 1001), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewFullyConnected(FullyConnectedParams{}, in[0], constant(u8(1001, 1024)), nil, out)
		}},
		{"averagepool", []*Tensor{u8(1, 7, 7, 1024)}, u8(1, 1, 1, 1024), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewAveragePool2D(Pool2DParams{Window: whole, FilterH: 7, FilterW: 7}, in[0], out)
		}},
		{"maxpool", []*Tensor{u8(1, 56, 56, 64)}, u8(1, 56, 56, 64), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewMaxPool2D(Pool2DParams{Window: same, FilterH: 3, FilterW: 3}, in[0], out)
		}},
		{"mean", []*Tensor{u8(1, 7, 7, 1024)}, u8(1, 1024), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewMean(false, in[0], ints([]int{2}, 1, 2), out)
		}},
		{"add", []*Tensor{u8(1, 56, 56, 24), u8(1, 56, 56, 24)}, u8(1, 56, 56, 24), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewAdd(None, in[0], in[1], out)
		}},
		{"mulbroadcast", []*Tensor{u8(1, 56, 56, 24), u8(24)}, u8(1, 56, 56, 24), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewMul(None, in[0], in[1], out)
		}},
		{"pad", []*Tensor{u8(1, 56, 56, 24)}, u8(1, 58, 58, 24), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewPad(in[0], ints([]int{4, 2}, 0, 0, 1, 1, 1, 1, 0, 0), nil, out)
		}},
		{"concatenation", []*Tensor{u8(1, 28, 28, 64), u8(1, 28, 28, 128)}, u8(1, 28, 28, 192), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewConcatenation(None, 3, in, out)
		}},
		{"reshape", []*Tensor{u8(1, 1, 1, 1001)}, u8(1, 1001), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewReshape(in[0], out)
		}},
		{"hardswish", []*Tensor{u8(1, 56, 56, 24)}, u8(1, 56, 56, 24), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewHardSwish(in[0], out)
		}},
		{"softmax", []*Tensor{u8(1, 1001)}, u8(1, 1001), func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewSoftmax(1, in[0], out)
		}},
		{"l2normalization", []*Tensor{u8(1, 1024)}, unit, func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewL2Normalization(None, in[0], out)
		}},
		{"dequantize", []*Tensor{u8(1, 1024)}, &Tensor{Type: Float32, Shape: []int{1, 1024}}, func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewDequantize(in[0], out)
		}},
		{"floatfullyconnected", []*Tensor{{Type: Float32, Shape: []int{1, 1024}}}, &Tensor{Type: Float32, Shape: []int{1, 10}}, func(in []*Tensor, out *Tensor) (Kernel, error) {
			return NewFullyConnected(FullyConnectedParams{}, in[0], constant(&Tensor{Type: Float32, Shape: []int{10, 1024}}), nil, out)
		}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			k := must(bench.make(bench.in, bench.out))
			a := Args{Out: make([]byte, bench.out.Bytes()), Scratch: make([]byte, k.Scratch())}
			for _, t := range bench.in {
				a.In = append(a.In, make([]byte, t.Bytes()))
			}
			b.SetBytes(int64(len(a.Out)))
			b.ReportAllocs()
			for b.Loop() {
				k.Run(&a, 0, k.Parts())
			}
		})
	}
}
