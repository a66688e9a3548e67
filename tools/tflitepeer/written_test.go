package tflitepeer

import (
	"encoding/binary"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestPeerReadsWrittenModels trains classes and runs the written models of both layouts in the library. It checks
// that their scores match the Workspace's for the same photos.
func TestPeerReadsWrittenModels(t *testing.T) {
	t.Run("rendered", func(t *testing.T) {
		dir := t.TempDir()
		for kind := range uint64(5) {
			folder := filepath.Join(dir, "photos", fmt.Sprint("kind ", kind))
			if err := os.MkdirAll(folder, 0o755); err != nil {
				t.Fatal(err)
			}
			for n := range uint64(18) {
				if err := os.WriteFile(filepath.Join(folder, fmt.Sprintf("%02d.png", n)), backbonetest.Photo(kind, n), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		model := filepath.Join(dir, "extractor.tflite")
		if err := os.WriteFile(model, backbonetest.Extractor(), 0o644); err != nil {
			t.Fatal(err)
		}
		compareWritten(t, model, filepath.Join(dir, "photos"), 4, 12)
	})
	for _, model := range []string{
		"mobilenet_v1_1.0_224_quant_embedding_extractor", "mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant", "tf2_mobilenet_v2_1.0_224_ptq",
	} {
		t.Run(model, func(t *testing.T) {
			compareWritten(t, reference.Path(t, "models/"+model+".tflite"), reference.Path(t, "datasets/clothing"), 3, 7)
		})
	}
}

// compareWritten trains on the first support photos of each label in folder and compares the scores of the next query
// photos.
func compareWritten(t *testing.T, model, folder string, support, query int) {
	p := peer(t)
	all, _, err := dataset.Walk([]string{folder}, "")
	if err != nil {
		t.Fatal(err)
	}
	var training, queries []dataset.Item
	seen := make(map[string]int)
	for _, it := range all {
		switch n := seen[it.Label]; {
		case n < support:
			training = append(training, it)
		case n < support+query:
			queries = append(queries, it)
		}
		seen[it.Label]++
	}
	if len(queries) < 60 {
		t.Fatalf("%d photos, want 60 or more", len(queries))
	}
	for _, layout := range []classifier.Layout{classifier.Float, classifier.Coral} {
		k, err := imprint.Open(filepath.Join(t.TempDir(), "workspace"), imprint.Options{Backbone: model, Layout: layout})
		if err != nil {
			t.Fatal(err)
		}
		defer k.Close()
		if _, err := k.Add(t.Context(), training, imprint.AddOptions{}); err != nil {
			t.Fatal(err)
		}
		s, err := k.Snapshot()
		if err != nil {
			t.Fatal(err)
		}
		labels := s.Labels
		b := k.Backbone()
		var inputs [][]byte
		for _, it := range queries {
			photo, err := dataset.ReadFile(it.Path, dataset.DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			rgb := make([]byte, 3*b.Width*b.Height)
			if err := k.Settings().Resize.Resize(rgb, photo.Image, b.Width, b.Height); err != nil {
				t.Fatal(err)
			}
			inputs = append(inputs, rgb)
		}
		outputs, err := p.Run(t.Context(), k.ModelPath(), inputs)
		if err != nil {
			t.Fatal(err)
		}
		i, largest := 0, 0.0
		err = k.Classify(t.Context(), queries, 0, func(r predict.Result) error {
			if r.Err != nil {
				return r.Err
			}
			theirs := scores(outputs[i], len(labels))
			for _, s := range r.Top {
				largest = max(largest, math.Abs(s.Score-theirs[slices.Index(labels, s.Label)]))
			}
			if got := labels[classifier.ArgMax(theirs)]; got != r.Label {
				t.Errorf("%s, %s layout: the library predicts %s (%v), imprint %s", r.Path, layout, got, theirs, r.Label)
			}
			i++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s layout: %d photos, scores differ by at most %.2g", layout, i, largest)
		if largest > 1e-5 {
			t.Errorf("%s layout: scores differ by %v, want at most 1e-5", layout, largest)
		}
	}
}

// scores returns the n scores in an output. They are float32, or uint8 with a scale of 1/256.
func scores(output []byte, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		if len(output) == n {
			v[i] = float64(output[i]) / 256
		} else {
			v[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(output[4*i:])))
		}
	}
	return v
}
