package source

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ExampleParse() {
	s, err := Parse("mjpeg:http://user:secret@car.local:8887/video", Options{})
	fmt.Println(s, err)

	_, err = Parse("telescope:1", Options{})
	fmt.Println(err)
	// Output:
	// mjpeg:http://user:xxxxx@car.local:8887/video <nil>
	// invalid source "telescope:1": want camera:DEVICE, mjpeg:URL, the URL of a snapshot, folder:DIR, tub:DIR or none
}

func TestParse(t *testing.T) {
	for _, c := range []struct {
		spec string
		o    Options
		want string // "" means an error
	}{
		{"folder:/photos", Options{}, "folder:/photos"},
		{"folder:a:b", Options{Rate: 30}, "folder:a:b"},
		{"none", Options{}, "none"},
		{"camera:/dev/video0", Options{Rate: 30}, "camera:/dev/video0"},
		{"mjpeg:http://car:8887/video", Options{}, "mjpeg:http://car:8887/video"},
		{"mjpeg:https://me:secret@car/video?a=b", Options{}, "mjpeg:https://me:xxxxx@car/video?a=b"},
		{"tub:/car/data", Options{}, "tub:/car/data"},
		{"https://me:secret@cam/shot.jpg?a=b", Options{Rate: 0.1}, "https://me:xxxxx@cam/shot.jpg?a=b"},
		{"http:cam", Options{}, ""},
		{"http:///shot.jpg", Options{}, ""},
		{"camera:", Options{}, ""},
		{"mjpeg:car:8887/video", Options{}, ""},
		{"mjpeg:ftp://car/video", Options{}, ""},
		{"mjpeg:http:///video", Options{}, ""},
		{"folder:", Options{}, ""},
		{"folder", Options{}, ""},
		{"", Options{}, ""},
		{"none:x", Options{}, ""},
		{"telescope:1", Options{}, ""},
		{"folder:a", Options{Rate: -1}, ""},
		{"folder:a", Options{Rate: 1e6}, ""},
	} {
		s, err := Parse(c.spec, c.o)
		got := "none"
		switch {
		case err != nil && !errors.Is(err, ErrSpec):
			t.Errorf("%q: got error %v, want ErrSpec", c.spec, err)
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

// parse parses a spec that must be valid.
func parse(t *testing.T, spec string, o Options) Source {
	t.Helper()
	s, err := Parse(spec, o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// writeFiles writes files below dir and creates their folders.
func writeFiles(t *testing.T, dir string, files map[string][]byte) {
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

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}
