package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/tpu"
)

// A writerFunc is a function that gets what is written.
type writerFunc func(p []byte)

func (f writerFunc) Write(p []byte) (int, error) {
	f(p)
	return len(p), nil
}

// TestDetectInterrupted interrupts imprint detect after its first line. The pictures of that photo are
// written by then, so the error must not say that nothing was changed.
func TestDetectInterrupted(t *testing.T) {
	t.Chdir(t.TempDir())
	files := map[string][]byte{"net.tflite": backbonetest.Detector(2)}
	for i := range uint64(50) { // more than are read ahead
		files[fmt.Sprintf("photos/%d.png", i)] = backbonetest.Photo(1, i)
	}
	if err := os.Mkdir("photos", 0o777); err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		if err := os.WriteFile(name, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	usb := func() (tpu.Bus, error) { return nil, tpu.ErrNoUSB }
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"-o", "boxes"}, "imprint: error: interrupted; the pictures written so far stay\n"},
		{nil, "imprint: error: interrupted; nothing was changed\n"},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		var stderr strings.Builder
		args := append([]string{"imprint", "detect", "net.tflite", "photos"}, test.args...)
		status := run(ctx, args, strings.NewReader(""), writerFunc(func([]byte) { cancel() }), &stderr, usb)
		if status != exitInterrupted || stderr.String() != test.want {
			t.Errorf("%q: got status %d and %q, want %d and %q", test.args, status, &stderr, exitInterrupted, test.want)
		}
	}
	if found, err := filepath.Glob("boxes/*.boxes.jpg"); err != nil || len(found) == 0 {
		t.Errorf("got pictures %v, want at least one", found)
	}
}

// TestPictureFails checks that a picture that can't be written leaves no file, and keeps what was there.
func TestPictureFails(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "a.1.jpg", "in"), 0o777); err != nil { // a picture can't replace a folder
		t.Fatal(err)
	}
	p, err := newPictureFolder(dir, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.write("a.png", "1", []byte("picture")); err == nil {
		t.Error("a picture has replaced a folder")
	}
	if err := p.write("b.png", "1", []byte("picture")); err != nil {
		t.Error(err)
	}
	entries, err := os.ReadDir(dir)
	if len(entries) != 2 || err != nil || entries[0].Name() != "a.1.jpg" || entries[1].Name() != "b.1.jpg" {
		t.Errorf("got %v, %v, want a.1.jpg and b.1.jpg", entries, err)
	}
}
