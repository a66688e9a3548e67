// Write quantizes the float weights of a trained backbone and writes the model file:
//
//	go run ./tools/backbone/write -weights weights.f32 -model model.tflite
package main

import (
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"

	"github.com/imprintkit/imprint/tools/backbone/mobilenet"
)

func main() {
	weights := flag.String("weights", "weights.f32", "`FILE` of float weights, written by train.py")
	model := flag.String("model", "model.tflite", "`FILE` to write")
	flag.Parse()
	if err := write(*weights, *model); err != nil {
		fmt.Fprintln(os.Stderr, "write:", err)
		os.Exit(1)
	}
}

func write(weights, model string) error {
	b, err := os.ReadFile(weights)
	if err != nil {
		return err
	}
	w, err := mobilenet.ReadWeights(bytes.NewReader(b))
	if err != nil {
		return fmt.Errorf("read %s: %w", weights, err)
	}
	out, err := w.Model()
	if err != nil {
		return err
	}
	fmt.Printf("%s: %d bytes, SHA-256 %x\n", model, len(out), sha256.Sum256(out))
	return os.WriteFile(model, out, 0o644)
}
