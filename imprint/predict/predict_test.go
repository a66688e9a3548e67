package predict_test

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

func TestFileErrors(t *testing.T) {
	cut := phototest.Backbone(t, "cut.tflite", backbonetest.Classifier(3)[:3000])
	noOutput := phototest.Backbone(t, "none.tflite", changed(t, func(m *tflite.Model) { m.Subgraphs[0].Outputs = nil }))
	tests := []struct {
		name, model string
		want        error
	}{
		{"missing", filepath.Join(t.TempDir(), "none.tflite"), os.ErrNotExist},
		{"folder", t.TempDir(), tflite.ErrNotRegular},
		{"cut", cut, tflite.ErrCorrupt},
		{"text", phototest.Backbone(t, "text.tflite", []byte("not a model, just a text")), tflite.ErrCorrupt},
		{"no output", noOutput, backbone.ErrNoEmbedding},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			err := predict.File(context.Background(), test.model, predict.Options{Top: 1, Threads: 1}, phototest.Kinds(0, 1), func(predict.Result) error { return nil })
			if !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
		})
	}
}

func TestFile(t *testing.T) {
	n := 0
	err := predict.File(context.Background(), phototest.Backbone(t, "c.tflite", backbonetest.Classifier(5)), predict.Options{Top: 2}, phototest.Kinds(0, 1), func(r predict.Result) error {
		n++
		if len(r.Top) != 2 || r.Label[:5] != "base " {
			t.Errorf("got %+v, want the best 2 of the model's own labels", r)
		}
		return nil
	})
	if err != nil || n != 4 {
		t.Errorf("got %d results, error %v, want 4", n, err)
	}
}

// changed returns the extractor after a change.
func changed(t *testing.T, change func(*tflite.Model)) []byte {
	t.Helper()
	m, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		t.Fatal(err)
	}
	change(m)
	b, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestResultJSON(t *testing.T) {
	tests := []struct {
		r    predict.Result
		want string
	}{
		{predict.Result{Path: "a.png", Label: "x", Score: 0.75, Top: []predict.Score{{"x", 0.75}}, Device: "cpu", Elapsed: 1500000},
			`{"path":"a.png","label":"x","score":0.75,"top":[{"label":"x","score":0.75}],"device":"cpu","ms":1.5}`},
		{predict.Result{Path: "a.png", Err: errors.New("bad")}, `{"path":"a.png","error":"bad"}`},
	}
	for _, test := range tests {
		if got, err := json.Marshal(test.r); err != nil || string(got) != test.want {
			t.Errorf("got %s, %v, want %s", got, err, test.want)
		}
	}
}
