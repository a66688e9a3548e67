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

// FuzzLabel writes labels into files and reads them back: what checkLabel lets
// through comes back as it was.
func FuzzLabel(f *testing.F) {
	for _, s := range []string{"cone", "50 limit", "Grünfläche/日本 <&>\"", "", " a", "a\n", "a\x00b", "\xff", strings.Repeat("x", 201), "a\u2028b", "\u200b", "\ufeffa"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, label string) {
		if err := store.CheckLabel(label); err != nil {
			if !errors.Is(err, store.ErrLabel) || strings.Contains(err.Error(), "\n") || !utf8.ValidString(err.Error()) {
				t.Errorf("error %q", err)
			}
			return
		}
		lines := strings.Split(string(store.LabelLines([]string{label, "z"})), "\n")
		if len(lines) != 3 || lines[0] != "0  "+label || lines[1] != "1  z" || lines[2] != "" {
			t.Fatalf("label %q makes the lines %q", label, lines)
		}
		m := &tflite.Model{Subgraphs: []tflite.Subgraph{{Tensors: []tflite.Tensor{{Name: "scores", Shape: []int32{1, 2}}}, Outputs: []int32{0}}}}
		if err := m.SetLabels([]string{label, "z"}); err != nil {
			t.Fatalf("label %q can't be written into a model: %v", label, err)
		}
		if got, err := m.Labels(); err != nil || !slices.Equal(got, []string{label, "z"}) {
			t.Fatalf("label %q comes back from a model as %q, %v", label, got, err)
		}
	})
}
