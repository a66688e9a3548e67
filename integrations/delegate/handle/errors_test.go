package handle_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/integrations/delegate/handle"
	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
)

func TestOptions(t *testing.T) {
	skipUnderRace(t)
	dir := t.TempDir()
	none := func() (tpu.Bus, error) { return nil, tpu.ErrNoDevice }
	library := newLibrary()
	library.Host = host.New(host.Config{USB: none})
	tests := []struct {
		name, value string
		want        error // nil if the option is accepted
	}{
		{"backbone", "", nil}, {"head", "", nil}, {"layout", "", nil}, {"resize", "", nil}, {"arithmetic", "", nil},
		{"resize", "auto", nil}, {"threads", "0", nil}, {"keep_classes", "false", nil}, {"unknown", "off", nil}, {"clock", "max", nil},
		{"device", "", nil}, {"device", "auto", nil}, {"device", "cpu", nil}, {"device", "usb:1-2", pool.ErrNotCompiled}, {"device", "usb", pool.ErrNotCompiled},
		{"backbone", "nosuch", imprint.ErrNoBackbone}, {"backbone", "/nonexistent.tflite", imprint.ErrNoBackbone},
		{"labels", "a.txt", host.ErrOption}, {"Backbone", "", host.ErrOption}, {"", "", host.ErrOption},
		{"head", "best", host.ErrOption}, {"layout", "wide", host.ErrOption}, {"resize", "zoom", host.ErrOption}, {"arithmetic", "exact", host.ErrOption},
		{"threads", "-1", host.ErrOption}, {"threads", "2000", host.ErrOption}, {"threads", "two", host.ErrOption},
		{"keep_classes", "1", host.ErrOption}, {"existing", "", host.ErrOption}, {"unknown", "0.6", host.ErrOption}, {"unknown", "NaN", host.ErrOption},
		{"none", "a\nb", imprint.ErrLabel}, {"clock", "fast", host.ErrOption}, {"device", "gpu", host.ErrOption}, {"device", "pci:0", host.ErrOption},
		{"compiled", "nosuch_edgetpu.tflite", host.ErrOption}, {"device", ":0", tpu.ErrNoDevice}, {"device", ":x", host.ErrOption},
	}
	for _, test := range tests {
		w, err := library.OpenWorkspace(ctx, filepath.Join(dir, "ws"), optionsOf(test.name, test.value))
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s=%q: got %v, want %v", test.name, test.value, err, test.want)
		}
		if err == nil {
			w.Close()
		}
	}
}

// TestPhotos adds photos that can't be read, all or in part.
func TestPhotos(t *testing.T) {
	skipUnderRace(t)
	dir := t.TempDir()
	w := openWorkspace(t, filepath.Join(dir, "ws"))
	empty, file := filepath.Join(dir, "empty"), filepath.Join(dir, "a.png")
	if err := os.Mkdir(empty, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, backbonetest.Photo(1, 1), 0o644); err != nil {
		t.Fatal(err)
	}
	sized := func(width, height int) handle.Photo {
		return handle.Photo{Label: "a", Pixels: &handle.Pixels{Width: width, Height: height, Row: func(int) []byte { return make([]byte, 3*width) }}}
	}
	good := handle.Photo{Label: "a", Path: file}
	tests := []struct {
		name   string
		photos []handle.Photo
		want   error
	}{
		{"nothing", nil, handle.ErrArgument},
		{"no form", []handle.Photo{{Label: "a"}}, handle.ErrArgument},
		{"content without a label", []handle.Photo{{Content: backbonetest.Photo(1, 1)}}, handle.ErrArgument},
		{"file without a label", []handle.Photo{{Path: file}}, dataset.ErrNoLabel},
		{"no such file", []handle.Photo{good, {Label: "a", Path: filepath.Join(dir, "b.png")}}, fs.ErrNotExist},
		{"empty folder", []handle.Photo{{Label: "a", Path: empty}}, imprint.ErrNoPhotos},
		{"damaged", []handle.Photo{{Label: "a", Content: []byte("no photo")}}, imprint.ErrNoPhotos},
		{"empty", []handle.Photo{{Label: "a", Content: []byte{}}}, imprint.ErrNoPhotos},
		{"no width", []handle.Photo{good, sized(0, 10)}, handle.ErrArgument},
		{"negative height", []handle.Photo{sized(10, -1)}, handle.ErrArgument},
		{"too wide", []handle.Photo{sized(65536, 1)}, handle.ErrArgument},
		{"too many pixels", []handle.Photo{sized(65535, 65535)}, handle.ErrArgument},
		{"bad label", []handle.Photo{{Label: "a\xff", Path: file}}, imprint.ErrLabel},
		{"one pixel", []handle.Photo{sized(1, 1)}, nil},
	}
	for _, test := range tests {
		_, err := w.Add(ctx, test.photos, nil, nil)
		if !errors.Is(err, test.want) || (err == nil) != (test.want == nil) {
			t.Errorf("%s: got %v, want %v", test.name, err, test.want)
		}
	}
	if n := must(w.Generation()); n != 1 {
		t.Errorf("got generation %d, want 1", n)
	}
	for name, change := range map[string]func() (any, error){
		"remove nothing": func() (any, error) { return w.Remove(ctx, "", nil) },
		"unknown option": func() (any, error) { return w.Retrain(ctx, optionsOf("layout", "float")) },
		"export twice":   func() (any, error) { return w.Export(ctx, "same", optionsOf("labels", "same")) },
	} {
		if _, err := change(); !errors.Is(err, handle.ErrArgument) && !errors.Is(err, host.ErrOption) {
			t.Errorf("%s: got %v, want %v or %v", name, err, handle.ErrArgument, host.ErrOption)
		}
	}
}

func TestModelErrors(t *testing.T) {
	skipUnderRace(t)
	dir := t.TempDir()
	write := func(name string, content []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	text, extractor := write("text.tflite", []byte("no model")), write("extractor.tflite", backbonetest.Extractor())
	classifier, labels := write("classifier.tflite", backbonetest.Classifier(3)), write("labels.txt", []byte("one\n"))
	for _, test := range []struct {
		path    string
		options []host.Option
		want    error
	}{
		{filepath.Join(dir, "none.tflite"), nil, imprint.ErrNoBackbone},
		{text, nil, nil}, // any error of package tflite
		{classifier, optionsOf("labels", labels), predict.ErrLabels},
		{extractor, optionsOf("embedding", "nosuch"), backbone.ErrNoEmbedding},
		{classifier, optionsOf("backbone", "x"), host.ErrOption},
	} {
		if m, err := newLibrary().OpenModel(ctx, test.path, test.options); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s: got %v, %v, want %v", test.path, m, err, test.want)
		}
	}

	m, err := newLibrary().OpenModel(ctx, extractor, nil)
	if err != nil {
		t.Fatal(err)
	}
	photo := handle.Photo{Content: backbonetest.Photo(1, 1)}
	if _, err := m.Classify(ctx, &photo); !errors.Is(err, predict.ErrNotClassifier) {
		t.Errorf("got %v, want %v", err, predict.ErrNotClassifier)
	}
	if _, err := m.Labels(); !errors.Is(err, predict.ErrNotClassifier) {
		t.Errorf("got %v, want %v", err, predict.ErrNotClassifier)
	}
	if e, err := m.Embed(ctx, &photo); err != nil || len(e) != backbonetest.Dim || must(m.EmbeddingLength()) != backbonetest.Dim {
		t.Errorf("got %d values, %v, want %d", len(e), err, backbonetest.Dim)
	}
	if size := must(m.InputSize()); size.X < 1 || size.Y < 1 {
		t.Errorf("got an input of %v", size)
	}
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if _, err := m.Embed(ctx, &photo); !errors.Is(err, handle.ErrClosed) {
		t.Errorf("got %v, want %v", err, handle.ErrClosed)
	}
}
