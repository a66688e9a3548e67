package partition

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// A rule returns the reason why the Edge TPU can't run an operator of one kind, or "" if it can.
// Before a rule is called, unsupportedTensor has accepted all tensors that are not constant.
type rule func(o operands) string

// operands is an operator with its tensors. An optional tensor that is missing is nil.
type operands struct {
	m        *tflite.Model
	contents *uniform
	op       *tflite.Operator
	in, out  []*tflite.Tensor
}

// constant returns the bytes of input i if it is a constant, else nil.
func (o operands) constant(i int) []byte {
	if i >= len(o.in) || o.in[i] == nil {
		return nil
	}
	return o.m.TensorBytes(0, o.op.Inputs[i])
}

// ints returns the first int32 values of input i if it is a constant, else nil. Such an input has
// one value for each dimension of a tensor.
func (o operands) ints(i int) []int {
	const most = 16
	var list []int
	for b := o.constant(i); len(b) >= 4 && len(list) < most; b = b[4:] {
		list = append(list, int(int32(binary.LittleEndian.Uint32(b))))
	}
	return list
}

// rules returns the rules for the operators that the Edge TPU supports, by operator name.
func rules() map[string]rule {
	unrestricted := func(operands) string { return "" }
	r := map[string]rule{
		"AVERAGE_POOL_2D":   pool,
		"MAX_POOL_2D":       pool,
		"CONCATENATION":     concatenation,
		"CONV_2D":           convolution(1, 2),
		"DEPTHWISE_CONV_2D": convolution(1, 2),
		"TRANSPOSE_CONV":    convolution(0, 1, 3),
		"FULLY_CONNECTED":   fullyConnected,
		"MEAN":              reduction,
		"SUM":               reduction,
		"REDUCE_MAX":        reduction,
		"REDUCE_MIN":        reduction,
		"PACK":              withinBatch,
		"PAD":               withinBatch,
		"SPLIT":             withinBatch,
		"PRELU":             prelu,
		"RESIZE_BILINEAR":   resize,
		// unsupportedTensor applies the guide's limit of three dimensions to all operators.
		"RESIZE_NEAREST_NEIGHBOR":      resize,
		"SLICE":                        unrestricted,
		"STRIDED_SLICE":                stridedSlice,
		"SOFTMAX":                      softmax,
		"TRANSPOSE":                    transpose,
		"UNIDIRECTIONAL_SEQUENCE_LSTM": lstm,
	}
	for _, name := range []string{"ADD", "SUB", "MUL", "MAXIMUM", "MINIMUM", "EXPAND_DIMS", "SQUEEZE", "L2_NORMALIZATION", "LOGISTIC", "TANH", "RSQRT",
		"QUANTIZE", "RELU", "RELU6", "RELU_N1_TO_1", "RESHAPE", "SPACE_TO_DEPTH", "SQUARED_DIFFERENCE",
		"TILE", // not in the guide, but in deeplab_mobilenet_edgetpu_slim of google-coral/test_data
	} {
		r[name] = unrestricted
	}
	return r
}

// unsupported returns the reason why the Edge TPU can't run an operator, or "" if it can.
func unsupported(rules map[string]rule, contents *uniform, m *tflite.Model, op *tflite.Operator) string {
	name := Name(m, op)
	restriction, known := rules[name]
	if !known {
		return "the Edge TPU does not support this operator"
	}
	o := operands{m: m, contents: contents, op: op}
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
				continue // a constant: weights, a shape or an axis
			}
			if reason := unsupportedTensor(&tensors[t], name); reason != "" {
				return fmt.Sprintf("tensor %d %s", t, reason)
			}
		}
	}
	if len(o.in) == 0 || o.in[0] == nil || len(o.out) == 0 || o.out[0] == nil {
		return "it has no input or no output"
	}
	return restriction(o)
}

func eightBit(t *tflite.Tensor) bool { return t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8 }

// unsupportedTensor returns the reason why a tensor can't be on the Edge TPU, or "" if it
// can.
func unsupportedTensor(t *tflite.Tensor, operator string) string {
	state := operator == "UNIDIRECTIONAL_SEQUENCE_LSTM" && t.IsVariable
	if !eightBit(t) && !state {
		return fmt.Sprintf("is %v, not 8-bit", t.Type)
	}
	if q := t.Quantization; q == nil || len(q.Scale) == 0 {
		return "is not quantized"
	}
	// Compilers treat a batch of unknown size as 1.
	if slices.ContainsFunc(t.ShapeSignature[min(1, len(t.ShapeSignature)):], func(d int32) bool { return d < 0 }) || slices.ContainsFunc(t.Shape, func(d int32) bool { return d <= 0 }) {
		return "does not have a constant shape"
	}
	for _, d := range t.Shape[:max(len(t.Shape)-3, 0)] {
		if d > 1 {
			return fmt.Sprintf("has the shape %v; only the three innermost dimensions may be larger than 1", t.Shape)
		}
	}
	return ""
}

// noActivation returns a reason if an operator has a fused activation, or "" if it has none.
func noActivation(a tflite.Activation) string {
	if a != tflite.ActNone {
		return fmt.Sprintf("it has the activation %v", a)
	}
	return ""
}

func pool(o operands) string { return noActivation(o.op.Options.Pool2D().Activation) }

func concatenation(o operands) string {
	if reason := noActivation(o.op.Options.Concatenation().Activation); reason != "" {
		return reason
	}
	for i, t := range o.in {
		b := o.constant(i)
		if b == nil {
			continue
		}
		zero := byte(0)
		if q := t.Quantization; q != nil && len(q.ZeroPoint) > 0 {
			zero = byte(q.ZeroPoint[0])
		}
		if len(o.in) != 2 || !o.contents.all(b, zero) {
			return "its constant input is supported only if it is all zeros and there is exactly one other input"
		}
	}
	return ""
}

// convolution returns the rule for a convolution. The inputs listed in constants must be constant
// tensors.
func convolution(constants ...int) rule {
	return func(o operands) string {
		for _, i := range constants {
			if i < len(o.in) && o.in[i] != nil && o.constant(i) == nil {
				return fmt.Sprintf("input %d must be constant", i)
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
			return fmt.Sprintf("its dilation is %d×%d, but height and width must be equal", h, w)
		}
		return ""
	}
}

func fullyConnected(o operands) string {
	if reason := convolution(1, 2)(o); reason != "" {
		return reason
	}
	if f := o.op.Options.FullyConnected().WeightsFormat; f != 0 {
		return "its weights are shuffled"
	}
	return oneDimensional(o.out[0], "output")
}

// oneDimensional returns a reason if a dimension of t other than the last is larger than 1, or ""
// if none is.
func oneDimensional(t *tflite.Tensor, what string) string {
	for _, d := range t.Shape[:max(len(t.Shape)-1, 0)] {
		if d > 1 {
			return fmt.Sprintf("its %s has the shape %v; only the last dimension may be larger than 1", what, t.Shape)
		}
	}
	return ""
}

// reduction is the rule of operators that reduce along constant axes. They must not
// reduce along the batch. MEAN must not reduce along channels unless their number is a
// multiple of 4.
func reduction(o operands) string {
	rank := len(o.in[0].Shape)
	if o.constant(1) == nil {
		return "its axes are not constant"
	}
	for _, a := range o.ints(1) {
		if a < 0 {
			a += rank
		}
		if a == 0 && rank > 1 {
			return "it reduces along the batch"
		}
		if shape := o.in[0].Shape; a >= 0 && a == rank-1 && Name(o.m, o.op) == "MEAN" && shape[a]%4 != 0 {
			return fmt.Sprintf("it is the mean of %d channels, which is not a multiple of 4", shape[a])
		}
	}
	return ""
}

// withinBatch is the rule of operators that work along any dimension but the batch.
func withinBatch(o operands) string {
	data := o.in[0]
	if Name(o.m, o.op) == "SPLIT" && len(o.in) > 1 && o.in[1] != nil {
		data = o.in[1] // input 0 is the axis
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

// maxResize is the largest factor by which a side of an image may grow. Compiled models double a
// side on the Edge TPU and leave factors of 15 and 33 to the CPU.
const maxResize = 8

func resize(o operands) string {
	a, b := o.in[0].Shape, o.out[0].Shape
	if len(a) != 4 || len(b) != 4 {
		return ""
	}
	for _, d := range []int{1, 2} {
		if b[d] > maxResize*a[d] {
			return fmt.Sprintf("it enlarges %d×%d to %d×%d; compilers leave large factors to the CPU for precision", a[1], a[2], b[1], b[2])
		}
	}
	return ""
}

func stridedSlice(o operands) string {
	if slices.ContainsFunc(o.ints(3), func(s int) bool { return s != 1 }) {
		return fmt.Sprintf("its strides are %v, but must be 1", o.ints(3))
	}
	return ""
}

// maxSoftmax is the largest number of elements that SOFTMAX may have. The guide says 16,000, but
// color_red_128x128 of ricardodeazambuja/LibrEdgeTPU was compiled with 16,384.
const maxSoftmax = 16384

func softmax(o operands) string {
	if n := o.in[0].NumElements(); n > maxSoftmax {
		return fmt.Sprintf("it has %d elements, but at most %d are supported", n, maxSoftmax)
	}
	return oneDimensional(o.in[0], "input")
}

// maxTranspose is the largest number of elements of TRANSPOSE that a compiler is known to
// put on the Edge TPU: in three public models of YOLOv8n, version 16 maps 1×20×20×144 and
// leaves 1×40×40×144 and more to the CPU. The guide has no limit.
const maxTranspose = 20 * 20 * 144

func transpose(o operands) string {
	if n := o.in[0].NumElements(); n > maxTranspose {
		return fmt.Sprintf("it has %d elements; compilers are known to map at most %d", n, maxTranspose)
	}
	return ""
}

func lstm(o operands) string {
	// The inputs are the data, 4 input and 4 recurrent weights, 3 peepholes, 4 biases, 2
	// projections, 2 states and 4 normalizations.
	for i := range o.in {
		if i > 0 && o.in[i] != nil && !o.in[i].IsVariable && o.constant(i) == nil {
			return fmt.Sprintf("input %d must be constant", i)
		}
	}
	return ""
}
