package predict

import (
	"errors"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestTooManyClasses checks that an output of millions of values has no labels.
func TestTooManyClasses(t *testing.T) {
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	if labels, err := labelsOf(m, new(tflite.ModelFile), "", maxClasses+1); !errors.Is(err, ErrNotClassifier) {
		t.Errorf("got %d labels and error %v, want %v", len(labels), err, ErrNotClassifier)
	}
	if labels, err := labelsOf(m, new(tflite.ModelFile), "", 2); err != nil || len(labels) != 2 || labels[1] != "class 1" {
		t.Errorf("got %q, %v, want class 0 and class 1", labels, err)
	}
}
