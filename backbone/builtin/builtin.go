// Package builtin contains imprint's own backbone: a MobileNet v1 0.25 for photos of
// 128×128 pixels. Pass the result of [Model] to backbone.Parse.
//
// The model has the same operators, shapes and arithmetic as Coral's
// mobilenet_v1_0.25_128_quant up to the AVERAGE_POOL_2D. Tensors are uint8 with one
// scale each, and the embedding has 256 values. docs/backbone.md describes its training,
// its accuracy and its limitations.
package builtin

import _ "embed"

//go:generate go run ../../tools/backbone/generic -photos ../../../shared/train -embeddings generic.u8
//go:generate go run ../../tools/backbone/write -weights weights.f32 -model imprint-mobilenet_v1_0.25_128.tflite

// Name is the name of the model, without the extension of its file.
const Name = "imprint-mobilenet_v1_0.25_128"

// SHA256 is the SHA-256 of the model file in hexadecimal.
const SHA256 = "69ff7aca030678980a5a94b6e31fa32aa5480afeb1cb455cb724cab68a8a638c"

//go:embed imprint-mobilenet_v1_0.25_128.tflite
var file string

// Model returns a new copy of the model file.
func Model() []byte { return []byte(file) }

const (
	// GenericCount is the number of embeddings that [Generic] returns.
	GenericCount = 512
	// GenericSize is the number of bytes in each embedding.
	GenericSize = 256
)

//go:embed generic.u8
var generic string

// Generic returns the model's raw embeddings of [GenericCount] photos of many kinds,
// resized in crop mode. Each call returns new copies. The embeddings serve as examples
// of unknown objects. README.md describes the photos.
func Generic() [][]byte {
	all := make([][]byte, GenericCount)
	for i := range all {
		all[i] = []byte(generic[i*GenericSize : (i+1)*GenericSize])
	}
	return all
}
