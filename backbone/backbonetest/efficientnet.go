package backbonetest

import (
	"encoding/binary"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// EfficientNetDim is the number of values in the embedding of [EfficientNet].
const EfficientNetDim = 64

// EfficientNet returns the model file of a very small uint8 classifier with the operators and the
// structure of EfficientNet-EdgeTPU, and random weights. Its first blocks expand with a full
// convolution instead of a depthwise one, and the others are inverted bottlenecks; both end in a
// linear projection and have an ADD around them. After the blocks come a CONV_2D, a MEAN, whose
// output is the embedding, a FULLY_CONNECTED and a SOFTMAX. (Gupta and Akin: Accelerator-aware
// Neural Network Design using AutoML, 2020; efficientnet_edgetpu_builder.py in tensorflow/tpu.)
func EfficientNet(classes int) []byte {
	b := input()
	b.conv("stem", 3, 3, 16, 2, tflite.ActRelu, relu, 0)
	b.block("fused", func() { b.conv("fused/expand", 3, 3, 64, 1, tflite.ActRelu, relu, 0) })
	b.conv("reduce", 3, 3, 32, 2, tflite.ActRelu, relu, 0)
	b.block("bottleneck", func() {
		b.conv("bottleneck/expand", 1, 1, 64, 1, tflite.ActRelu, relu, 0)
		b.depthwise("bottleneck/depthwise")
	})
	b.conv("head", 1, 1, EfficientNetDim, 1, tflite.ActRelu, relu, 0)
	axes := b.constant(tflite.Tensor{Name: "axes", Shape: []int32{2}, Type: tflite.TypeInt32}, ints(1, 2))
	b.op(tflite.OpMean, tflite.ReducerOptions{}.Options(), b.tensor("embedding", []int32{1, EfficientNetDim}, relu/2, 0), axes)
	filter, bias := b.weights("logits", []int32{int32(classes), EfficientNetDim}, classes)
	b.op(tflite.OpFullyConnected, tflite.FullyConnectedOptions{}.Options(), b.tensor("logits", []int32{1, int32(classes)}, 0.1, 128), filter, bias)
	b.op(tflite.OpSoftmax, tflite.SoftmaxOptions{Beta: 1}.Options(), b.tensor("scores", []int32{1, int32(classes)}, 1.0/256, 0))
	return mustEncode(b)
}

// relu is the scale of the outputs of a RELU.
const relu = 6.0 / 255

// block adds what expand adds, a linear projection to the channels before it, and an ADD of both.
func (b *builder) block(name string, expand func()) {
	before := b.at
	channels := int(b.shape()[3])
	expand()
	b.conv(name+"/project", 1, 1, channels, 1, tflite.ActNone, 8.0/255, 128)
	b.op(tflite.OpAdd, tflite.AddOptions{}.Options(), b.tensor(name, b.shape(), 12.0/255, 96), before)
}

func ints(values ...int32) []byte {
	var b []byte
	for _, v := range values {
		b = binary.LittleEndian.AppendUint32(b, uint32(v))
	}
	return b
}
