package kernels

import (
	"errors"
	"math"
	"testing"
)

// u8 returns a uint8 operand with scale 1 and zero point 0.
func u8(shape ...int) *Tensor {
	return &Tensor{Type: Uint8, Shape: shape, Scale: []float32{1}, ZeroPoint: []int64{0}}
}

// constant makes t a constant of zeros and returns it.
func constant(t *Tensor) *Tensor {
	t.Data = make([]byte, t.Bytes())
	return t
}

func ints(shape []int, values ...int32) *Tensor {
	t := constant(&Tensor{Type: Int32, Shape: shape})
	for i, v := range values {
		t.Data[4*i], t.Data[4*i+1], t.Data[4*i+2], t.Data[4*i+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	return t
}

func int64s(shape ...int) *Tensor { return constant(&Tensor{Type: Int64, Shape: shape}) }

func with(t *Tensor, change func(*Tensor)) *Tensor {
	change(t)
	return t
}

func TestConstructorErrors(t *testing.T) {
	unit := Window{StrideH: 1, StrideW: 1, DilationH: 1, DilationW: 1}
	conv := func(w Window, in, filter, bias, out *Tensor) error {
		_, err := NewConv2D(Conv2DParams{Window: w}, in, filter, bias, out)
		return err
	}
	depthwise := func(in, filter, bias, out *Tensor) error {
		_, err := NewDepthwiseConv2D(DepthwiseConv2DParams{Window: unit}, in, filter, bias, out)
		return err
	}
	dense := func(in, weights, bias, out *Tensor) error {
		_, err := NewFullyConnected(FullyConnectedParams{}, in, weights, bias, out)
		return err
	}
	second := func(_ Kernel, err error) error { return err }
	image, filter := u8(1, 4, 4, 2), constant(u8(3, 1, 1, 2))
	signed := func(t *Tensor) { t.Type = Int8 }
	for name, test := range map[string]struct{ got, want error }{
		"conv stride 0":            {conv(Window{DilationH: 1, DilationW: 1}, image, filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv dilation 0":          {conv(Window{StrideH: 1, StrideW: 1}, image, filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv padding 7":           {conv(Window{1, 1, 1, 1, 7}, image, filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv empty filter":        {conv(unit, image, u8(3, 0, 1, 2), nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv filter too large":    {conv(Window{1, 1, 1, 1, Valid}, image, constant(u8(3, 5, 5, 2)), nil, u8(1, 0, 0, 3)), ErrInvalid},
		"conv window too large":    {conv(Window{1, 1, 1, 1, Valid}, image, constant(u8(3, 5, 5, 2)), nil, u8(1, 1, 1, 3)), ErrInvalid},
		"conv grouped":             {conv(unit, image, constant(u8(2, 1, 1, 1)), nil, u8(1, 4, 4, 2)), ErrInvalid},
		"conv output":              {conv(unit, image, filter, nil, u8(1, 4, 4, 2)), ErrInvalid},
		"conv 3 axes":              {conv(unit, u8(4, 4, 2), filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv filter not constant": {conv(unit, image, u8(3, 1, 1, 2), nil, u8(1, 4, 4, 3)), ErrUnsupported},
		"conv filter cut short":    {conv(unit, image, with(constant(u8(3, 1, 1, 2)), func(t *Tensor) { t.Data = t.Data[1:] }), nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv mixed types":         {conv(unit, image, with(constant(u8(3, 1, 1, 2)), signed), nil, u8(1, 4, 4, 3)), ErrUnsupported},
		"conv uint8 per channel": {conv(unit, image, with(constant(u8(3, 1, 1, 2)), func(t *Tensor) {
			t.Scale, t.ZeroPoint = []float32{1, 1, 1}, []int64{0, 0, 0}
		}), nil, u8(1, 4, 4, 3)), ErrUnsupported},
		"conv scales of another axis": {conv(unit, with(u8(1, 4, 4, 2), signed), with(constant(u8(3, 1, 1, 2)), func(t *Tensor) {
			t.Type, t.Axis, t.Scale, t.ZeroPoint = Int8, 3, []float32{1, 1}, []int64{0, 0}
		}), nil, with(u8(1, 4, 4, 3), signed)), ErrInvalid},
		"conv int8 filter with zero point": {conv(unit, with(u8(1, 4, 4, 2), signed), with(constant(u8(3, 1, 1, 2)), func(t *Tensor) {
			t.Type, t.ZeroPoint = Int8, []int64{1}
		}), nil, with(u8(1, 4, 4, 3), signed)), ErrUnsupported},
		"conv bias length":           {conv(unit, image, filter, ints([]int{2}, 0, 0), u8(1, 4, 4, 3)), ErrInvalid},
		"conv bias type":             {conv(unit, image, filter, constant(u8(3)), u8(1, 4, 4, 3)), ErrUnsupported},
		"conv bias not constant":     {conv(unit, image, filter, &Tensor{Type: Int32, Shape: []int{3}}, u8(1, 4, 4, 3)), ErrUnsupported},
		"conv nil":                   {conv(unit, nil, nil, nil, nil), ErrInvalid},
		"conv not quantized":         {conv(unit, with(u8(1, 4, 4, 2), func(t *Tensor) { t.Scale = nil }), filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv scale 0":               {conv(unit, with(u8(1, 4, 4, 2), func(t *Tensor) { t.Scale = []float32{0} }), filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv scale NaN":             {conv(unit, with(u8(1, 4, 4, 2), func(t *Tensor) { t.Scale = []float32{float32(math.NaN())} }), filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv zero point 256":        {conv(unit, with(u8(1, 4, 4, 2), func(t *Tensor) { t.ZeroPoint = []int64{256} }), filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv factor too large":      {conv(unit, image, filter, nil, with(u8(1, 4, 4, 3), func(t *Tensor) { t.Scale = []float32{1e-12} })), ErrInvalid},
		"conv too many elements":     {conv(unit, u8(1<<20, 1<<20, 1<<20, 2), filter, nil, u8(1, 4, 4, 3)), ErrInvalid},
		"conv activation":            {second(NewConv2D(Conv2DParams{Window: unit, Activation: 9}, image, filter, nil, u8(1, 4, 4, 3))), ErrUnsupported},
		"depthwise batch of filters": {depthwise(image, constant(u8(2, 1, 1, 2)), nil, u8(1, 4, 4, 2)), ErrInvalid},
		"depthwise channels":         {depthwise(image, constant(u8(1, 1, 1, 3)), nil, u8(1, 4, 4, 3)), ErrInvalid},
		"depthwise output":           {depthwise(image, constant(u8(1, 1, 1, 4)), nil, u8(1, 4, 4, 2)), ErrInvalid},
		"dense depth":                {dense(u8(1, 5), constant(u8(2, 4)), nil, u8(1, 2)), ErrInvalid},
		"dense output":               {dense(u8(1, 4), constant(u8(2, 4)), nil, u8(1, 3)), ErrInvalid},
		"dense uint8 per channel": {dense(u8(1, 4), with(constant(u8(2, 4)), func(t *Tensor) {
			t.Scale, t.ZeroPoint = []float32{1, 1}, []int64{0, 0}
		}), nil, u8(1, 2)), ErrUnsupported},
		"dense 3 scales for 2": {dense(with(u8(1, 4), signed), with(constant(u8(2, 4)), func(t *Tensor) {
			t.Type, t.Scale, t.ZeroPoint = Int8, []float32{1, 1, 1}, []int64{0, 0, 0}
		}), nil, with(u8(1, 2), signed)), ErrInvalid},
		"dense float weights": {dense(&Tensor{Type: Float32, Shape: []int{1, 4}}, constant(u8(2, 4)), nil, &Tensor{Type: Float32, Shape: []int{1, 2}}), ErrUnsupported},
		"pool scales": {second(NewAveragePool2D(Pool2DParams{Window: unit, FilterH: 1, FilterW: 1}, image, with(u8(1, 4, 4, 2), func(t *Tensor) {
			t.Scale = []float32{2}
		}))), ErrInvalid},
		"l2_pool_2d uint8":     {second(NewL2Pool2D(Pool2DParams{Window: unit, FilterH: 1, FilterW: 1}, image, image)), ErrUnsupported},
		"pool filter 0":        {second(NewMaxPool2D(Pool2DParams{Window: unit, FilterW: 1}, image, u8(1, 4, 4, 2))), ErrInvalid},
		"add shapes":           {second(NewAdd(None, u8(2, 3), u8(2, 2), u8(2, 3))), ErrInvalid},
		"add output":           {second(NewAdd(None, u8(2, 3), u8(3), u8(3))), ErrInvalid},
		"add int64":            {second(NewAdd(None, int64s(1), int64s(1), int64s(1))), ErrUnsupported},
		"mul types":            {second(NewMul(None, u8(2), with(u8(2), signed), u8(2))), ErrUnsupported},
		"reshape count":        {second(NewReshape(u8(2, 3), u8(7))), ErrInvalid},
		"reshape type":         {second(NewReshape(u8(2, 3), with(u8(6), signed))), ErrInvalid},
		"pad negative":         {second(NewPad(u8(2), ints([]int{1, 2}, -1, 1), nil, u8(2))), ErrInvalid},
		"pad axes":             {second(NewPad(u8(2), ints([]int{2, 2}), nil, u8(2))), ErrInvalid},
		"pad output":           {second(NewPad(u8(2), ints([]int{1, 2}, 1, 1), nil, u8(3))), ErrInvalid},
		"pad not constant":     {second(NewPad(u8(2), &Tensor{Type: Int32, Shape: []int{1, 2}}, nil, u8(3))), ErrUnsupported},
		"concatenation axis":   {second(NewConcatenation(None, 2, []*Tensor{u8(2, 3)}, u8(2, 3))), ErrInvalid},
		"concatenation shape":  {second(NewConcatenation(None, 1, []*Tensor{u8(2, 3), u8(3, 1)}, u8(2, 4))), ErrInvalid},
		"concatenation length": {second(NewConcatenation(None, 1, []*Tensor{u8(2, 3), u8(2, 3)}, u8(2, 7))), ErrInvalid},
		"concatenation of nil": {second(NewConcatenation(None, 1, []*Tensor{nil}, u8(2, 7))), ErrInvalid},
		"concatenation int8 scales": {second(NewConcatenation(None, 0, []*Tensor{with(u8(1), signed)}, with(u8(1), func(t *Tensor) {
			t.Type, t.Scale = Int8, []float32{2}
		}))), ErrUnsupported},
		"mean axis":        {second(NewMean(true, u8(2, 3), ints([]int{1}, 2), u8(2, 3))), ErrInvalid},
		"mean output":      {second(NewMean(false, u8(2, 3), ints([]int{1}, 1), u8(2, 1))), ErrInvalid},
		"softmax scalar":   {second(NewSoftmax(1, u8(), u8())), ErrInvalid},
		"softmax shapes":   {second(NewSoftmax(1, u8(2), u8(3))), ErrInvalid},
		"l2 scale":         {second(NewL2Normalization(None, u8(2), u8(2))), ErrInvalid},
		"l2 activation":    {second(NewL2Normalization(ReLU, u8(2), u8(2))), ErrUnsupported},
		"relu types":       {second(NewReLU(ReLU, u8(2), with(u8(2), signed))), ErrUnsupported},
		"relu float":       {second(NewReLU(ReLU, &Tensor{Type: Float32, Shape: []int{1}}, &Tensor{Type: Float32, Shape: []int{2}})), ErrInvalid},
		"logistic nil":     {second(NewLogistic(nil, nil)), ErrInvalid},
		"hard swish int32": {second(NewHardSwish(ints([]int{1}), ints([]int{1}))), ErrUnsupported},
		"quantize int32":   {second(NewQuantize(ints([]int{1}), u8(1))), ErrUnsupported},
		"dequantize int32": {second(NewDequantize(u8(1), ints([]int{1}))), ErrUnsupported},
	} {
		if !errors.Is(test.got, test.want) {
			t.Errorf("%s: got error %v, want %q", name, test.got, test.want)
		}
	}
}

// TestExtremes fills every lane of plain Go's packed multiplication to its limit.
func TestExtremes(t *testing.T) {
	for _, depth := range []int{1, 31, 32, 33, 1000, 40000} {
		in, weights := u8(1, depth), constant(u8(7, depth))
		out := with(u8(1, 7), func(t *Tensor) { t.Scale = []float32{1 << 24} })
		fill(weights.Data, 255)
		k, err := NewFullyConnected(FullyConnectedParams{}, in, weights, nil, out)
		if err != nil {
			t.Fatal(err)
		}
		a := Args{In: [][]byte{make([]byte, depth)}, Out: make([]byte, 7), Scratch: make([]byte, k.Scratch())}
		fill(a.In[0], 255)
		k.Run(&a, 0, k.Parts())
		// TensorFlow Lite's sums are 32-bit and wrap.
		want := byte(clamp(int32(math.Floor(float64(int32(depth*255*255))/(1<<24)+0.5)), 0, 255))
		for i, got := range a.Out {
			if got != want {
				t.Errorf("depth %d: output %d is %d, want %d", depth, i, got, want)
			}
		}
	}
}

// TestExp compares exp with math.Exp, rounded to float32.
func TestExp(t *testing.T) {
	for i := range 200000 {
		v := float32(i-100000) / 970
		got, want := exp(v), float32(math.Exp(float64(v)))
		if got != want && math.Abs(float64(got-want)) > 1e-44 {
			t.Fatalf("exp(%v) = %v, want %v", v, got, want)
		}
	}
	if got := exp(float32(math.Inf(1))); !math.IsInf(float64(got), 1) {
		t.Errorf("exp(+Inf) = %v", got)
	}
	if got := exp(float32(math.Inf(-1))); got != 0 {
		t.Errorf("exp(-Inf) = %v", got)
	}
	if got := exp(float32(math.NaN())); got == got {
		t.Errorf("exp(NaN) = %v", got)
	}
}

// TestFullyConnectedPerChannel compares a FULLY_CONNECTED that has one scale per channel
// with a 1×1 convolution, for which there are recorded outputs.
func TestFullyConnectedPerChannel(t *testing.T) {
	in, out := with(u8(3, 40), func(t *Tensor) { t.Type, t.ZeroPoint = Int8, []int64{-7} }), with(u8(3, 9), func(t *Tensor) { t.Type, t.Scale, t.ZeroPoint = Int8, []float32{300}, []int64{5} })
	weights := with(constant(u8(9, 40)), func(t *Tensor) { t.Type, t.Scale, t.ZeroPoint = Int8, nil, nil })
	for i := range weights.Data {
		weights.Data[i] = byte(i * 37)
	}
	for i := range 9 {
		weights.Scale, weights.ZeroPoint = append(weights.Scale, float32(i+1)/9), append(weights.ZeroPoint, 0)
	}
	dense, err := NewFullyConnected(FullyConnectedParams{}, in, weights, nil, out)
	if err != nil {
		t.Fatal(err)
	}
	reshaped := func(x *Tensor, shape ...int) *Tensor { y := *x; y.Shape = shape; return &y }
	conv, err := NewConv2D(Conv2DParams{Window: Window{1, 1, 1, 1, Valid}}, reshaped(in, 3, 1, 1, 40), reshaped(weights, 9, 1, 1, 40), nil, reshaped(out, 3, 1, 1, 9))
	if err != nil {
		t.Fatal(err)
	}
	var got [2][]byte
	for i, k := range []Kernel{dense, conv} {
		a := Args{In: [][]byte{make([]byte, 120)}, Out: make([]byte, 27), Scratch: make([]byte, k.Scratch())}
		for j := range a.In[0] {
			a.In[0][j] = byte(j * 11)
		}
		k.Run(&a, 0, k.Parts())
		got[i] = a.Out
	}
	if string(got[0]) != string(got[1]) {
		t.Errorf("got %v, want %v, the output of the convolution", got[0], got[1])
	}
}

func TestRunDoesNotAllocate(t *testing.T) {
	k, err := NewAdd(None, u8(1, 3, 4), u8(3, 1), u8(1, 3, 4))
	if err != nil {
		t.Fatal(err)
	}
	a := Args{In: [][]byte{make([]byte, 12), make([]byte, 3)}, Out: make([]byte, 12)}
	if n := testing.AllocsPerRun(10, func() { k.Run(&a, 0, k.Parts()) }); n != 0 {
		t.Errorf("Run allocates %v times, want 0", n)
	}
}
