package tflite

import (
	"archive/zip"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// zipFile returns a zip archive of files, given as names and contents in turn.
func zipFile(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, err := w.Create(files[i])
		if err == nil {
			_, err = f.Write([]byte(files[i+1]))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestReadModel(t *testing.T) {
	file, err := smallModel().Encode()
	if err != nil {
		t.Fatal(err)
	}
	model := string(file)
	cut := zipFile(t, "model.tflite", model)
	for _, test := range []struct {
		name   string
		zip    []byte
		labels []string
		err    error
	}{
		{"quantized", zipFile(t, "model.tflite", model, "labels.txt", "0 Class 1\n1 Class 2\n"), []string{"Class 1", "Class 2"}, nil},
		{"Edge TPU", zipFile(t, "model_edgetpu.tflite", model, "labels.txt", "0 a b\n1 c\n"), []string{"a b", "c"}, nil},
		{"float", zipFile(t, "model_unquant.tflite", model, "labels.txt", "0 a\n"), []string{"a"}, nil},
		{"folder and macOS", zipFile(t, "x/", "", "x/model.tflite", model, "__MACOSX/x/._model.tflite", "fork", "x/labels.txt", "a\nb\n"), []string{"a", "b"}, nil},
		{"no labels", zipFile(t, "model.tflite", model), nil, nil},
		{"labels not UTF-8", zipFile(t, "model.tflite", model, "labels.txt", "\xff"), nil, nil},
		{"labels too large", zipFile(t, "model.tflite", model, "labels.txt", strings.Repeat("x\n", 1<<20)), nil, nil},
		{"web", zipFile(t, "model.json", "{}", "weights.bin", "w"), nil, ErrNoModel},
		{"two", zipFile(t, "a.tflite", model, "b.tflite", model), nil, ErrNoModel},
		{"bomb", zipFile(t, "model.tflite", strings.Repeat("\x00", MaxFileSize+1)), nil, ErrTooLarge},
		{"cut", cut[:len(cut)-30], nil, ErrCorrupt},
	} {
		t.Run(test.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "export.zip")
			if err := os.WriteFile(path, test.zip, 0o644); err != nil {
				t.Fatal(err)
			}
			f, err := ReadModel(path)
			if !errors.Is(err, test.err) {
				t.Fatalf("got error %v, want %v", err, test.err)
			}
			if err == nil && (!bytes.Equal(f.Model, file) || !slices.Equal(f.Labels, test.labels)) {
				t.Errorf("got a model of %d bytes and labels %q, want %d bytes and %q", len(f.Model), f.Labels, len(file), test.labels)
			}
		})
	}
}

// TestLabelsNextToModel checks that the label file named like the model takes precedence.
func TestLabelsNextToModel(t *testing.T) {
	dir := t.TempDir()
	file, err := smallModel().Encode()
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		return path
	}
	model := put("cats_edgetpu.tflite", string(file))
	for _, step := range []struct {
		file, content string
		want          []string
	}{
		{"readme.txt", "no\nlabels\n", nil},
		{"labels.txt", "a\nb\n", []string{"a", "b"}},
		{"cats.txt", "0 c\n1 d\n", []string{"c", "d"}},
		{"cats_edgetpu.txt", "e\n", []string{"e"}},
	} {
		put(step.file, step.content)
		f, err := ReadModel(model)
		if err != nil || !slices.Equal(f.Labels, step.want) {
			t.Errorf("with %s: got labels %q, error %v, want %q", step.file, f.Labels, err, step.want)
		}
	}
}

func TestParseLabels(t *testing.T) {
	for _, test := range []struct {
		content string
		want    []string
	}{
		{"cat\ndog", []string{"cat", "dog"}},
		{"\ufeffcat\r\ndog\r\n\r\n", []string{"cat", "dog"}},
		{"0 cat\n1 dog\n", []string{"cat", "dog"}},
		{"0: cat\n1: dog\n", []string{"cat", "dog"}},
		{"0  person\n2  car\n", []string{"person", "class 1", "car"}},
		{"50 limit\n60 limit\n", []string{"50 limit", "60 limit"}},
		{"0 limit\n30 limit\n", []string{"0 limit", "30 limit"}},
		{"0  a\n0  b\n", []string{"0  a", "0  b"}},
		{"0\n1\n", []string{"0", "1"}},
		{"7up\ncola\n", []string{"7up", "cola"}},
		{"0  a\n99999999999999999999  b\n", []string{"0  a", "99999999999999999999  b"}},
		{"0  a\n70000  b\n", []string{"0  a", "70000  b"}},
	} {
		if got, err := parseLabels([]byte(test.content)); err != nil || !slices.Equal(got, test.want) {
			t.Errorf("%q: got %q, error %v, want %q", test.content, got, err, test.want)
		}
	}
	for _, bad := range []string{"", "\n\n", "\xff"} {
		if _, err := parseLabels([]byte(bad)); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%q: got error %v, want ErrCorrupt", bad, err)
		}
	}
}

// FuzzReadZip reads damaged archives and checks that results are within the limits.
func FuzzReadZip(f *testing.F) {
	f.Add(zipFile(f, "model.tflite", "TFL3", "labels.txt", "0 a\n1 b\n"))
	f.Add(zipFile(f, "x/model.tflite", "TFL3", "__MACOSX/x/._model.tflite", ""))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := readZip(b); err == nil && (len(m.Model) > MaxFileSize || len(m.Labels) > 1<<20) {
			t.Errorf("got %d bytes and %d labels", len(m.Model), len(m.Labels))
		}
	})
}

// FuzzParseLabels reads any content as labels.
func FuzzParseLabels(f *testing.F) {
	f.Add([]byte("0 cat\n1 dog\n"))
	f.Add([]byte("0  person\n2  car\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if labels, err := parseLabels(b); err == nil && (len(labels) == 0 || len(labels) > len(b)+maxLabels) {
			t.Errorf("got %d labels", len(labels))
		}
	})
}

// FuzzMetadata reads any content as metadata, and rewrites what can be read. The result
// must be readable too.
func FuzzMetadata(f *testing.F) {
	m := describedModel(f)
	seed, _ := m.MetadataEntry(MetadataName)
	f.Add(seed)
	f.Fuzz(func(t *testing.T, b []byte) {
		m := smallModel()
		m.SetMetadataEntry(MetadataName, b)
		_, described := m.Describe()
		if err := m.SetLabels([]string{"a", "b", "c"}); err != nil {
			t.Fatal(err)
		}
		if _, err := m.Describe(); described == nil && err != nil && !errors.Is(err, ErrTooLarge) {
			t.Errorf("rewritten metadata: %v", err)
		}
		if got, err := m.Labels(); described == nil && err != nil && !errors.Is(err, ErrTooLarge) || err == nil && !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("got labels %q, error %v", got, err)
		}
	})
}
