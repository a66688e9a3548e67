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

// layer returns a model that consists only of a head in the given layout. Its input is a stored
// embedding.
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

// An agreement counts photos, and predictions in which a layout and the float64 head differ.
type agreement struct{ photos, ties, others int }

// compareLayout classifies the query photos of one episode with a head and with a model that
// contains the head in the given layout. raw holds the embeddings of all photos.
func (a *agreement) compareLayout(t *testing.T, s *Set, raw []byte, episode, support int, layout classifier.Layout, method classifier.Method) {
	t.Helper()
	f, err := classifier.Fit(s.supportOf(episode, support, func(int) bool { return true }), method, s.roots())
	if err != nil {
		t.Fatal(err)
	}
	dim := len(s.Units[0])
	in, scores := layer(t, f.Head, layout), make([]float64, len(f.Head.Labels))
	for _, row := range s.Query[episode] {
		f.Head.Logits(scores, s.Units[row])
		want := classifier.ArgMax(scores)
		copy(in.Input(0), raw[row*dim:(row+1)*dim])
		if err := in.Invoke(t.Context()); err != nil {
			t.Fatal(err)
		}
		for c, out := 0, in.Output(0); c < len(scores); c++ {
			if layout == classifier.Float {
				scores[c] = float64(math.Float32frombits(binary.LittleEndian.Uint32(out[4*c:])))
			} else {
				scores[c] = float64(out[c])
			}
		}
		a.photos++
		if got := classifier.ArgMax(scores); got == want {
			continue
		} else if scores[got] == scores[want] {
			a.ties++
		} else {
			a.others++
		}
	}
}

// TestLayoutsAgreeOnStoredEmbeddings compares the predictions of models with the predictions of
// their float64 heads. The float layout must predict the same labels. The Coral layout may predict
// other labels where its 8-bit outputs tie.
func TestLayoutsAgreeOnStoredEmbeddings(t *testing.T) {
	if testing.Short() {
		t.Skip("classifying thousands of stored embeddings is slow")
	}
	const support, episodes = 5, 3
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
		for _, test := range []struct {
			layout            classifier.Layout
			head              classifier.Method
			maxTies, maxOther float64 // limits for differing predictions, in %
		}{
			{classifier.Float, classifier.Auto, 0, 0},
			{classifier.Coral, classifier.Mean, 3.5, 0.5},
		} {
			var a agreement
			for d := range episodes {
				a.compareLayout(t, s, raw, d, support, test.layout, test.head)
			}
			t.Logf("%s, %s, %s: of %d photos, %d get another label outside a tie and %d in a tie", set, test.layout, test.head, a.photos, a.others, a.ties)
			percent := func(n int) float64 { return 100 * float64(n) / float64(a.photos) }
			if percent(a.ties) > test.maxTies || percent(a.others) > test.maxOther {
				t.Errorf("%s, %s, %s: %.2f %% of photos get another label outside a tie and %.2f %% in a tie, want at most %v and %v", set, test.layout, test.head,
					percent(a.others), percent(a.ties), test.maxOther, test.maxTies)
			}
		}
	}
}
