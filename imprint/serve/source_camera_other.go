//go:build !linux

package serve

import "errors"

func openVideo(path string, rate float64) (videoDevice, videoFormat, error) {
	return nil, videoFormat{}, errors.New("cameras are read on Linux only: take mjpeg:URL")
}

func isTimeout(error) bool { return false }

func errNoFrame(error) bool { return false }
