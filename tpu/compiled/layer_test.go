package compiled

import (
	"runtime"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestSharedWeights reads a thousand layers that have one constant as their weights.
func TestSharedWeights(t *testing.T) {
	const layers, size = 1000, 1 << 20
	for _, kind := range []tflite.TensorType{tflite.TypeInt8, tflite.TypeUint8} {
		tensor := func(buffer uint32, shape ...int32) tflite.Tensor {
			return tflite.Tensor{Type: kind, Shape: shape, Buffer: buffer, Quantization: &tflite.Quantization{Scale: []float32{0.5}, ZeroPoint: []int64{0}}}
		}
		weights := make([]byte, size)
		weights[7] = 0x81
		m := &tflite.Model{Buffers: []tflite.Buffer{nil, weights}, OperatorCodes: []tflite.OperatorCode{{Builtin: tflite.OpFullyConnected}},
			Subgraphs: []tflite.Subgraph{{Tensors: []tflite.Tensor{tensor(0, 1, size/16), tensor(1, 16, size/16), tensor(0, 1, 16)}}}}
		for range layers {
			m.Subgraphs[0].Operators = append(m.Subgraphs[0].Operators, tflite.Operator{Inputs: []int32{0, 1}, Outputs: []int32{2}})
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		got, err := readLayers(m)
		runtime.ReadMemStats(&after)
		if err != nil {
			t.Fatal(err)
		}
		want := byte(0x81)
		if kind == tflite.TypeInt8 {
			want = 1
		}
		if w := got[layers-1].filter.Weights; len(w) != size || w[7] != want {
			t.Errorf("%v: got %d weights, %#x at 7, want %d and %#x", kind, len(w), w[7], size, want)
		}
		if n := after.TotalAlloc - before.TotalAlloc; n > 8*size {
			t.Errorf("%v: allocated %d bytes for %d of weights", kind, n, size)
		}
	}
}
