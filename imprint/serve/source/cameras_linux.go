package source

import (
	"errors"
	"io/fs"
	"os"
	"strings"

	"github.com/blackjack/webcam"
)

// Cameras returns the Video4Linux cameras of this machine, sorted by device file.
func Cameras() []Camera { return findCameras(os.DirFS("/"), openCamera) }

// errNoCamera means that a video device has no pixel format in videoFormats, for example because it
// encodes video.
var errNoCamera = errors.New("not a camera")

// openCamera opens a camera, checks its pixel formats and closes it. It does not start streaming.
func openCamera(path string) error {
	w, err := webcam.Open(path)
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	if err != nil {
		return errNoCamera
	}
	defer w.Close()
	offered := w.GetSupportedFormats()
	for _, f := range videoFormats {
		if _, ok := offered[f.code]; ok {
			return nil
		}
	}
	return errNoCamera
}

func findCameras(root fs.FS, open func(path string) error) (cameras []Camera) {
	names, _ := fs.Glob(root, "sys/class/video4linux/video*/name") // the pattern is valid
	for _, file := range names {
		path := "/dev/" + strings.Split(file, "/")[3]
		name, err := fs.ReadFile(root, file)
		if err != nil {
			continue
		}
		if err = open(path); !errors.Is(err, errNoCamera) {
			cameras = append(cameras, Camera{path, strings.TrimSpace(string(name)), err})
		}
	}
	return cameras
}
