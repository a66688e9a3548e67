package source

import (
	"testing"

	"github.com/blackjack/webcam"
	"golang.org/x/sys/unix"
)

var noFrame error = unix.EAGAIN

func TestNearestSize(t *testing.T) {
	discrete := func(w, h uint32) webcam.FrameSize {
		return webcam.FrameSize{MinWidth: w, MaxWidth: w, MinHeight: h, MaxHeight: h}
	}
	for _, c := range []struct {
		name  string
		sizes []webcam.FrameSize
		w, h  uint32
	}{
		{"none offered", nil, 640, 480},
		{"a webcam", []webcam.FrameSize{discrete(1920, 1080), discrete(640, 480), discrete(320, 240)}, 640, 480},
		{"without 640×480", []webcam.FrameSize{discrete(320, 180), discrete(640, 360), discrete(1280, 720)}, 640, 360},
		{"odd", []webcam.FrameSize{discrete(641, 480), discrete(160, 120)}, 160, 120},
		{"steps", []webcam.FrameSize{{MinWidth: 32, MaxWidth: 2592, StepWidth: 2, MinHeight: 32, MaxHeight: 1944, StepHeight: 2}}, 640, 480},
		{"large steps", []webcam.FrameSize{{MinWidth: 48, MaxWidth: 4096, StepWidth: 48, MinHeight: 32, MaxHeight: 2160, StepHeight: 100}}, 624, 432},
		{"small", []webcam.FrameSize{{MinWidth: 16, MaxWidth: 96, StepWidth: 16, MinHeight: 16, MaxHeight: 96, StepHeight: 16}}, 96, 96},
		{"nonsense", []webcam.FrameSize{{}}, 640, 480},
	} {
		if w, h := nearestSize(c.sizes); w != c.w || h != c.h {
			t.Errorf("%s: got %d×%d, want %d×%d", c.name, w, h, c.w, c.h)
		}
	}
}
