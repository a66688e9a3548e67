package classifier

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

const (
	// weightRoom widens the weight range beyond this head's, because a class that
	// Coral's engine adds later is stored with the same scale and would be clipped.
	weightRoom = 1.25
	// outputRoom covers what rounding the unit vector to steps of 1/128 can add to
	// the largest possible product.
	outputRoom = 1.03
)

// coral writes h as the uint8 operators that libcoral's ImprintingEngine expects
// (coral/learn/imprinting_engine.cc): exactly one L2_NORMALIZATION, and CONV_2D,
// MUL, RESHAPE and SOFTMAX at the end; each class that may be continued has a
// line "class length" in the description.
func (t *tail) coral(h *Head, norms []float64) error {
	classes, dim := int32(len(h.Labels)), int32(h.Dim)
	from := t.tensor()
	if h.Root {
		return fmt.Errorf("write a coral head on square roots: the layout has none: %w", ErrShape)
	}
	if (from.Type != tflite.TypeUint8 && from.Type != tflite.TypeInt8) || from.Quantization == nil || len(from.Quantization.Scale) != 1 {
		return fmt.Errorf("write a coral head after tensor %q: it is %v, and the layout needs a quantised backbone: %w", from.Name, from.Type, ErrShape)
	}
	if from.Type == tflite.TypeInt8 {
		q := *from.Quantization
		q.ZeroPoint = []int64{zeroPoint(from) + 128}
		t.op(tflite.OpQuantize, 2, tflite.EmptyOptions(tflite.OptionsQuantize),
			tflite.Tensor{Name: "imprint/embedding", Shape: from.Shape, Type: tflite.TypeUint8, Quantization: &q})
	}
	if s := []int32{1, 1, 1, dim}; !slices.Equal(t.tensor().Shape, s) {
		t.reshape("imprint/flat", s...)
	}
	nonNegative := zeroPoint(t.tensor()) == 0
	t.op(tflite.OpL2Normalization, 1, tflite.L2NormOptions{}.Options(),
		tflite.Tensor{Name: "imprint/unit", Shape: []int32{1, 1, 1, dim}, Type: tflite.TypeUint8, Quantization: quantization(1.0/128, 128)})

	// MUL's factor is the largest row's length, so that the rows before it are no
	// longer than 1, as prototypes are.
	var factor float64
	for c := range h.Labels {
		factor = max(factor, length(h.Row(c)))
	}
	if factor == 0 {
		return fmt.Errorf("write a coral head: all its weights are zero: %w", ErrShape)
	}
	var low, high float64
	for _, w := range h.Weights {
		low, high = min(low, float64(w)/factor), max(high, float64(w)/factor)
	}
	weight := quantizationOf(low*weightRoom, high*weightRoom)
	content := make([]byte, len(h.Weights))
	for i, w := range h.Weights {
		content[i] = quantize(float64(w)/factor, weight)
	}
	weights := t.constant(tflite.Tensor{Name: "imprint/weights", Shape: []int32{classes, 1, 1, dim}, Type: tflite.TypeUint8, Quantization: weight}, content)

	step := float32(1.0/128) * weight.Scale[0]
	biases := make([]int32, classes)
	low, high = 0, 0
	for c := range biases {
		b := float64(h.Bias[c]) / factor
		biases[c] = int32(math.RoundToEven(b / float64(step)))
		l, u := reach(h.Row(c), nonNegative)
		low, high = min(low, b+l/factor*outputRoom), max(high, b+u/factor*outputRoom)
	}
	bias := t.constant(tflite.Tensor{Name: "imprint/bias", Shape: []int32{classes}, Type: tflite.TypeInt32, Quantization: quantization(step, 0)}, int32s(biases...))

	cosine := quantizationOf(low, high)
	t.op(tflite.OpConv2D, 1, tflite.Conv2DOptions{Padding: tflite.PaddingSame, StrideW: 1, StrideH: 1, DilationW: 1, DilationH: 1}.Options(),
		tflite.Tensor{Name: "imprint/cosine", Shape: []int32{1, 1, 1, classes}, Type: tflite.TypeUint8, Quantization: cosine}, weights, bias)

	scale := t.constant(tflite.Tensor{Name: "imprint/factor", Shape: []int32{1}, Type: tflite.TypeUint8, Quantization: quantization(float32(factor/255), 0)}, []byte{255})
	t.op(tflite.OpMul, 1, tflite.MulOptions{}.Options(), tflite.Tensor{Name: "imprint/scaled", Shape: []int32{1, 1, 1, classes}, Type: tflite.TypeUint8,
		Quantization: quantization(float32(float64(cosine.Scale[0])*factor), cosine.ZeroPoint[0])}, scale)
	t.reshape("imprint/logits", 1, classes)
	t.op(tflite.OpSoftmax, 1, tflite.SoftmaxOptions{Beta: 1}.Options(),
		tflite.Tensor{Name: "imprint/scores", Shape: []int32{1, classes}, Type: tflite.TypeUint8, Quantization: quantization(1.0/256, 0)})

	var lines strings.Builder
	for c, n := range norms {
		if n > 0 {
			fmt.Fprintf(&lines, "%d %f\n", c, n)
		}
	}
	t.m.Description = lines.String()
	return nil
}

// reach returns the range of w·x over unit vectors x, all values of which are at
// least 0 if nonNegative (Cauchy and Schwarz on the part of w that counts).
func reach(w []float32, nonNegative bool) (low, high float64) {
	var neg, pos float64
	for _, f := range w {
		if v := float64(f); v < 0 {
			neg += float64(v * v)
		} else {
			pos += float64(v * v)
		}
	}
	if !nonNegative {
		both := math.Sqrt(neg + pos)
		return -both, both
	}
	return -math.Sqrt(neg), math.Sqrt(pos)
}

// quantizationOf returns uint8 quantisation for low ≤ 0 ≤ high in which no value
// of that range is clipped: one step is kept for rounding the zero point.
func quantizationOf(low, high float64) *tflite.Quantization {
	scale := float32(max(high-low, math.SmallestNonzeroFloat32) / 254)
	return quantization(scale, int64(math.Round(-low/float64(scale))))
}

func quantization(scale float32, zero int64) *tflite.Quantization {
	return &tflite.Quantization{Scale: []float32{scale}, ZeroPoint: []int64{zero}}
}

func quantize(v float64, q *tflite.Quantization) byte {
	return byte(min(max(int64(math.Round(v/float64(q.Scale[0])))+q.ZeroPoint[0], 0), 255))
}

func zeroPoint(t tflite.Tensor) int64 {
	if len(t.Quantization.ZeroPoint) == 0 {
		return 0
	}
	return t.Quantization.ZeroPoint[0]
}

func length(w []float32) float64 {
	_, n := reach(w, false)
	return n
}
