package classifier

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone/tflite"
)

const (
	// weightHeadroom is the factor by which the representable range exceeds the range of the
	// head's weights. Coral's engine uses the same scale for the classes that it adds later, and
	// might otherwise clip their weights.
	weightHeadroom = 1.25
	// productHeadroom is the factor by which the range of products is widened, because rounding
	// the unit vector to steps of 1/128 can increase the largest product.
	productHeadroom = 1.03
)

// coral writes h in the Coral layout. libcoral's ImprintingEngine expects a model that has
// exactly one L2_NORMALIZATION and ends in CONV_2D, MUL, RESHAPE and SOFTMAX
// (coral/learn/imprinting_engine.cc). coral also writes the model's description: one line "class
// norm" for each class to which the engine may add photos.
func (b *graphBuilder) coral(h *Head, norms []float64) error {
	nonNegative, err := b.unitVector(h)
	if err != nil {
		return err
	}
	// The weights are divided by factor, the length of the longest row, because the rows must
	// not be longer than prototypes, which have length 1. MUL multiplies the products by factor.
	var factor float64
	for c := range h.Labels {
		factor = max(factor, length(h.Row(c)))
	}
	if factor == 0 {
		return fmt.Errorf("append a coral head: all weights are 0: %w", ErrShape)
	}
	b.cosines(h, factor, nonNegative)

	classes := int32(len(h.Labels))
	cosine := b.tensor().Quantization
	scale := b.constant(tflite.Tensor{Name: "imprint/factor", Shape: []int32{1}, Type: tflite.TypeUint8, Quantization: quantization(float32(factor/255), 0)}, []byte{255})
	b.op(tflite.OpMul, 1, tflite.MulOptions{}.Options(), tflite.Tensor{Name: "imprint/scaled", Shape: []int32{1, 1, 1, classes}, Type: tflite.TypeUint8,
		Quantization: quantization(float32(float64(cosine.Scale[0])*factor), cosine.ZeroPoint[0])}, scale)
	b.reshape("imprint/logits", 1, classes)
	b.softmax(classes)

	var lines strings.Builder
	for c, n := range norms {
		if n > 0 {
			fmt.Fprintf(&lines, "%d %f\n", c, n)
		}
	}
	b.m.Description = lines.String()
	return nil
}

// softmax adds a SOFTMAX with scores in uint8.
func (b *graphBuilder) softmax(classes int32) {
	b.op(tflite.OpSoftmax, 1, tflite.SoftmaxOptions{Beta: 1}.Options(),
		tflite.Tensor{Name: "imprint/scores", Shape: []int32{1, classes}, Type: tflite.TypeUint8, Quantization: quantization(1.0/256, 0)})
}

// quantized writes h as FULLY_CONNECTED and SOFTMAX, with logits from low to high.
func (b *graphBuilder) quantized(h *Head, low, high float64) error {
	if err := b.toUint8(); err != nil {
		return fmt.Errorf("append a quantized head: %w", err)
	}
	classes, dim := int32(len(h.Labels)), int32(h.Dim)
	weight := quantizationOf(min(float64(slices.Min(h.Weights)), 0), max(float64(slices.Max(h.Weights)), 0))
	content := make([]byte, len(h.Weights))
	for i, w := range h.Weights {
		content[i] = quantize(float64(w), weight)
	}
	// The product of an input and a weight has this scale, and so must the biases.
	step := b.tensor().Quantization.Scale[0] * weight.Scale[0]
	biases := make([]int32, classes)
	for c, v := range h.Bias {
		biases[c] = int32(min(max(math.Round(float64(v)/float64(step)), math.MinInt32), math.MaxInt32))
	}
	b.op(tflite.OpFullyConnected, 1, tflite.FullyConnectedOptions{}.Options(),
		tflite.Tensor{Name: "imprint/logits", Shape: []int32{1, classes}, Type: tflite.TypeUint8, Quantization: quantizationOf(low, high)},
		b.constant(tflite.Tensor{Name: "imprint/weights", Shape: []int32{classes, dim}, Type: tflite.TypeUint8, Quantization: weight}, content),
		b.constant(tflite.Tensor{Name: "imprint/bias", Shape: []int32{classes}, Type: tflite.TypeInt32, Quantization: quantization(step, 0)}, int32Bytes(biases...)))
	b.softmax(classes)
	return nil
}

// unitVector converts the embedding to uint8 with the shape [1, 1, 1, dim] and adds an
// L2_NORMALIZATION. nonNegative reports whether the embedding's quantization excludes negative
// values.
func (b *graphBuilder) unitVector(h *Head) (nonNegative bool, err error) {
	if h.Sqrt {
		return false, fmt.Errorf("append a coral head: the layout does not support square-root features: %w", ErrShape)
	}
	if err := b.toUint8(); err != nil {
		return false, fmt.Errorf("append a coral head: %w", err)
	}
	shape := []int32{1, 1, 1, int32(h.Dim)}
	if !slices.Equal(b.tensor().Shape, shape) {
		b.reshape("imprint/flat", shape...)
	}
	nonNegative = zeroPoint(b.tensor()) == 0
	b.op(tflite.OpL2Normalization, 1, tflite.L2NormOptions{}.Options(),
		tflite.Tensor{Name: "imprint/unit", Shape: shape, Type: tflite.TypeUint8, Quantization: quantization(1.0/128, 128)})
	return nonNegative, nil
}

// toUint8 converts the current tensor from int8 to uint8 if necessary.
func (b *graphBuilder) toUint8() error {
	from := b.tensor()
	if (from.Type != tflite.TypeUint8 && from.Type != tflite.TypeInt8) || from.Quantization == nil || len(from.Quantization.Scale) != 1 {
		return fmt.Errorf("tensor %q: type %v is not quantized uint8 or int8: %w", from.Name, from.Type, ErrShape)
	}
	if from.Type == tflite.TypeInt8 {
		q := *from.Quantization
		q.ZeroPoint = []int64{zeroPoint(from) + 128}
		b.op(tflite.OpQuantize, 2, tflite.EmptyOptions(tflite.OptionsQuantize),
			tflite.Tensor{Name: "imprint/embedding", Shape: from.Shape, Type: tflite.TypeUint8, Quantization: &q})
	}
	return nil
}

// cosines adds the CONV_2D with the weights and biases of h, divided by factor. The output's
// range covers the product of the weights with any unit vector.
func (b *graphBuilder) cosines(h *Head, factor float64, nonNegative bool) {
	classes, dim := int32(len(h.Labels)), int32(h.Dim)
	var low, high float64
	for _, w := range h.Weights {
		low, high = min(low, float64(w)/factor), max(high, float64(w)/factor)
	}
	weight := quantizationOf(float64(low*weightHeadroom), float64(high*weightHeadroom))
	content := make([]byte, len(h.Weights))
	for i, w := range h.Weights {
		content[i] = quantize(float64(w)/factor, weight)
	}
	weights := b.constant(tflite.Tensor{Name: "imprint/weights", Shape: []int32{classes, 1, 1, dim}, Type: tflite.TypeUint8, Quantization: weight}, content)

	step := float32(1.0/128) * weight.Scale[0]
	biases := make([]int32, classes)
	low, high = 0, 0
	for c := range biases {
		v := float64(h.Bias[c]) / factor
		biases[c] = int32(math.RoundToEven(v / float64(step)))
		l, u := productRange(h.Row(c), nonNegative)
		low, high = min(low, v+float64(l/factor*productHeadroom)), max(high, v+float64(u/factor*productHeadroom))
	}
	bias := b.constant(tflite.Tensor{Name: "imprint/bias", Shape: []int32{classes}, Type: tflite.TypeInt32, Quantization: quantization(step, 0)}, int32Bytes(biases...))

	b.op(tflite.OpConv2D, 1, tflite.Conv2DOptions{Padding: tflite.PaddingSame, StrideW: 1, StrideH: 1, DilationW: 1, DilationH: 1}.Options(),
		tflite.Tensor{Name: "imprint/cosine", Shape: []int32{1, 1, 1, classes}, Type: tflite.TypeUint8, Quantization: quantizationOf(low, high)}, weights, bias)
}

// productRange returns the range of w·x over unit vectors x, by the Cauchy-Schwarz
// inequality. If nonNegative is set, x has no negative values.
func productRange(w []float32, nonNegative bool) (low, high float64) {
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

// quantizationOf returns a uint8 quantization that does not clip values between low and high,
// where low ≤ 0 ≤ high. One of the 255 steps is reserved for rounding the zero point.
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

// length returns the Euclidean length of w.
func length(w []float32) float64 {
	_, n := productRange(w, false)
	return n
}
