package source

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// names reads at most n frames of a source and returns their file names.
func names(t *testing.T, s Source, n int) []string {
	t.Helper()
	var names []string
	for range n {
		f, err := s.Next(context.Background())
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, filepath.Base(f.Name))
	}
	return names
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	photo := backbonetest.Photo(1, 1)
	writeFiles(t, dir, map[string][]byte{"b/2.png": photo, "a/1.png": photo, "a/bad.jpg": []byte("no photo"), "c/.hidden.png": photo, "c/notes.txt": nil, "d/3.png": photo})
	once := parse(t, "folder:"+dir, Options{Rate: 1000})
	if got, want := names(t, once, 10), []string{"1.png", "2.png", "3.png"}; !slices.Equal(got, want) {
		t.Errorf("once: got %q, want %q", got, want)
	}
	loop := parse(t, "folder:"+dir, Options{Rate: 1000, Loop: true})
	if got, want := names(t, loop, 7), []string{"1.png", "2.png", "3.png", "1.png", "2.png", "3.png", "1.png"}; !slices.Equal(got, want) {
		t.Errorf("looped: got %q, want %q", got, want)
	}
}

// TestFolderFilledLater checks that Next fails for a folder without photos, and works once a
// photo has been added.
func TestFolderFilledLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	s := parse(t, "folder:"+dir, Options{Rate: 1000, Loop: true})
	for _, step := range []struct {
		files map[string][]byte
		want  error
	}{
		{nil, os.ErrNotExist},
		{map[string][]byte{"bad.png": []byte("no photo")}, errNoPhotos},
		{map[string][]byte{"good.png": backbonetest.Photo(1, 1)}, nil},
	} {
		writeFiles(t, dir, step.files)
		if _, err := s.Next(context.Background()); !errors.Is(err, step.want) {
			t.Errorf("with %d files: got %v, want %v", len(step.files), err, step.want)
		}
	}
}

func TestPaceCanceled(t *testing.T) {
	var p pace
	if err := p.wait(context.Background(), time.Hour); err != nil {
		t.Error(err)
	}
	if err := p.wait(canceled(), time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want Canceled", err)
	}
}

func TestTub(t *testing.T) {
	dir := t.TempDir()
	writeFiles(t, dir, map[string][]byte{
		"images/0_cam_image_array_.jpg": backbonetest.Photo(1, 1), "images/1_cam_image_array_.jpg": backbonetest.Photo(1, 2), "images/2_cam_image_array_.jpg": nil,
		"images/3_cam_image_array_.jpg": backbonetest.Photo(1, 3), "images/4_cam_image_array_.jpg": backbonetest.Photo(1, 4),
		"catalog_0.catalog": []byte(`{"_index": 0, "_timestamp_ms": 1795900000000, "cam/image_array": "0_cam_image_array_.jpg"}
{"_index": 1, "_timestamp_ms": 1795900000010, "cam/image_array": "1_cam_image_array_.jpg"}
{"_index": 2, "_timestamp_ms": 1795900000020, "cam/image_array": "2_cam_image_array_.jpg"}
{"_index": 3, "_timestamp_ms": 1795999999999, "cam/image_array": "3_cam_image_array_.jpg"}
{"_index": 4, "cam/image_array": "4_cam_image_array_.jpg"}
`)})
	once := parse(t, "tub:"+dir, Options{Rate: 1000})
	if got, want := names(t, once, 10), []string{"0_cam_image_array_.jpg", "1_cam_image_array_.jpg", "3_cam_image_array_.jpg", "4_cam_image_array_.jpg"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// A tub is replayed at its recorded rate, except for long pauses and unknown times.
	r := newTub(dir, Options{})
	names(t, r, 1)
	var got []time.Duration
	for r.next = range r.items {
		got = append(got, r.duration())
	}
	if want := []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, longestGap, time.Second / defaultRate, time.Second / defaultRate}; !slices.Equal(got, want) {
		t.Errorf("photos shown for %v, want %v", got, want)
	}
}
