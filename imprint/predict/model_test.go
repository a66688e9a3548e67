package predict_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// TestModel classifies photos in two forms in several goroutines, and compares the results with File.
func TestModel(t *testing.T) {
	ctx := context.Background()
	path := phototest.Backbone(t, "c.tflite", backbonetest.Classifier(5))
	photos := phototest.Kinds(0, 1)
	var want [][]predict.Score
	if err := predict.File(ctx, path, predict.Options{Top: 2}, photos, func(r predict.Result) error {
		want = append(want, r.Top)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	m, err := predict.Open(path, predict.Options{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	if got, want := m.Labels(), []string{"base 0", "base 1", "base 2", "base 3", "base 4"}; !slices.Equal(got, want) {
		t.Errorf("got labels %q, want %q", got, want)
	}
	if w, h := m.InputSize(); w < 1 || h < 1 {
		t.Errorf("got an input of %d×%d pixels", w, h)
	}
	var wait sync.WaitGroup
	for i, p := range photos {
		wait.Go(func() {
			f, err := dataset.Open(p, dataset.DefaultLimits())
			if err != nil {
				t.Error(err)
				return
			}
			photo, err := f.Decode()
			if err != nil {
				t.Error(err)
				return
			}
			encoded, err := m.ClassifyFile(ctx, f, 2)
			decoded, err2 := m.Classify(ctx, photo.Image, 2)
			if err := errors.Join(err, err2); err != nil || !reflect.DeepEqual(encoded.Top, want[i]) || !reflect.DeepEqual(decoded.Top, want[i]) {
				t.Errorf("%s: got %v and %v, error %v, want %v", p.Path, encoded.Top, decoded.Top, err, want[i])
			}
		})
	}
	wait.Wait()
}
