package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/tools/backbone/mobilenet"
)

func TestWriteRefuses(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short.f32")
	if err := os.WriteFile(short, make([]byte, 400), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, weights string
		want          error
	}{
		{"no file", filepath.Join(dir, "none.f32"), fs.ErrNotExist},
		{"too few weights", short, mobilenet.ErrWeights},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			model := filepath.Join(dir, "model.tflite")
			if err := write(tt.weights, model); !errors.Is(err, tt.want) {
				t.Errorf("got error %v, want %v", err, tt.want)
			}
			if _, err := os.Stat(model); err == nil {
				t.Error("wrote a model despite the error")
			}
		})
	}
}
