package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
)

func TestEmbeddingIsThePhoto(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pixels.tflite")
	if err := write(name); err != nil {
		t.Fatal(err)
	}
	file, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	b, err := backbone.Parse(file, backbone.Options{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	r := b.NewRunner(1)
	defer r.Close()
	var photo []byte
	for i := range 32 * 32 * 3 {
		photo = append(photo, byte(i*7))
	}
	copy(r.RGB(), photo)
	got, err := r.Embed(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, photo) {
		t.Errorf("got %d bytes that begin %d, want the photo's %d that begin %d", len(got), got[:4], len(photo), photo[:4])
	}
}
