package backbone

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// recordedOperators has the hash of each test's outputs. When they were recorded, all
// outputs equaled TensorFlow Lite 2.9's; TestPeerOperators in tools/tflitepeer compares
// the same models with TensorFlow Lite.
//
//go:embed testdata/operators.txt
var recordedOperators string

// TestOperators compares operators with random shapes and scales with recorded results,
// which are the same on every processor and for every number of threads.
func TestOperators(t *testing.T) {
	var got strings.Builder
	tests := backbonetest.Operators(0)
	for _, name := range slices.Sorted(maps.Keys(tests)) {
		sum := sha256.Sum256(runOperators(t, name, tests[name], 1))
		if sum != sha256.Sum256(runOperators(t, name, tests[name], 3)) {
			t.Errorf("%s: results with one and with three threads differ", name)
		}
		fmt.Fprintf(&got, "%x %s\n", sum[:8], name)
	}
	recorded := strings.Split(recordedOperators, "\n")
	for _, line := range strings.Split(got.String(), "\n") {
		if !slices.Contains(recorded, line) {
			t.Errorf("not recorded: %s", line)
		}
	}
	if n := strings.Count(got.String(), "\n"); len(recorded)-1 != n {
		t.Errorf("%d tests recorded, want %d", len(recorded)-1, n)
	}
}

// runOperators returns the outputs of all runs of a test.
func runOperators(t *testing.T, name string, test backbonetest.OperatorTest, threads int) []byte {
	t.Helper()
	m, err := tflite.Parse(test.File)
	if err != nil {
		t.Fatal(err)
	}
	in, err := NewInterpreter(m, InterpreterOptions{Threads: threads})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	defer in.Close()
	var out []byte
	for _, x := range test.Inputs {
		out = append(out, runConcatenated(t, in, x)...)
	}
	return out
}

// runConcatenated runs in on x, the content of all inputs one after the other, and returns
// the outputs in the same form.
func runConcatenated(t *testing.T, in *Interpreter, x []byte) []byte {
	t.Helper()
	for i := range in.Inputs() {
		x = x[copy(in.Input(i), x):]
	}
	if len(x) > 0 {
		t.Fatalf("the input has %d bytes too many", len(x))
	}
	invoke(t, in)
	var out []byte
	for i := range in.Outputs() {
		out = append(out, in.Output(i)...)
	}
	return out
}

// TestUnusableInputs checks operators that cannot compute every input.
func TestUnusableInputs(t *testing.T) {
	for _, test := range []struct {
		name string
		code tflite.BuiltinOperator
		good []byte
		bad  []byte
		want string
	}{
		{"gather", tflite.OpGather, []byte{3, 0, 0, 0}, []byte{4, 0, 0, 0}, "index 4 in an axis of length 4"},
		{"negative index", tflite.OpGather, []byte{0, 0, 0, 0}, []byte{255, 255, 255, 255}, "index -1"},
		{"division", tflite.OpDiv, []byte{2, 0, 0, 0}, []byte{0, 0, 0, 0}, "division by zero"},
		{"floor", tflite.OpFloorDiv, []byte{2, 0, 0, 0}, []byte{0, 0, 0, 0}, "division by zero"},
	} {
		g := newGraph()
		x, y, out := g.tensor(make([]byte, 16), 4), g.tensor(nil, 1), g.tensor(nil, 4)
		if test.code == tflite.OpGather {
			g.m.Subgraphs[0].Tensors[out].Shape = []int32{1}
		}
		for i := range g.m.Subgraphs[0].Tensors {
			g.m.Subgraphs[0].Tensors[i].Type = tflite.TypeInt32
		}
		g.operator(test.code, tflite.Options{}, out, x, y)
		in, err := NewInterpreter(g.ends(y, out), InterpreterOptions{})
		if err != nil {
			t.Fatalf("%s: %v", test.name, err)
		}
		defer in.Close()
		copy(in.Input(0), test.good)
		invoke(t, in)
		if !bytes.Equal(in.Output(0)[:4], make([]byte, 4)) {
			t.Errorf("%s: got %v, want zeros", test.name, in.Output(0))
		}
		copy(in.Input(0), test.bad)
		if err := in.Invoke(t.Context()); !errors.Is(err, kernels.ErrInvalid) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got error %v, want one with %q", test.name, err, test.want)
		}
	}
}
