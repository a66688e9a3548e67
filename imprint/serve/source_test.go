package serve

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

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
	p := pace{rate: 0.001}
	if err := p.wait(ctx); err != nil {
		t.Error(err)
	}
	cancel()
	if err := p.wait(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want Canceled", err)
	}
}
