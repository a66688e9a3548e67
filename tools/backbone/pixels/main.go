// Pixels writes a model whose embedding is the photo itself, 32×32 RGB pixels. It is the
// baseline that a backbone must beat in "imprint eval":
//
//	go run ./tools/backbone/pixels pixels.tflite
package main

import (
	"fmt"
	"os"

	"github.com/imprintkit/imprint/backbone/tflite"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: pixels FILE")
		os.Exit(2)
	}
	if err := write(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "pixels:", err)
		os.Exit(1)
	}
}

func write(name string) error {
	m := &tflite.Model{Version: 3, Description: "the photo as its own embedding", Buffers: []tflite.Buffer{nil}}
	m.Subgraphs = []tflite.Subgraph{{Name: "main", Inputs: []int32{0}, Outputs: []int32{2}, DebugMetadataIndex: -1}}
	q := &tflite.Quantization{Scale: []float32{1}, ZeroPoint: []int64{0}}
	m.AddTensor(0, tflite.Tensor{Name: "photo", Shape: []int32{1, 32, 32, 3}, Type: tflite.TypeUint8, Quantization: q})
	for _, name := range []string{"row", "pixels"} {
		m.AddTensor(0, tflite.Tensor{Name: name, Shape: []int32{1, 1, 1, 3072}, Type: tflite.TypeUint8, Quantization: q})
	}
	// The pool averages single values, so it changes nothing. Without it, package backbone would follow the reshape
	// back to the photo and find no computed tensor for the embedding.
	pool := tflite.Pool2DOptions{Padding: tflite.PaddingValid, StrideW: 1, StrideH: 1, FilterWidth: 1, FilterHeight: 1}
	m.Subgraphs[0].Operators = []tflite.Operator{{
		Opcode: m.OperatorCode(tflite.OpReshape, "", 1), Inputs: []int32{0}, Outputs: []int32{1},
		Options: tflite.ReshapeOptions{NewShape: []int32{1, 1, 1, 3072}}.Options(), DebugMetadataIndex: -1,
	}, {
		Opcode: m.OperatorCode(tflite.OpAveragePool2D, "", 1), Inputs: []int32{1}, Outputs: []int32{2},
		Options: pool.Options(), DebugMetadataIndex: -1,
	}}
	b, err := m.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(name, b, 0o644)
}
