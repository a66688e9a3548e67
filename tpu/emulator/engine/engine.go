// Package engine computes operators for an emulated Edge TPU with package backbone. Set Operator in
// [emulator.Config].
//
// How the chip rounds these operators is not known. They have the results that package backbone
// predicts in the Edge TPU's arithmetic, from the constants of the uncompiled model.
package engine

import (
	"context"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// Operator is an [emulator.OperatorFunc]. Its errors are those of [backbone.NewInterpreter].
func Operator(m *tflite.Model, operator int) (func(inputs [][]byte, output []byte) error, error) {
	graph := m.Subgraphs[0]
	op := graph.Operators[operator]
	graph.Operators, graph.Inputs, graph.Outputs = []tflite.Operator{op}, nil, op.Outputs
	for _, t := range op.Inputs {
		if t >= 0 && m.TensorBytes(0, t) == nil {
			graph.Inputs = append(graph.Inputs, t)
		}
	}
	single := *m
	single.Subgraphs = []tflite.Subgraph{graph}
	interpreter, err := backbone.NewInterpreter(&single, backbone.InterpreterOptions{Arithmetic: backbone.EdgeTPU})
	if err != nil {
		return nil, err
	}
	return func(inputs [][]byte, output []byte) error {
		for i, in := range inputs {
			copy(interpreter.Input(i), in)
		}
		err := interpreter.Invoke(context.Background())
		copy(output, interpreter.Output(0))
		return err
	}, nil
}
