package pool_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/tpu/pool"
)

// With Device "auto" a compiled model runs on the Edge TPUs. This model is not compiled and runs on
// the CPU.
func ExampleRun() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	model := filepath.Join(dir, "model.tflite")
	if err := os.WriteFile(model, backbonetest.Classifier(3), 0o644); err != nil {
		log.Fatal(err)
	}

	devices, err := pool.New(pool.Options{Device: "auto"})
	if err != nil {
		log.Fatal(err)
	}
	defer devices.Close()
	photo := bytes.Repeat([]byte{200, 30, 60}, backbonetest.Size*backbonetest.Size) // RGB
	r, err := pool.Run(context.Background(), model, pool.RunOptions{Inputs: [][]byte{photo}, Pool: devices})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("output %v, computed on %s\n", r.Outputs[0], r.Device)
	// Output:
	// output [115 94 47], computed on cpu
}
