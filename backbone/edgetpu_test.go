package backbone

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// edgeTPUOutput is the tensor that the .tpu goldens hold: what SOFTMAX reads, or
// the output.
func edgeTPUOutput(m *tflite.Model) int32 {
	at := m.Subgraphs[0].Outputs[0]
	for {
		op := producer(&m.Subgraphs[0], at)
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

// TestEdgeTPUGoldens compares uncompiled models with what an independent program
// says that the device computes.
func TestEdgeTPUGoldens(t *testing.T) {
	seen := 0
	for name, g := range goldenModels(t) {
		m := sharedModel(t, g.File)
		in, err := NewInterpreter(m, InterpreterOptions{Threads: 2, Arithmetic: EdgeTPU, Outputs: []int32{edgeTPUOutput(m)}})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		defer in.Close()
		for _, c := range g.Cases {
			golden := strings.TrimSuffix(c.Input, ".in") + ".tpu"
			want, err := os.ReadFile(sharedPath(t, "golden", name) + "/" + golden)
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			seen++
			copy(in.Input(0), sharedFile(t, "golden", name, c.Input))
			if err := in.Invoke(context.Background()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(in.Output(0), want) {
				n, most := difference(in.Output(0), want)
				t.Errorf("%s/%s: %d of %d bytes differ, by up to %d", name, golden, n, len(want), most)
			}
		}
	}
	if seen == 0 {
		t.Error("no golden")
	}
	t.Logf("%d goldens", seen)
}
