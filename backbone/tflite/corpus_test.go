package tflite

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

// sharedModels returns the files of the reference models, by their paths below the folder
// models.
func sharedModels(t testing.TB) map[string][]byte {
	t.Helper()
	root := reference.Path(t, "models")
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
