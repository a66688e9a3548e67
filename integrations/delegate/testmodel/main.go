// The command testmodel writes files for test_delegate.py.
//
//	testmodel twice COMPILED OUTPUT     a model in which the compiled operator occurs twice, with the same input and an
//	                                    output each
//	testmodel pattern COMPILED PREFIX   the tensors that the compiled operator outputs if the device sends the emulator's
//	                                    pattern, in files PREFIX.0, PREFIX.1 and so on
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "testmodel:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 3 {
		return errors.New("want twice COMPILED OUTPUT, or pattern COMPILED PREFIX")
	}
	file, err := os.ReadFile(args[1])
	if err != nil {
		return err
	}
	model, err := tflite.Parse(file)
	if err != nil {
		return err
	}
	if args[0] == "twice" {
		return twice(model, args[2])
	}
	return pattern(model, args[2])
}

func twice(model *tflite.Model, output string) error {
	graph := &model.Subgraphs[0]
	second := graph.Operators[0]
	tensor := graph.Tensors[second.Outputs[0]]
	tensor.Name += "_2"
	second.Outputs = []int32{model.AddTensor(0, tensor)}
	graph.Operators = append(graph.Operators, second)
	graph.Outputs = append(graph.Outputs, second.Outputs[0])
	file, err := model.Encode()
	if err != nil {
		return err
	}
	return os.WriteFile(output, file, 0o644)
}

// pattern converts the bytes on the wire, 7·i mod 256, to tensors.
func pattern(model *tflite.Model, prefix string) error {
	for _, op := range model.Subgraphs[0].Operators {
		if model.OperatorCodes[op.Opcode].CustomCode != executable.CustomOperator {
			continue
		}
		pkg, err := executable.Parse(op.CustomOptions)
		if err != nil {
			return err
		}
		for i := range pkg.Main.Outputs {
			layer := &pkg.Main.Outputs[i]
			raw, tensor := make([]byte, layer.Size), make([]byte, layer.TensorSize())
			for j := range raw {
				raw[j] = byte(7 * j)
			}
			if err := layer.FromDevice(tensor, raw); err != nil {
				return err
			}
			if err := os.WriteFile(fmt.Sprintf("%s.%d", prefix, i), tensor, 0o644); err != nil {
				return err
			}
		}
	}
	return nil
}
