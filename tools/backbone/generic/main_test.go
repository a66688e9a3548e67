package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/background"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/tools/race"
	"github.com/imprintkit/imprint/tools/reference"
)

func skipWithRaceDetector(t *testing.T) {
	if race.Enabled {
		t.Skip("no concurrency")
	}
}

// TestWrite compares the built-in embeddings with the model's embeddings of the photos.
func TestWrite(t *testing.T) {
	skipWithRaceDetector(t)
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

// TestBackgrounds compares files of package background with the embeddings of the photos and
// drawings, for the smallest models.
func TestBackgrounds(t *testing.T) {
	skipWithRaceDetector(t)
	photos, models, dir := reference.Path(t, "train"), reference.Path(t, "models"), t.TempDir()
	backbones := background.Backbones()[:2]
	if err := writeBackgrounds(photos, models, dir, backbones); err != nil {
		t.Fatal(err)
	}
	for _, b := range backbones {
		got, err := os.ReadFile(filepath.Join(dir, b.Name+".u4"))
		if err != nil {
			t.Fatal(err)
		}
		want, err := os.ReadFile(filepath.Join("../../../backbone/background", b.Name+".u4"))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: got %d bytes that differ from the %d bytes of the package; run go generate", b.Name, len(got), len(want))
		}
	}
}
