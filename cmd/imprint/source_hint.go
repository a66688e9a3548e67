package main

import (
	"os"
	"path/filepath"
	"strings"
)

// sourceHint returns how to write a source that is invalid as --source SPEC, or "" if it is not
// clear what the user meant. It does not repeat a URL, which may contain a password.
func sourceHint(spec string) string {
	device := strings.TrimPrefix(spec, "camera:")
	number := strings.TrimPrefix(device, "video")
	switch scheme, _, _ := strings.Cut(strings.TrimPrefix(device, "mjpeg:"), "://"); {
	case strings.HasPrefix(device, "/dev/"):
		return "did you mean --source camera:" + device + "?"
	case number != "" && strings.Trim(number, "0123456789") == "":
		return "did you mean --source camera:/dev/video" + number + "?"
	case device == "camera":
		return "name the device, for example --source camera:/dev/video0; imprint doctor lists the cameras"
	case scheme == "rtsp":
		return "imprint reads MJPEG over HTTP, not RTSP; many cameras offer both: --source mjpeg:http://HOST/PATH"
	case (scheme == "http" || scheme == "https") && !strings.HasPrefix(spec, "mjpeg:"):
		return "for a camera that sends MJPEG, write --source mjpeg:URL; for snapshots, --source URL"
	}
	if info, err := os.Stat(spec); err == nil && info.IsDir() {
		kind := "folder:"
		if _, err := os.Stat(filepath.Join(spec, "manifest.json")); err == nil {
			kind = "tub:"
		}
		return "did you mean --source " + kind + spec + "?"
	}
	return ""
}
