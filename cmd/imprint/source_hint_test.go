package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/imprint/serve/source"
)

// TestSourceHint checks the hints for sources that are written in a form that serve does not take.
func TestSourceHint(t *testing.T) {
	folder, tub := t.TempDir(), t.TempDir()
	if err := os.WriteFile(filepath.Join(tub, "manifest.json"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ spec, want string }{
		{"/dev/video0", "did you mean --source camera:/dev/video0?"},
		{"0", "did you mean --source camera:/dev/video0?"},
		{"video2", "did you mean --source camera:/dev/video2?"},
		{"camera:1", "did you mean --source camera:/dev/video1?"},
		{"camera", "name the device"},
		{"http://me:secret@[/video", "write --source mjpeg:URL"},
		{"camera:https://me:secret@car/video", "write --source mjpeg:URL"},
		{"rtsp://car/1", "not RTSP"},
		{"mjpeg:rtsp://car/1", "not RTSP"},
		{folder, "did you mean --source folder:" + folder + "?"},
		{tub, "did you mean --source tub:" + tub + "?"},
		{"telescope:1", ""},
		{"mjpeg:http:/car", ""},
	} {
		if _, err := source.Parse(c.spec, source.Options{}); !errors.Is(err, source.ErrSpec) {
			t.Errorf("%s: got error %v, want ErrSpec", c.spec, err)
		}
		got := sourceHint(c.spec)
		if !strings.Contains(got, c.want) || c.want == "" && got != "" || strings.Contains(got, "secret") {
			t.Errorf("%s: got %q, want %q", c.spec, got, c.want)
		}
	}
}
