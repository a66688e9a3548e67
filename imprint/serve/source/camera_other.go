//go:build !linux

package source

import "errors"

func openVideo(path string, rate float64) (videoDevice, videoFormat, error) {
	return nil, videoFormat{}, errors.New("local cameras need Linux; use mjpeg:URL instead")
}

// Cameras returns nil: local cameras need Linux.
func Cameras() []Camera { return nil }

func isTimeout(error) bool { return false }

func isNoFrame(error) bool { return false }
