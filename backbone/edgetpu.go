package backbone

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// An Arithmetic is how operators round.
type Arithmetic uint8

const (
	// TFLite is TensorFlow Lite's arithmetic, that of every CPU.
	TFLite Arithmetic = iota
	// EdgeTPU is that of the Edge TPU for CONV_2D, DEPTHWISE_CONV_2D,
	// FULLY_CONNECTED, ADD, MUL, AVERAGE_POOL_2D and QUANTIZE of 8-bit codes: it
	// tells what a device will say. All other operators remain TensorFlow
	// Lite's, as nobody knows how the device rounds them.
	EdgeTPU
)

func (a Arithmetic) String() string {
	if a == EdgeTPU {
		return "edgetpu"
	}
	return "tflite"
}

// ParseArithmetic reads what String writes.
func ParseArithmetic(s string) (Arithmetic, error) {
	for _, a := range []Arithmetic{TFLite, EdgeTPU} {
		if s == a.String() {
			return a, nil
		}
	}
	return 0, fmt.Errorf("arithmetic %q: it must be %v or %v", s, TFLite, EdgeTPU)
}

// stage is the output stage of an operator with weights; nil for TensorFlow
// Lite's arithmetic, and for float32, which has no codes.
func (o *operands) stage(a tflite.Activation, in, weights *kernels.Tensor) (*kernels.Stage, error) {
	if o.arithmetic != EdgeTPU || in.Type == kernels.Float32 {
		return nil, nil
	}
	return kernels.WeightedStage(kernels.Activation(a), in, weights, o.out)
}
