package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/hostile"
	"github.com/imprintkit/imprint/tools/race"
)

// A graph builds a model by hand. Its tensors are uint8 vectors.
type graph struct {
	m *tflite.Model
	g *tflite.Subgraph
}

func newGraph(t testing.TB) graph {
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	return graph{m, &m.Subgraphs[0]}
}

// vector adds a tensor of n values. data are its content if it is a constant.
func (b graph) vector(n int, data []byte) int32 {
	t := tflite.Tensor{Shape: []int32{1, int32(n)}, Type: tflite.TypeUint8, Quantization: &tflite.Quantization{Scale: []float32{1}, ZeroPoint: []int64{0}}}
	if data != nil {
		t.Buffer = b.m.AddBuffer(data)
	}
	return b.m.AddTensor(0, t)
}

func (b graph) operator(code tflite.BuiltinOperator, inputs []int32, outputs ...int32) {
	b.g.Operators = append(b.g.Operators, tflite.Operator{Opcode: b.m.OperatorCode(code, "", 1), Inputs: inputs, Outputs: outputs, DebugMetadataIndex: -1})
}

// chain appends n operators, each of which reads the output of the one before, and makes the last output the model's.
func (b graph) chain(n int, code tflite.BuiltinOperator, more ...int32) {
	at := b.g.Outputs[0]
	for range n {
		next := b.vector(48, nil)
		b.operator(code, append([]int32{at}, more...), next)
		at = next
	}
	b.g.Outputs = []int32{at}
}

// hugeGraphs returns models of a few megabytes for which a simple walk over the graph takes minutes or gigabytes.
func hugeGraphs() map[string]func(b graph) {
	const n = 12000 // operators; the limit of the format's reader is about 30000 with a tensor each
	return map[string]func(b graph){
		"search past many outputs": func(b graph) {
			b.g.Operators = slices.Insert(b.g.Operators, 0, tflite.Operator{Outputs: slices.Repeat([]int32{0}, 900_000), DebugMetadataIndex: -1})
			b.chain(n, tflite.OpReshape)
		},
		"search for widened constants": func(b graph) {
			half, wide := b.vector(1, []byte{1, 2}), b.vector(1, nil)
			b.g.Tensors[half].Type, b.g.Tensors[wide].Type = tflite.TypeFloat16, tflite.TypeFloat32
			b.chain(n, tflite.OpAdd, wide)
			b.operator(tflite.OpReshape, nil, slices.Repeat([]int32{0}, 900_000)...)
			b.operator(tflite.OpDequantize, []int32{half}, wide)
		},
		"outputs that are inputs": func(b graph) {
			for range n {
				b.g.Inputs = append(b.g.Inputs, b.vector(1, nil))
			}
			last := b.g.Inputs[len(b.g.Inputs)-1]
			b.operator(tflite.OpReshape, []int32{0}, slices.Repeat([]int32{last}, 900_000)...)
			b.g.Outputs = append(b.g.Outputs, last)
		},
		"operators that share a constant": func(b graph) {
			zeros := b.vector(4<<20, make([]byte, 4<<20))
			b.chain(n, tflite.OpConcatenation, zeros)
		},
		"axes in a large constant": func(b graph) {
			axes := b.vector(1<<20, make([]byte, 4<<20))
			b.g.Tensors[axes].Type = tflite.TypeInt32
			b.chain(n, tflite.OpMean, axes)
		},
		"tensors that share a constant": func(b graph) {
			var list []int32
			first := b.vector(1<<20, make([]byte, 1<<20))
			for range n {
				list = append(list, b.m.AddTensor(0, b.g.Tensors[first]))
			}
			b.g.Outputs = list
		},
		"long name": func(b graph) {
			long := b.vector(1, []byte{1})
			b.g.Tensors[long].Name = strings.Repeat("name ", 1<<18)
			b.operator(tflite.OpAdd, slices.Repeat([]int32{long}, 200_000))
		},
		"many scales": func(b graph) {
			many := b.vector(1<<19, make([]byte, 1<<19))
			q := &tflite.Quantization{Dimension: 1, Scale: slices.Repeat([]float32{1}, 1<<19)}
			b.g.Tensors[many].Quantization, b.g.Tensors[many].Type = q, tflite.TypeInt8
			b.operator(tflite.OpAdd, slices.Repeat([]int32{many}, 100_000))
			b.chain(n, tflite.OpFullyConnected, many)
		},
		"many readers": func(b graph) {
			at := b.g.Outputs[0]
			for range n {
				b.operator(tflite.OpReshape, []int32{at}, slices.Repeat([]int32{at}, 30)...)
			}
		},
		"metadata that share a buffer": func(b graph) {
			buffer := b.m.AddBuffer([]byte(strings.Repeat("text", 1<<20)))
			b.m.Metadata = slices.Repeat([]tflite.Metadata{{Name: "x", Buffer: buffer}}, n)
		},
	}
}

// TestHugeGraphs gives models to the commands for which a walk over the graph could take very long.
func TestHugeGraphs(t *testing.T) {
	if race.Enabled {
		t.Skip("slow under the race detector, and nothing is concurrent")
	}
	for name, build := range hugeGraphs() {
		t.Run(name, func(t *testing.T) {
			b := newGraph(t)
			build(b)
			file, err := b.m.Encode()
			if err != nil {
				t.Fatal(err)
			}
			h := newHostileWorkspace(t)
			h.write(t, "model.tflite", file)
			for _, line := range []string{"inspect -v model.tflite", "--workspace ws --backbone model.tflite add photos"} {
				h.command(hostile.New(t, nil), memoryBound(file), strings.Fields(line))
			}
		})
	}
}
