package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestWrite compares the built-in embeddings with the model's embeddings of the photos.
func TestWrite(t *testing.T) {
	photos := reference.Path(t, "train")
	path := filepath.Join(t.TempDir(), "generic.u8")
	if err := write(photos, path, builtin.GenericCount); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if want := bytes.Join(builtin.Generic(), nil); !bytes.Equal(got, want) {
		t.Errorf("got %d bytes that differ from the %d built-in bytes", len(got), len(want))
	}
	if err := write(t.TempDir(), path, 1); err == nil {
		t.Error("without photos: got no error")
	}
}
