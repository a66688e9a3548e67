package bulk

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// TestTrainExamples compares the model with that of a workspace, for backbones with pictures of other
// things and without.
func TestTrainExamples(t *testing.T) {
	own := phototest.Backbone(t, "own.tflite", append(builtin.Model(), 0))
	for _, test := range []struct {
		name, backbone string
		method         classifier.Method
		photos         uint64 // of each class
		unknown        bool
	}{
		{"built-in", "", classifier.Auto, 5, true},
		{"own", own, classifier.Auto, 5, true},
		{"own, imprinted", own, classifier.Mean, 5, true},
		{"own, few photos", own, classifier.Mean, 1, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			items := phototest.Kinds(0, test.photos)
			items = append(items, dataset.Item{Path: "damaged.png", Label: items[0].Label, Content: []byte("no photo")})
			testTrainExamples(t, items, test.backbone, test.method, test.unknown)
		})
	}
}

func testTrainExamples(t *testing.T, items []dataset.Item, backbone string, method classifier.Method, unknown bool) {
	ctx := context.Background()
	w, err := imprint.Open(filepath.Join(t.TempDir(), "w"), imprint.Options{Backbone: backbone, Head: method})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Add(ctx, items, imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	e, err := Open(Options{Backbone: backbone, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	var examples []classifier.Example
	err = e.Embed(ctx, items, func(i int, m Embedding) error {
		if failed := m.Err != nil; failed != (i == len(items)-1) {
			t.Errorf("photo %d: got error %v", i, m.Err)
		} else if !failed {
			x := make([]float64, e.Backbone().Dim())
			examples = append(examples, classifier.Example{Label: items[i].Label, Norm: e.Unit(x, m.Raw), Unit: x})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	got, err := e.TrainExamples(method, examples)
	if err != nil {
		t.Fatal(err)
	}
	if has := got.Fitted.Rejection != nil; has != unknown {
		t.Errorf("the model can answer unknown: got %v, want %v", has, unknown)
	}
	for name, content := range map[string][]byte{"model.tflite": got.File, "labels.txt": got.Labels} {
		want, err := os.ReadFile(filepath.Join(filepath.Dir(w.ModelPath()), name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(content, want) {
			t.Errorf("got another %s than a workspace has", name)
		}
	}
	if e.Resize() != dataset.Crop || !e.Roots() {
		t.Errorf("got resize mode %s, square roots %v, want crop, true", e.Resize(), e.Roots())
	}
}

func TestResolveLabels(t *testing.T) {
	got, err := ResolveLabels([]string{"hat", "cafe\u0301"})
	if err != nil || got["hat"] != "hat" || got["cafe\u0301"] != "caf\u00e9" {
		t.Errorf("got %q, error %v", got, err)
	}
	if _, err := ResolveLabels([]string{"hat", "Hat"}); !errors.Is(err, imprint.ErrLabel) {
		t.Errorf("got error %v, want %v", err, imprint.ErrLabel)
	}
}
