package reference

import (
	"os"
	"path/filepath"
	"testing"
)

func TestPath(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "models", "a.tflite")
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("model"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"IMPRINT_REFERENCE", "IMPRINT_SHARED"} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("IMPRINT_REFERENCE", "")
			t.Setenv("IMPRINT_SHARED", t.TempDir())
			t.Setenv(name, dir)
			if got := Path(t, "models", "a.tflite"); got != path {
				t.Errorf("Path: got %s, want %s", got, path)
			}
			if got := Read(t, "models/a.tflite"); string(got) != "model" {
				t.Errorf("Read: got %q, want %q", got, "model")
			}
			if got := Glob(t, "*/*.tflite"); len(got) != 1 || got[0] != path {
				t.Errorf("Glob: got %q, want %s", got, path)
			}
		})
	}
}

func TestSkip(t *testing.T) {
	t.Setenv("IMPRINT_REFERENCE", t.TempDir())
	for name, find := range map[string]func(*testing.T){
		"path": func(t *testing.T) { Path(t, "models", "a.tflite") },
		"read": func(t *testing.T) { Read(t, "models/a.tflite") },
		"glob": func(t *testing.T) { Glob(t, "models/*.tflite") },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if !t.Skipped() {
					t.Error("the test was not skipped")
				}
			}()
			find(t)
		})
	}
}

func TestRoot(t *testing.T) {
	if _, err := os.Stat(filepath.Join(root(), "tools", "reference", "reference.go")); err != nil {
		t.Error(err)
	}
}
