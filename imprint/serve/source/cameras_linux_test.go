package source

import (
	"io/fs"
	"slices"
	"testing"
	"testing/fstest"
)

func TestFindCameras(t *testing.T) {
	machine := fstest.MapFS{
		"sys/class/video4linux/video0/name":      {Data: []byte("UVC Camera\n")},
		"sys/class/video4linux/video1/name":      {Data: []byte("UVC Camera\n")}, // its metadata
		"sys/class/video4linux/video2/name":      {Data: []byte("unicam\n")},
		"sys/class/video4linux/v4l-subdev0/name": {Data: []byte("sensor\n")},
	}
	open := func(path string) error {
		return map[string]error{"/dev/video1": errNoCamera, "/dev/video2": fs.ErrPermission}[path]
	}
	got := findCameras(machine, open)
	want := []Camera{{"/dev/video0", "UVC Camera", nil}, {"/dev/video2", "unicam", fs.ErrPermission}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got := findCameras(fstest.MapFS{}, open); got != nil {
		t.Errorf("a machine without video devices has the cameras %v", got)
	}
}
