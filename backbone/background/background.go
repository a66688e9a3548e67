// Package background contains embeddings of photos and pictures of many kinds, made with the
// built-in backbone and with backbones that Coral publishes. They show what a class does not look
// like, so that a head can learn the answer "unknown" from the first photo of the first class.
// Call [Embeddings]. README.md describes the photos.
package background

import (
	"embed"
	"slices"

	"github.com/imprintkit/imprint/backbone/builtin"
)

//go:generate go run ../../tools/backbone/generic -photos ../../../shared/train -models ../../../shared/models -background .

// Count is the number of embeddings of each backbone.
const Count = Photos + Pictures

const (
	Photos   = 208 // the first embeddings, of photos
	Pictures = 48  // the last embeddings, of pictures drawn by a program
)

// A Backbone is a model that has embeddings.
type Backbone struct {
	Name string // of the model, and of the file of its embeddings
	Dim  int    // number of values in an embedding
	Uses []Use  // models that compute these embeddings, the model itself first
}

// A Use is a model file and the tensor that is the embedding. The embeddings of a model that was
// compiled for the Edge TPU are close enough to those of the model that it was compiled from.
type Use struct {
	SHA256 string // of the model file, in hexadecimal
	Tensor int32  // index of the embedding in the main graph
}

// Backbones returns the models that have embeddings.
func Backbones() []Backbone {
	return []Backbone{
		{builtin.Name, 256, []Use{{builtin.SHA256, 82}}},
		{"mobilenet_v1_0.25_128_quant", 256, []Use{{"cb273c23ee76374b05b9583177e28aa19744858a7679c56a250e83d0333da785", 84}}},
		{"mobilenet_v1_0.5_160_quant", 512, []Use{{"3cc6d2ca460abd2e0f699a6d0d2550c6b61c6e3b0e27a3616e384ea74cb86f43", 84}}},
		{"mobilenet_v1_1.0_224_quant_embedding_extractor", 1024, []Use{
			{"f409ef4f73fcbb9667841965623c5c8524aac33d41b9bf5f3667161fb4a76319", 82},
			{"33a249155302975d7e28f72a5250903cdf7f7afb7bd1ceec3d2cd8ca9ce6a609", 1}, // compiled
		}},
		{"mobilenet_v2_1.0_224_quant", 1280, []Use{{"7aad0c74c5e3c06e5eb3c827e13304fdd68a83da6087d92ee169c24ff9fd4776", 169}}},
		{"tf2_mobilenet_v2_1.0_224_ptq", 1280, []Use{{"5d3137241276e79c86d14a74fe43581398ae0e815191d3dba45495b810840e8c", 172}}},
	}
}

//go:embed *.u4
var files embed.FS

// Embeddings returns [Count] embeddings made with the backbone whose file has the given SHA-256, in
// hexadecimal, and whose embedding is the given tensor. It returns nil if there are none. The
// values are proportional to the backbone's, rounded to squares of 0 to 15.
func Embeddings(sha256 string, tensor int32) [][]float64 {
	for _, b := range Backbones() {
		if !slices.Contains(b.Uses, Use{sha256, tensor}) {
			continue
		}
		codes, err := files.ReadFile(b.Name + ".u4")
		if err != nil || len(codes) != Count*b.Dim/2 {
			return nil // impossible: a test reads all files
		}
		all := make([][]float64, Count)
		for i := range all {
			all[i] = make([]float64, 0, b.Dim)
			for _, c := range codes[i*b.Dim/2 : (i+1)*b.Dim/2] {
				low, high := float64(c&15), float64(c>>4)
				all[i] = append(all[i], low*low, high*high)
			}
		}
		return all
	}
	return nil
}
