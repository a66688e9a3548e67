package backbone

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
)

// edgeTPUOutput returns the tensor recorded in the .tpu goldens: the input of the final
// SOFTMAX or, if there is none, the output before a final RESHAPE.
func edgeTPUOutput(m *tflite.Model) int32 {
	at, producers := m.Subgraphs[0].Outputs[0], m.Subgraphs[0].Producers()
	for {
		op := producers[at]
		code := m.OperatorCodes[m.Subgraphs[0].Operators[op].Opcode].Builtin
		switch code {
		case tflite.OpSoftmax:
			return m.Subgraphs[0].Operators[op].Inputs[0]
		case tflite.OpReshape:
			at = m.Subgraphs[0].Operators[op].Inputs[0]
		default:
			return at
		}
	}
}

// TestEdgeTPUGoldens compares the results of uncompiled models with the device results
// that an independent program predicts. With -v, the test also prints how far TensorFlow
// Lite's results differ, as in the table of docs/edgetpu-arithmetic.md.
func TestEdgeTPUGoldens(t *testing.T) {
	models := goldenModels(t)
	seen := 0
	for _, name := range slices.Sorted(maps.Keys(models)) {
		m := sharedModel(t, models[name].File)
		o := InterpreterOptions{Threads: 2, Outputs: []int32{edgeTPUOutput(m)}}
		lite, err := NewInterpreter(m, o)
		if err != nil {
			t.Fatal(err)
		}
		defer lite.Close()
		o.Arithmetic = EdgeTPU
		in, err := NewInterpreter(m, o)
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		var cases, top, codes int
		distances := make(map[int]int) // number of codes at each distance
		for _, c := range models[name].Cases {
			if testing.Short() && cases == 2 {
				break
			}
			golden := strings.TrimSuffix(c.Input, ".in") + ".tpu"
			want, err := os.ReadFile(filepath.Join(reference.Path(t, "golden", name), golden))
			if errors.Is(err, os.ErrNotExist) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for _, in := range []*Interpreter{in, lite} {
				copy(in.Input(0), reference.Read(t, "golden", name, c.Input))
				if err := in.Invoke(context.Background()); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(in.Output(0), want) {
				n, most := difference(in.Output(0), want)
				t.Errorf("%s/%s: %d of %d bytes differ, by up to %d", name, golden, n, len(want), most)
			}
			cases++
			codes += len(want)
			for i, x := range lite.Output(0) {
				distances[max(int(x), int(want[i]))-min(int(x), int(want[i]))]++
			}
			_, most := difference(lite.Output(0), want)
			best, wanted := bytes.IndexByte(lite.Output(0), slices.Max(lite.Output(0))), bytes.IndexByte(want, slices.Max(want))
			if best == wanted {
				top++
			}
			t.Logf("%s/%s: largest output is %d, in TensorFlow Lite %d; they differ by up to %d", name, golden, wanted, best, most)
		}
		if cases == 0 {
			continue
		}
		seen += cases
		line := fmt.Sprintf("| %s | %d | %d |", name, cases, top)
		for _, r := range [][2]int{{0, 0}, {1, 1}, {2, 2}, {3, 4}, {5, 8}, {9, 255}} {
			n := 0
			for d := r[0]; d <= r[1]; d++ {
				n += distances[d]
			}
			line += fmt.Sprintf(" %.2f |", 100*float64(n)/float64(codes))
		}
		t.Logf("%s %d |", line, slices.Max(slices.Collect(maps.Keys(distances))))
	}
	if seen == 0 {
		t.Error("no .tpu golden found")
	}
	t.Logf("%d goldens", seen)
}

// An adder is an accelerator. Each of its operators adds the byte in its options to the
// first input, and outputs the sum and twice the sum.
type adder struct {
	loaded []string
	err    error
}

func (a *adder) Load(options []byte, inputs, outputs []int) (CompiledOperator, error) {
	a.loaded = append(a.loaded, fmt.Sprint(options, inputs, outputs))
	return addition{a, options[0]}, a.err
}

type addition struct {
	*adder
	by byte
}

func (a addition) Run(ctx context.Context, inputs, outputs [][]byte) (string, error) {
	for i, x := range inputs[0] {
		outputs[0][i] = x + a.by
		outputs[1][i] = 2 * (x + a.by)
	}
	return fmt.Sprint("adder ", a.by), a.err
}

// compiledGraph returns a model of RELU, a compiled operator with two outputs, and an ADD
// of these outputs.
func compiledGraph() *tflite.Model {
	g := newGraph()
	in, x, y, z, out := g.tensor(nil, 1, 8), g.tensor(nil, 1, 8), g.tensor(nil, 1, 8), g.tensor(nil, 1, 8), g.tensor(nil, 1, 8)
	g.operator(tflite.OpRelu, tflite.Options{}, x, in)
	g.m.Subgraphs[0].Operators = append(g.m.Subgraphs[0].Operators, tflite.Operator{
		Opcode: g.m.OperatorCode(tflite.OpCustom, compiledCode, 1), Inputs: []int32{x}, Outputs: []int32{y, z}, CustomOptions: []byte{3},
	})
	g.operator(tflite.OpAdd, tflite.Options{}, out, y, z)
	return g.ends(in, out)
}

func TestAccelerator(t *testing.T) {
	m := compiledGraph()
	_, err := NewInterpreter(m, InterpreterOptions{})
	if !errors.Is(err, ErrCompiled) || !errors.Is(err, ErrUnsupportedOperator) {
		t.Errorf("without a device: got %v, want ErrCompiled", err)
	}
	a := new(adder)
	in, err := NewInterpreter(m, InterpreterOptions{Accelerator: a, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	clone, err := in.Clone()
	if err != nil {
		t.Fatal(err)
	}
	defer clone.Close()
	if want := []string{"[3] [8] [8 8]"}; !slices.Equal(a.loaded, want) {
		t.Errorf("got loaded operators %v, want %v", a.loaded, want)
	}
	for _, in := range []*Interpreter{in, clone} {
		copy(in.Input(0), []byte{0, 1, 2, 3, 4, 5, 6, 7})
		if err := in.Invoke(context.Background()); err != nil {
			t.Fatal(err)
		}
		if got, want := in.Output(0), []byte{9, 12, 15, 18, 21, 24, 27, 30}; !bytes.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
		if in.Device() != "adder 3" {
			t.Errorf("got device %q, want %q", in.Device(), "adder 3")
		}
	}
	a.err = errors.New("unplugged")
	if err := in.Invoke(context.Background()); !errors.Is(err, a.err) {
		t.Errorf("got error %v, want the device's error", err)
	}
	if _, err := NewInterpreter(m, InterpreterOptions{Accelerator: a}); !errors.Is(err, a.err) {
		t.Errorf("got error %v, want Load's error", err)
	}
}

func TestParseArithmetic(t *testing.T) {
	for _, want := range []Arithmetic{TFLite, EdgeTPU} {
		if got, err := ParseArithmetic(want.String()); got != want || err != nil {
			t.Errorf("%v: got %v, %v", want, got, err)
		}
	}
	if _, err := ParseArithmetic("tpu"); err == nil {
		t.Error("ParseArithmetic(\"tpu\") returned no error")
	}
}
