package imprint

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// FuzzLabel checks that a label that CheckLabel allows is read back unchanged from labels.txt
// and from a model.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"cone", "50 limit", "Grünfläche/日本 <&>\"", "", " a", "a\n", "a\x00b", "\xff", strings.Repeat("x", 201), "a\u2028b", "\u200b", "\ufeffa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, label string) {
		if err := store.CheckLabel(label); err != nil {
			if !errors.Is(err, store.ErrLabel) || strings.Contains(err.Error(), "\n") || !utf8.ValidString(err.Error()) {
				t.Errorf("got error %q, want one line that wraps %v", err, store.ErrLabel)
			}
			return
		}
		lines := strings.Split(string(store.LabelLines([]string{label, "z"})), "\n")
		if len(lines) != 3 || lines[0] != "0  "+label || lines[1] != "1  z" || lines[2] != "" {
			t.Fatalf("label %q: got lines %q in labels.txt", label, lines)
		}
		m := &tflite.Model{Subgraphs: []tflite.Subgraph{{Tensors: []tflite.Tensor{{Name: "scores", Shape: []int32{1, 2}}}, Outputs: []int32{0}}}}
		if err := m.SetLabels([]string{label, "z"}); err != nil {
			t.Fatalf("label %q: write the model: %v", label, err)
		}
		if got, err := m.Labels(); err != nil || !slices.Equal(got, []string{label, "z"}) {
			t.Fatalf("label %q: got %q, %v from the model", label, got, err)
		}
	})
}
