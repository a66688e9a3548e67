package source

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"
)

// videoFormats lists the supported pixel formats, best first. JPEG needs the least bus
// bandwidth, and most frames need no decoding.
var videoFormats = []struct {
	code webcam.PixelFormat
	jpeg bool
}{{fourCC("MJPG"), true}, {fourCC("JPEG"), true}, {fourCC("YUYV"), false}}

func fourCC(s string) webcam.PixelFormat {
	return webcam.PixelFormat(s[0]) | webcam.PixelFormat(s[1])<<8 | webcam.PixelFormat(s[2])<<16 | webcam.PixelFormat(s[3])<<24
}

const (
	// videoBuffers is the number of buffers. With several buffers, the kernel can fill one while
	// another is copied.
	videoBuffers = 4
	// videoWidth and videoHeight are the preferred size. Backbones scale down anything
	// larger.
	videoWidth, videoHeight = 640, 480
)

// openVideo opens a Video4Linux camera and starts streaming.
func openVideo(path string, rate float64) (_ videoDevice, format videoFormat, err error) {
	w, err := webcam.Open(path)
	if err != nil {
		return nil, format, err
	}
	defer func() {
		if err != nil {
			w.Close()
		}
	}()
	offered := w.GetSupportedFormats()
	for _, f := range videoFormats {
		if _, ok := offered[f.code]; !ok {
			continue
		}
		width, height := nearestSize(w.GetSupportedFrameSizes(f.code))
		code, _, _, err := w.SetImageFormat(f.code, width, height)
		if err != nil {
			return nil, format, err
		}
		if code != f.code {
			continue
		}
		if rate > 0 {
			_ = w.SetFramerate(float32(rate)) // an error means that the camera's rate is fixed
		}
		if err := w.SetBufferCount(videoBuffers); err != nil {
			return nil, format, err
		}
		if err := w.StartStreaming(); err != nil {
			return nil, format, err
		}
		return w, videoFormat{f.jpeg, int(width), int(height)}, nil
	}
	var names []string
	for _, name := range offered {
		names = append(names, name)
	}
	slices.Sort(names)
	return nil, format, fmt.Errorf("it offers neither MJPEG nor YUYV, only: %s", strings.Join(names, ", "))
}

// nearestSize returns the size in sizes that is nearest to 640×480.
func nearestSize(sizes []webcam.FrameSize) (width, height uint32) {
	width, height = videoWidth, videoHeight
	best := -1
	for _, s := range sizes {
		w, h := nearestStep(videoWidth, s.MinWidth, s.MaxWidth, s.StepWidth), nearestStep(videoHeight, s.MinHeight, s.MaxHeight, s.StepHeight)
		off := abs(int(w)-videoWidth) + abs(int(h)-videoHeight)
		if w > 0 && h > 0 && w%2 == 0 && (best < 0 || off < best) {
			width, height, best = w, h, off
		}
	}
	return width, height
}

// nearestStep rounds v down to the nearest of least, least+step, …, most. The result is never below
// least.
func nearestStep(v, least, most, step uint32) uint32 {
	v = min(max(v, least), most)
	if step > 1 {
		v -= (v - least) % step
	}
	return v
}

func abs(v int) int { return max(v, -v) }

func isTimeout(err error) bool {
	var timeout *webcam.Timeout
	return errors.As(err, &timeout) || errors.Is(err, unix.EINTR)
}

func isNoFrame(err error) bool { return errors.Is(err, unix.EAGAIN) }
