package predict_test

import (
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

func TestFileErrors(t *testing.T) {
	cut := phototest.Backbone(t, "cut.tflite", backbonetest.Classifier(3)[:3000])
	noOutput := phototest.Backbone(t, "none.tflite", backbonetest.Changed(backbonetest.Extractor(), func(m *tflite.Model) { m.Subgraphs[0].Outputs = nil }))
	tests := []struct {
		name, model string
		want        error
	}{
		{"missing", filepath.Join(t.TempDir(), "none.tflite"), os.ErrNotExist},
		{"folder", t.TempDir(), tflite.ErrNotRegular},
		{"cut", cut, tflite.ErrCorrupt},
		{"text", phototest.Backbone(t, "text.tflite", []byte("not a model but a text")), tflite.ErrCorrupt},
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

// TestFileLabels checks that File reads labels from the given file, the model's archive or a
// file next to the model.
func TestFileLabels(t *testing.T) {
	model := backbonetest.Extractor()
	var archive bytes.Buffer
	w := zip.NewWriter(&archive)
	for name, content := range map[string]string{"model.tflite": string(model), "labels.txt": numbered(backbonetest.Dim, "zipped")} {
		f, err := w.Create(name)
		if err == nil {
			_, err = f.Write([]byte(content))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	plain := phototest.Backbone(t, "m.tflite", model)
	zipped := phototest.Backbone(t, "export.zip", archive.Bytes())
	near := phototest.Backbone(t, "near.tflite", model)
	write := func(path, content string) string {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(filepath.Join(filepath.Dir(near), "near.txt"), numbered(backbonetest.Dim, "next"))
	classifier, err := tflite.Parse(backbonetest.Classifier(4))
	if err != nil {
		t.Fatal(err)
	}
	classifier.Metadata, classifier.Tail = nil, nil // and so the labels
	bare, err := classifier.Encode()
	if err != nil {
		t.Fatal(err)
	}
	unnamed, few, foreign := phototest.Backbone(t, "m.tflite", bare), phototest.Backbone(t, "few.tflite", bare), phototest.Backbone(t, "few.tflite", model)
	for _, path := range []string{few, foreign} {
		write(filepath.Join(filepath.Dir(path), "labels.txt"), "of\nanother\nmodel\n")
	}
	file := write(filepath.Join(t.TempDir(), "names"), numbered(backbonetest.Dim, "given"))
	short := write(filepath.Join(t.TempDir(), "names"), "a\nb\n")
	for _, test := range []struct {
		name, model, labels, want string
		err                       error
	}{
		{"none", unnamed, "", "class ", nil},
		{"of an extractor", plain, "", "", predict.ErrNotClassifier},
		{"archive", zipped, "", "zipped ", nil},
		{"next to it", near, "", "next ", nil},
		{"of another model", few, "", "class ", nil},
		{"of an extractor's neighbour", foreign, "", "", predict.ErrNotClassifier},
		{"file", zipped, file, "given ", nil},
		{"too few", plain, short, "", predict.ErrLabels},
		{"missing", plain, file + "none", "", os.ErrNotExist},
	} {
		t.Run(test.name, func(t *testing.T) {
			err := predict.File(context.Background(), test.model, predict.Options{Top: 1, Labels: test.labels}, phototest.Kinds(0, 1), func(r predict.Result) error {
				if !strings.HasPrefix(r.Label, test.want) {
					t.Errorf("got label %q, want %s…", r.Label, test.want)
				}
				return r.Err
			})
			if !errors.Is(err, test.err) {
				t.Errorf("got error %v, want %v", err, test.err)
			}
		})
	}
}

// numbered returns a labels file with n names in Teachable Machine's format.
func numbered(n int, name string) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%d %s %d\n", i, name, i)
	}
	return b.String()
}

func TestResultJSON(t *testing.T) {
	tests := []struct {
		r    predict.Result
		want string
	}{
		{predict.Result{Path: "a.png", Label: "x", Score: 0.75, Top: []predict.Score{{"x", 0.75}}, Device: "cpu", Elapsed: 1500000},
			`{"path":"a.png","label":"x","score":0.75,"top":[{"label":"x","score":0.75}],"unknown":false,"device":"cpu","ms":1.5}`},
		{predict.Result{Path: "a.png", Err: errors.New("bad")}, `{"path":"a.png","error":"bad"}`},
	}
	for _, test := range tests {
		if got, err := json.Marshal(test.r); err != nil || string(got) != test.want {
			t.Errorf("got %s, %v, want %s", got, err, test.want)
		}
	}
}
