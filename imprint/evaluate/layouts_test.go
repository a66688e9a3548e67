package evaluate

import (
	"encoding/binary"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

// layer is a model of nothing but a head in a layout, behind a stored embedding.
func layer(t *testing.T, h *classifier.Head, layout classifier.Layout) *backbone.Interpreter {
	t.Helper()
	m := &tflite.Model{Version: 3, Buffers: []tflite.Buffer{nil}, Subgraphs: []tflite.Subgraph{{DebugMetadataIndex: -1}}}
	at := m.AddTensor(0, tflite.Tensor{Name: "embedding", Shape: []int32{1, 1, 1, int32(h.Dim)}, Type: tflite.TypeUint8,
		Quantization: &tflite.Quantization{Scale: []float32{setScale}, ZeroPoint: []int64{0}}})
	m.Subgraphs[0].Inputs, m.Subgraphs[0].Outputs = []int32{at}, []int32{at}
	if err := h.Append(m, at, layout, nil); err != nil {
		t.Fatal(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close() })
	return in
}

// The float layout names the winner that the head names, and so does the Coral layout but
// for ties of its 8-bit outputs, of photos asked about with the stored embeddings.
func TestLayoutsAgreeOnStoredEmbeddings(t *testing.T) {
	if testing.Short() {
		t.Skip("thousands of photos of stored sets")
	}
	const shots, draws = 5, 3
	for _, set := range []string{"clothing", "flowers17"} {
		dir := reference.Path(t, "embeddings", set)
		s, err := ReadSet(dir, dataset.Squash)
		if err != nil {
			t.Fatal(err)
		}
		raw, err := os.ReadFile(filepath.Join(dir, "emb.u8"))
		if err != nil {
			t.Fatal(err)
		}
		dim := len(s.Units[0])
		for _, test := range []struct {
			layout            classifier.Layout
			head              classifier.Method
			mostTied, mostNot float64 // of winners that differ, in %
		}{
			{classifier.Float, classifier.Auto, 0, 0},
			{classifier.Coral, classifier.Mean, 3.5, 0.5},
		} {
			tied, not, asked := 0, 0, 0
			for d := range draws {
				var examples []classifier.Example
				for c, rows := range s.Support[d] {
					for _, row := range rows[:shots] {
						examples = append(examples, classifier.Example{Label: s.Classes[c], Unit: s.Units[row], Norm: s.Norms[row]})
					}
				}
				f, err := classifier.Fit(examples, test.head, s.roots())
				if err != nil {
					t.Fatal(err)
				}
				in, scores := layer(t, f.Head, test.layout), make([]float64, len(f.Head.Labels))
				for _, row := range s.Query[d] {
					f.Head.Logits(scores, s.Units[row])
					want := classifier.ArgMax(scores)
					copy(in.Input(0), raw[row*dim:(row+1)*dim])
					if err := in.Invoke(t.Context()); err != nil {
						t.Fatal(err)
					}
					for c, out := 0, in.Output(0); c < len(scores); c++ {
						if test.layout == classifier.Float {
							scores[c] = float64(math.Float32frombits(binary.LittleEndian.Uint32(out[4*c:])))
						} else {
							scores[c] = float64(out[c])
						}
					}
					asked++
					if got := classifier.ArgMax(scores); got == want {
						continue
					} else if scores[got] == scores[want] {
						tied++
					} else {
						not++
					}
				}
			}
			t.Logf("%s, %s, %s: of %d photos %d have another winner, and %d the same in a tie", set, test.layout, test.head, asked, not, tied)
			percent := func(n int) float64 { return 100 * float64(n) / float64(asked) }
			if percent(tied) > test.mostTied || percent(not) > test.mostNot {
				t.Errorf("%s, %s, %s: another winner on %.2f %%, and in a tie %.2f %%; want at most %v and %v", set, test.layout, test.head,
					percent(not), percent(tied), test.mostNot, test.mostTied)
			}
		}
	}
}
