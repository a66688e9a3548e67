package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// optionsText describes an operator's options briefly: "stride 2×2 SAME RELU6".
func optionsText(op tflite.BuiltinOperator, o tflite.Options) string {
	words := slices.DeleteFunc(optionWords(op, o), func(w string) bool { return w == "" })
	return strings.Join(words, " ")
}

// optionWords returns the words of optionsText, with "" for some defaults.
func optionWords(op tflite.BuiltinOperator, o tflite.Options) []string {
	switch op {
	case tflite.OpConv2D:
		v := o.Conv2D()
		return append(windowWords(v.StrideH, v.StrideW, v.DilationH, v.DilationW, v.Padding), activationWord(v.Activation))
	case tflite.OpDepthwiseConv2D:
		v := o.DepthwiseConv2D()
		words := windowWords(v.StrideH, v.StrideW, v.DilationH, v.DilationW, v.Padding)
		return append(words, wordIf(v.DepthMultiplier != 1, "multiplier %d", v.DepthMultiplier), activationWord(v.Activation))
	case tflite.OpAveragePool2D, tflite.OpMaxPool2D, tflite.OpL2Pool2D:
		v := o.Pool2D()
		words := []string{fmt.Sprintf("window %d×%d", v.FilterHeight, v.FilterWidth)}
		return append(append(words, windowWords(v.StrideH, v.StrideW, 1, 1, v.Padding)...), activationWord(v.Activation))
	case tflite.OpFullyConnected:
		v := o.FullyConnected()
		return []string{wordIf(v.KeepNumDims, "keeps dimensions"), wordIf(v.WeightsFormat != 0, "shuffled weights"), activationWord(v.Activation)}
	case tflite.OpAdd:
		return []string{activationWord(o.Add().Activation)}
	case tflite.OpSub:
		return []string{activationWord(o.Sub().Activation)}
	case tflite.OpMul:
		return []string{activationWord(o.Mul().Activation)}
	case tflite.OpL2Normalization:
		return []string{activationWord(o.L2Norm().Activation)}
	case tflite.OpConcatenation:
		return []string{fmt.Sprintf("axis %d", o.Concatenation().Axis), activationWord(o.Concatenation().Activation)}
	case tflite.OpReshape:
		shape := o.Reshape().NewShape
		return []string{wordIf(len(shape) > 0, "to %s", shapeText(shape))}
	case tflite.OpSqueeze:
		dims := o.Squeeze().SqueezeDims
		return []string{wordIf(len(dims) > 0, "dimensions %v", dims)}
	case tflite.OpMean:
		return []string{wordIf(o.Reducer().KeepDims, "keeps dimensions")}
	case tflite.OpSoftmax:
		return []string{fmt.Sprintf("beta %g", o.Softmax().Beta)}
	}
	return nil
}

func windowWords(strideH, strideW, dilationH, dilationW int32, p tflite.Padding) []string {
	return []string{
		fmt.Sprintf("stride %d×%d", strideH, strideW),
		wordIf(dilationH != 1 || dilationW != 1, "dilation %d×%d", dilationH, dilationW),
		p.String(),
	}
}

func activationWord(a tflite.Activation) string { return wordIf(a != tflite.ActNone, "%v", a) }

// wordIf returns the formatted word if it is needed, else "".
func wordIf(needed bool, format string, a ...any) string {
	if !needed {
		return ""
	}
	return fmt.Sprintf(format, a...)
}
