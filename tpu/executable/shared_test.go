package executable_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/executable"
)

// sharedOptions returns the custom options of every compiled model among the reference files, by the model's name.
func sharedOptions(t testing.TB) map[string][]byte {
	t.Helper()
	root := reference.Path(t, "models")
	models := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, "_edgetpu.tflite") {
			return err
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		m, err := tflite.Parse(b)
		if err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimSuffix(path[len(root)+1:], "_edgetpu.tflite"))
		for _, op := range m.Subgraphs[0].Operators {
			if m.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
				models[name] = op.CustomOptions
			}
		}
		if models[name] == nil {
			t.Errorf("%s has no %s", path, executable.CustomOperator)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(models) == 0 {
		t.Fatalf("no compiled models in %s", root)
	}
	return models
}
