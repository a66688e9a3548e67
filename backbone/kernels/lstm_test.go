package kernels

import (
	"errors"
	"math"
	"testing"
)

// TestFixed16 compares the functions on 16-bit numbers with real ones. TestOperators in package
// backbone checks the exact results.
func TestFixed16(t *testing.T) {
	worst := func(name string, limit float64, got func(v int32) int32, want func(v float64) float64) {
		var most float64
		for v := int32(math.MinInt16); v <= math.MaxInt16; v++ {
			most = max(most, math.Abs(float64(got(v))/(1<<15)-want(float64(v)/(1<<15))))
		}
		if most > limit {
			t.Errorf("%s: got an error of %.2g, want at most %.2g", name, most, limit)
		}
	}
	worst("logistic", 2e-4, logistic16, func(v float64) float64 { return 1 / (1 + math.Exp(-8*v)) })
	for bits := range 7 {
		worst("tanh", 1e-3, func(v int32) int32 { return tanh16(v, bits) }, func(v float64) float64 { return math.Tanh(math.Ldexp(v, bits)) })
	}
}

// TestLSTMErrors checks operands that NewLSTM must refuse.
func TestLSTMErrors(t *testing.T) {
	i8 := func(shape ...int) *Tensor { return with(u8(shape...), func(t *Tensor) { t.Type = Int8 }) }
	build := func(change func(p *LSTMParams, in, out *Tensor, weights, biases *[4]*Tensor)) error {
		p := LSTMParams{CellScale: 1.0 / 2048, State: i8(1, 2), Hidden: i8()}
		in, out := i8(1, 3, 5), i8(1, 3, 2)
		var weights, recurrent, biases [4]*Tensor
		for g := range gates {
			weights[g], recurrent[g] = constant(i8(2, 5)), constant(i8(2, 2))
			weights[g].ZeroPoint, recurrent[g].ZeroPoint = nil, nil
		}
		change(&p, in, out, &weights, &biases)
		_, err := NewLSTM(p, in, weights, recurrent, biases, out)
		return err
	}
	type tensors = [4]*Tensor
	for name, test := range map[string]struct {
		change func(p *LSTMParams, in, out *Tensor, weights, biases *tensors)
		want   error
	}{
		"nothing":      {func(*LSTMParams, *Tensor, *Tensor, *tensors, *tensors) {}, nil},
		"uint8":        {func(_ *LSTMParams, in, _ *Tensor, _, _ *tensors) { in.Type = Uint8 }, ErrUnsupported},
		"no state":     {func(p *LSTMParams, _, _ *Tensor, _, _ *tensors) { p.State = nil }, ErrInvalid},
		"two axes":     {func(_ *LSTMParams, in, _ *Tensor, _, _ *tensors) { in.Shape = in.Shape[:2] }, ErrInvalid},
		"times":        {func(_ *LSTMParams, _, out *Tensor, _, _ *tensors) { out.Shape[1] = 4 }, ErrInvalid},
		"cell scale":   {func(p *LSTMParams, _, _ *Tensor, _, _ *tensors) { p.CellScale = 0.003 }, ErrUnsupported},
		"coarse cell":  {func(p *LSTMParams, _, _ *Tensor, _, _ *tensors) { p.CellScale = 1 }, ErrUnsupported},
		"clip":         {func(p *LSTMParams, _, _ *Tensor, _, _ *tensors) { p.CellClip = float32(math.NaN()) }, ErrInvalid},
		"no weights":   {func(_ *LSTMParams, _, _ *Tensor, w, _ *tensors) { w[1] = nil }, ErrInvalid},
		"variable":     {func(_ *LSTMParams, _, _ *Tensor, w, _ *tensors) { w[1].Data = nil }, ErrUnsupported},
		"zero point":   {func(_ *LSTMParams, _, _ *Tensor, w, _ *tensors) { w[1].ZeroPoint = []int64{1} }, ErrUnsupported},
		"weights":      {func(_ *LSTMParams, _, _ *Tensor, w, _ *tensors) { w[1] = constant(i8(5, 2)); w[1].ZeroPoint = nil }, ErrInvalid},
		"bias":         {func(_ *LSTMParams, _, _ *Tensor, _, b *tensors) { b[3] = ints([]int{1}, 0) }, ErrInvalid},
		"hidden scale": {func(p *LSTMParams, _, _ *Tensor, _, _ *tensors) { p.Hidden.Scale = []float32{1e-30} }, ErrInvalid},
	} {
		if err := build(test.change); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
	}
}
