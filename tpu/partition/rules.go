package partition

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// A rule says what keeps an operator of one kind from the Edge TPU; "" for nothing.
// All its tensors have been looked at.
type rule func(o operands) string

// operands is an operator with its tensors; nil for those left out.
type operands struct {
	m       *tflite.Model
	op      *tflite.Operator
	in, out []*tflite.Tensor
}

// constant gives the bytes of input i if it is a constant, or nil.
func (o operands) constant(i int) []byte {
	if i >= len(o.in) || o.in[i] == nil {
		return nil
	}
	return o.m.TensorBytes(0, o.op.Inputs[i])
}

// numbers are the int32 constants of input i.
func (o operands) numbers(i int) []int {
	var list []int
	for b := o.constant(i); len(b) >= 4; b = b[4:] {
		list = append(list, int(int32(binary.LittleEndian.Uint32(b))))
	}
	return list
}

// rules has the operators of the Edge TPU and their limits.
func rules() map[string]rule {
	free := func(operands) string { return "" }
	r := map[string]rule{
		"AVERAGE_POOL_2D":   plainPool,
		"MAX_POOL_2D":       plainPool,
		"CONCATENATION":     concatenation,
		"CONV_2D":           convolution(1, 2),
		"DEPTHWISE_CONV_2D": convolution(1, 2),
		"TRANSPOSE_CONV":    convolution(0, 1, 3),
		"FULLY_CONNECTED":   fullyConnected,
		"MEAN":              reduction,
		"SUM":               reduction,
		"REDUCE_MAX":        reduction,
		"REDUCE_MIN":        reduction,
		"PACK":              keepsBatch,
		"PAD":               keepsBatch,
		"SPLIT":             keepsBatch,
		"PRELU":             prelu,
		"RESIZE_BILINEAR":   resize,
		// As the guide says, of three dimensions at most; that holds for all.
		"RESIZE_NEAREST_NEIGHBOR":      resize,
		"SLICE":                        free,
		"STRIDED_SLICE":                stridedSlice,
		"SOFTMAX":                      softmax,
		"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
	}
	for _, name := range []string{"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "EXPAND_DIMS", "SQUEEZE", "L2_NORMALIZATION", "LOGISTIC", "TANH", "RSQRT",
		"QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "SPACE_TO_DEPTH", "TRANSPOSE", "SQUARED_DIFFERENCE",
		"TILE", // not in the guide; compiled in deeplab_mobilenet_edgetpu_slim of google-coral/test_data
	} {
		r[name] = free
	}
	return r
}

// unmapped says what keeps an operator from the Edge TPU; "" for nothing.
func unmapped(rules map[string]rule, m *tflite.Model, op *tflite.Operator) string {
	name := Name(m, op)
	fits, known := rules[name]
	if !known {
		return "the Edge TPU has no such operator"
	}
	o := operands{m: m, op: op}
	tensors := m.Subgraphs[0].Tensors
	for _, list := range []struct {
		from []int32
		to   *[]*tflite.Tensor
	}{{op.Inputs, &o.in}, {op.Outputs, &o.out}} {
		for _, t := range list.from {
			if t < 0 {
				*list.to = append(*list.to, nil)
				continue
			}
			*list.to = append(*list.to, &tensors[t])
			if m.TensorBytes(0, t) != nil {
				continue // weights, or how to do it: a shape, an axis
			}
			if why := unfit(&tensors[t], name); why != "" {
				return fmt.Sprintf("tensor %d %s", t, why)
			}
		}
	}
	if len(o.in) == 0 || o.in[0] == nil || len(o.out) == 0 || o.out[0] == nil {
		return "it has no input or no output"
	}
	return fits(o)
}

func eightBit(t *tflite.Tensor) bool { return t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8 }

// unfit says why a tensor can't be on the Edge TPU; "" if it can.
func unfit(t *tflite.Tensor, operator string) string {
	state := operator == "UNIDIRECTIONAL_SEQUENCE_LSTM" && t.IsVariable
	if !eightBit(t) && !state {
		return fmt.Sprintf("is %v, not of 8 bits", t.Type)
	}
	if q := t.Quantization; q == nil || len(q.Scale) == 0 {
		return "is not quantised"
	}
	// A batch of any size is compiled as one of 1.
	if slices.ContainsFunc(t.ShapeSignature[min(1, len(t.ShapeSignature)):], func(d int32) bool { return d < 0 }) || slices.ContainsFunc(t.Shape, func(d int32) bool { return d <= 0 }) {
		return "has no constant shape"
	}
	for _, d := range t.Shape[:max(len(t.Shape)-3, 0)] {
		if d > 1 {
			return fmt.Sprintf("has the shape %v, in which more than the three innermost dimensions are larger than one", t.Shape)
		}
	}
	return ""
}

func activated(a tflite.Activation) string {
	if a != tflite.ActNone {
		return fmt.Sprintf("it has the activation %v", a)
	}
	return ""
}

func plainPool(o operands) string { return activated(o.op.Options.Pool2D().Activation) }

func concatenation(o operands) string {
	if why := activated(o.op.Options.Concatenation().Activation); why != "" {
		return why
	}
	for i, t := range o.in {
		b := o.constant(i)
		if b == nil {
			continue
		}
		zero := byte(0)
		if z := t.Quantization.ZeroPoint; len(z) > 0 {
			zero = byte(z[0])
		}
		if len(o.in) != 2 || slices.ContainsFunc(b, func(c byte) bool { return c != zero }) {
			return "it has a constant input, which can only be one of two and all zeros"
		}
	}
	return ""
}

// convolution is the rule of an operator with those inputs constant.
func convolution(constants ...int) rule {
	return func(o operands) string {
		for _, i := range constants {
			if i < len(o.in) && o.in[i] != nil && o.constant(i) == nil {
				return fmt.Sprintf("input %d, a parameter, is not constant", i)
			}
		}
		var h, w int32
		switch o.op.Options.Type {
		case tflite.OptionsConv2D:
			v := o.op.Options.Conv2D()
			h, w = v.DilationH, v.DilationW
		case tflite.OptionsDepthwiseConv2D:
			v := o.op.Options.DepthwiseConv2D()
			h, w = v.DilationH, v.DilationW
		}
		if h != w {
			return fmt.Sprintf("its dilation is %d in y and %d in x", h, w)
		}
		return ""
	}
}

func fullyConnected(o operands) string {
	if why := convolution(1, 2)(o); why != "" {
		return why
	}
	if f := o.op.Options.FullyConnected().WeightsFormat; f != 0 {
		return "its weights are shuffled"
	}
	return oneDimensional(o.out[0], "output")
}

func oneDimensional(t *tflite.Tensor, what string) string {
	for _, d := range t.Shape[:max(len(t.Shape)-1, 0)] {
		if d > 1 {
			return fmt.Sprintf("its %s has the shape %v, and only the last dimension may be larger than one", what, t.Shape)
		}
	}
	return ""
}

// reduction keeps the batch and, for MEAN, takes whole groups of 4 channels.
func reduction(o operands) string {
	rank := len(o.in[0].Shape)
	if o.constant(1) == nil {
		return "its axes are not constant"
	}
	for _, a := range o.numbers(1) {
		if a < 0 {
			a += rank
		}
		if a == 0 && rank > 1 {
			return "it goes over the batch"
		}
		if z := o.in[0].Shape; a == rank-1 && Name(o.m, o.op) == "MEAN" && z[a]%4 != 0 {
			return fmt.Sprintf("it is the mean of %d channels, not of a multiple of 4", z[a])
		}
	}
	return ""
}

// keepsBatch holds for operators that may work along all dimensions but the batch.
func keepsBatch(o operands) string {
	data := o.in[0]
	if Name(o.m, o.op) == "SPLIT" && len(o.in) > 1 && o.in[1] != nil {
		data = o.in[1] // the first is the axis
	}
	if len(data.Shape) > 0 && len(o.out[0].Shape) > 0 && data.Shape[0] != o.out[0].Shape[0] {
		return "it works along the batch"
	}
	return ""
}

func prelu(o operands) string {
	if len(o.in) < 2 || o.in[1] == nil {
		return "it has no alpha"
	}
	return oneDimensional(o.in[1], "alpha")
}

// largestResize is by how much a side may grow: doubling was seen on the Edge TPU, and
// 15 and 33 times as large on the CPU.
const largestResize = 8

func resize(o operands) string {
	a, b := o.in[0].Shape, o.out[0].Shape
	if len(a) != 4 || len(b) != 4 {
		return ""
	}
	for _, d := range []int{1, 2} {
		if b[d] > largestResize*a[d] {
			return fmt.Sprintf("it makes %d×%d of %d×%d, and large factors are left to the CPU to keep precision", b[1], b[2], a[1], a[2])
		}
	}
	return ""
}

func stridedSlice(o operands) string {
	if slices.ContainsFunc(o.numbers(3), func(s int) bool { return s != 1 }) {
		return fmt.Sprintf("its strides are %v, not 1", o.numbers(3))
	}
	return ""
}

// largestSoftmax is how many elements SOFTMAX takes. The guide says 16,000; so many were
// compiled in color_red_128x128 of ricardodeazambuja/LibrEdgeTPU.
const largestSoftmax = 16384

func softmax(o operands) string {
	if n := o.in[0].NumElements(); n > largestSoftmax {
		return fmt.Sprintf("it is of %d elements, and at most %d are taken", n, largestSoftmax)
	}
	return oneDimensional(o.in[0], "input")
}

func lstm(o operands) string {
	// Input, four input and four recurrent weights, three peepholes, four biases, two of
	// projection, two states, four of normalisation.
	for i := range o.in {
		if i > 0 && o.in[i] != nil && !o.in[i].IsVariable && o.constant(i) == nil {
			return fmt.Sprintf("input %d, a parameter, is not constant", i)
		}
	}
	return ""
}
