package tflite

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// sharedFolder returns the folder with the reference files, and skips the test if it is
// missing.
func sharedFolder(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("IMPRINT_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "models")); err != nil {
		t.Skipf("no reference files: %v", err)
	}
	return dir
}

// sharedModels returns the reference models by their path below the folder models.
func sharedModels(t testing.TB) map[string][]byte {
	t.Helper()
	root := filepath.Join(sharedFolder(t), "models")
	models := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".tflite") {
			return err
		}
		b, err := os.ReadFile(path)
		models[filepath.ToSlash(strings.TrimPrefix(path, root+string(filepath.Separator)))] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(models) == 0 {
		t.Fatalf("no models in %s", root)
	}
	return models
}
