package serve

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

// write makes files, and the folders that they are in.
func write(t testing.TB, dir string, files map[string][]byte) {
	t.Helper()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestParseSource(t *testing.T) {
	for _, c := range []struct {
		spec string
		o    SourceOptions
		want string // "" is an error
	}{
		{"folder:/photos", SourceOptions{}, "folder:/photos"},
		{"folder:a:b", SourceOptions{Rate: 30}, "folder:a:b"},
		{"none", SourceOptions{}, "none"},
		{"camera:/dev/video0", SourceOptions{Rate: 30}, "camera:/dev/video0"},
		{"mjpeg:http://car:8887/video", SourceOptions{}, "mjpeg:http://car:8887/video"},
		{"mjpeg:https://me:secret@car/video?a=b", SourceOptions{}, "mjpeg:https://me:xxxxx@car/video?a=b"},
		{"tub:/car/data", SourceOptions{}, "tub:/car/data"},
		{"camera:", SourceOptions{}, ""},
		{"mjpeg:car:8887/video", SourceOptions{}, ""},
		{"mjpeg:ftp://car/video", SourceOptions{}, ""},
		{"mjpeg:http:///video", SourceOptions{}, ""},
		{"folder:", SourceOptions{}, ""},
		{"folder", SourceOptions{}, ""},
		{"", SourceOptions{}, ""},
		{"none:x", SourceOptions{}, ""},
		{"telescope:1", SourceOptions{}, ""},
		{"folder:a", SourceOptions{Rate: -1}, ""},
		{"folder:a", SourceOptions{Rate: 1e6}, ""},
	} {
		s, err := ParseSource(c.spec, c.o)
		got := "none"
		switch {
		case err != nil && !errors.Is(err, ErrSource):
			t.Errorf("%q: %v does not wrap ErrSource", c.spec, err)
		case err != nil:
			got = ""
		case s != nil:
			got = s.String()
		}
		if got != c.want {
			t.Errorf("%q: got %q, want %q (%v)", c.spec, got, c.want, err)
		}
	}
}

// names reads a source to its end, or at most n frames.
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
	write(t, dir, map[string][]byte{"b/2.png": photo, "a/1.png": photo, "a/bad.jpg": []byte("no photo"), "c/.hidden.png": photo, "c/notes.txt": nil, "d/3.png": photo})
	once, _ := ParseSource("folder:"+dir, SourceOptions{Rate: 1000})
	if got, want := names(t, once, 10), []string{"1.png", "2.png", "3.png"}; !slices.Equal(got, want) {
		t.Errorf("once: got %q, want %q", got, want)
	}
	again, _ := ParseSource("folder:"+dir, SourceOptions{Rate: 1000, Loop: true})
	if got, want := names(t, again, 7), []string{"1.png", "2.png", "3.png", "1.png", "2.png", "3.png", "1.png"}; !slices.Equal(got, want) {
		t.Errorf("looped: got %q, want %q", got, want)
	}
}

// A folder without usable photos is an error, and no longer once there is one.
func TestFolderFilledLater(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "later")
	s, _ := ParseSource("folder:"+dir, SourceOptions{Rate: 1000, Loop: true})
	for _, step := range []struct {
		files map[string][]byte
		want  error
	}{
		{nil, os.ErrNotExist},
		{map[string][]byte{"bad.png": []byte("no photo")}, errNoPhotos},
		{map[string][]byte{"good.png": backbonetest.Photo(1, 1)}, nil},
	} {
		write(t, dir, step.files)
		if _, err := s.Next(context.Background()); !errors.Is(err, step.want) {
			t.Errorf("with %d files: got %v, want %v", len(step.files), err, step.want)
		}
	}
}

func TestPaceEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	var p pace
	if err := p.wait(ctx, time.Hour); err != nil {
		t.Error(err)
	}
	cancel()
	if err := p.wait(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}

func TestTub(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, map[string][]byte{
		"images/0_cam_image_array_.jpg": backbonetest.Photo(1, 1), "images/1_cam_image_array_.jpg": backbonetest.Photo(1, 2), "images/2_cam_image_array_.jpg": nil,
		"images/3_cam_image_array_.jpg": backbonetest.Photo(1, 3), "images/4_cam_image_array_.jpg": backbonetest.Photo(1, 4),
		"catalog_0.catalog": []byte(`{"_index": 0, "_timestamp_ms": 1795900000000, "cam/image_array": "0_cam_image_array_.jpg"}
{"_index": 1, "_timestamp_ms": 1795900000010, "cam/image_array": "1_cam_image_array_.jpg"}
{"_index": 2, "_timestamp_ms": 1795900000020, "cam/image_array": "2_cam_image_array_.jpg"}
{"_index": 3, "_timestamp_ms": 1795999999999, "cam/image_array": "3_cam_image_array_.jpg"}
{"_index": 4, "cam/image_array": "4_cam_image_array_.jpg"}
`)})
	once, _ := ParseSource("tub:"+dir, SourceOptions{Rate: 1000})
	if got, want := names(t, once, 10), []string{"0_cam_image_array_.jpg", "1_cam_image_array_.jpg", "3_cam_image_array_.jpg", "4_cam_image_array_.jpg"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}

	// As it was recorded, but for long pauses and where no time is known.
	r := newTub(dir, SourceOptions{})
	names(t, r, 1)
	var got []time.Duration
	for r.at = range r.items {
		got = append(got, r.seen())
	}
	if want := []time.Duration{10 * time.Millisecond, 10 * time.Millisecond, longestGap, time.Second / usualRate, time.Second / usualRate}; !slices.Equal(got, want) {
		t.Errorf("seen for %v, want %v", got, want)
	}
}
