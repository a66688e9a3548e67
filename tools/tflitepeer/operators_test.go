package tflitepeer

import (
	"bytes"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestPeerOperators compares operators with random shapes and scales: codes and integers
// bit for bit, float32 with a tolerance.
func TestPeerOperators(t *testing.T) {
	p := peer(t)
	for seed := range uint64(3) {
		for name, test := range backbonetest.Operators(seed) {
			path := filepath.Join(t.TempDir(), "model.tflite")
			if err := os.WriteFile(path, test.File, 0o644); err != nil {
				t.Fatal(err)
			}
			theirs, err := runFresh(t, p, path, test)
			if err != nil {
				t.Errorf("%s, seed %d: %v", name, seed, err)
				continue
			}
			compareOperators(t, name, seed, test, theirs)
		}
	}
}

// runFresh runs a test in the library. Each of imprint's runs starts with empty variables, so a
// model with variables gets a new process for each run.
func runFresh(t *testing.T, p Peer, path string, test backbonetest.OperatorTest) (outputs [][]byte, err error) {
	t.Helper()
	m, err := tflite.Parse(test.File)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(m.Subgraphs[0].Tensors, func(t tflite.Tensor) bool { return t.IsVariable }) {
		return p.Run(t.Context(), path, test.Inputs)
	}
	for _, in := range test.Inputs {
		out, err := p.Run(t.Context(), path, [][]byte{in})
		if err != nil {
			return nil, err
		}
		outputs = append(outputs, out...)
	}
	return outputs, nil
}

// compareOperators runs a test with this project and compares the outputs with the
// library's.
func compareOperators(t *testing.T, name string, seed uint64, test backbonetest.OperatorTest, theirs [][]byte) {
	t.Helper()
	m, err := tflite.Parse(test.File)
	if err != nil {
		t.Fatal(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Threads: 2})
	if err != nil {
		t.Errorf("%s, seed %d: %v", name, seed, err)
		return
	}
	defer in.Close()
	for run, x := range test.Inputs {
		for i := range in.Inputs() {
			x = x[copy(in.Input(i), x):]
		}
		if err := in.Invoke(t.Context()); err != nil {
			t.Errorf("%s, seed %d: %v", name, seed, err)
			return
		}
		want := theirs[run]
		for i, info := range in.Outputs() {
			got := in.Output(i)
			if len(got) > len(want) {
				t.Errorf("%s, seed %d, output %v: the library's output is shorter", name, seed, info.Shape)
				return
			}
			if !equal(got, want[:len(got)], info.Type == tflite.TypeFloat32) {
				t.Errorf("%s, seed %d, output %v: got\n%v, want\n%v", name, seed, info, got, want[:len(got)])
				return
			}
			want = want[len(got):]
		}
		if len(want) > 0 {
			t.Errorf("%s, seed %d: the library's outputs have %d more bytes", name, seed, len(want))
		}
	}
}

// equal compares bytes, or float32 values with a tolerance.
func equal(got, want []byte, real bool) bool {
	if !real {
		return bytes.Equal(got, want)
	}
	x, y := floatsIn(got), floatsIn(want)
	for i := range x {
		if math.Abs(x[i]-y[i]) > 1e-4*(1+math.Abs(y[i])) {
			return false
		}
	}
	return true
}
