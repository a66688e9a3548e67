// The command testmodel writes a model for test_delegate.py, in which the compiled operator of a model occurs twice, with
// the same input and an output each:
//
//	testmodel COMPILED OUTPUT
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/imprintkit/imprint/backbone/tflite"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testmodel:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 2 {
		return errors.New("want COMPILED OUTPUT")
	}
	file, err := os.ReadFile(args[0])
	if err != nil {
		return err
	}
	model, err := tflite.Parse(file)
	if err != nil {
		return err
	}
	graph := &model.Subgraphs[0]
	second := graph.Operators[0]
	tensor := graph.Tensors[second.Outputs[0]]
	tensor.Name += "_2"
	second.Outputs = []int32{model.AddTensor(0, tensor)}
	graph.Operators = append(graph.Operators, second)
	graph.Outputs = append(graph.Outputs, second.Outputs[0])
	if file, err = model.Encode(); err != nil {
		return err
	}
	return os.WriteFile(args[1], file, 0o644)
}
