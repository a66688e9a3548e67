// Package builtin is the backbone that the program carries with it: a MobileNet v1
// 0.25 for photos of 128×128 pixels, trained by this project. Start with [Model],
// and give what it returns to backbone.Parse.
//
// The operators, shapes and arithmetic are those of Coral's
// mobilenet_v1_0.25_128_quant up to its AVERAGE_POOL_2D: uint8 with one scale a
// tensor, an embedding of 256 values. docs/backbone.md says what it was trained on,
// what it reaches and what it is bad at.
package builtin

import _ "embed"

//go:generate go run ../../tools/backbone/generic -photos ../../../shared/train -embeddings generic.u8
//go:generate go run ../../tools/backbone/write -weights weights.f32 -model imprint-mobilenet_v1_0.25_128.tflite

// Name is the model's name, without the ending of its file.
const Name = "imprint-mobilenet_v1_0.25_128"

// SHA256 is the checksum of the model file, in hexadecimal digits.
const SHA256 = "216eac7b7f9ebe42b01630ea5c3bae17b292fcba17b408352b307ba16145456c"

//go:embed imprint-mobilenet_v1_0.25_128.tflite
var file string

// Model returns the model file. The slice is the caller's.
func Model() []byte { return []byte(file) }

const (
	// GenericCount is how many embeddings Generic returns.
	GenericCount = 512
	// GenericSize is how many bytes each has.
	GenericSize = 256
)

//go:embed generic.u8
var generic string

// Generic returns embeddings that the model makes of photos of all sorts, fitted by
// dataset.Crop, GenericSize bytes each: what a photo of nothing taught may look like. README.md
// says which photos they were.
func Generic() [][]byte {
	all := make([][]byte, GenericCount)
	for i := range all {
		all[i] = []byte(generic[i*GenericSize : (i+1)*GenericSize])
	}
	return all
}
