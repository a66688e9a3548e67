//go:build linux

package source

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/dataset"
)

// A fakeVideo is a videoDevice that returns its frames in turn. A nil frame is a pause.
type fakeVideo struct {
	frames [][]byte
	held   int // number of buffers not yet released
	closed bool
}

var errUnplugged = errors.New("no such device")

func (v *fakeVideo) WaitForFrame(uint32) error {
	if len(v.frames) == 0 {
		return errUnplugged
	}
	if v.frames[0] == nil {
		v.frames = v.frames[1:]
	}
	return nil
}

func (v *fakeVideo) GetFrame() ([]byte, uint32, error) {
	if len(v.frames) == 0 || v.frames[0] == nil {
		return nil, 0, noFrame
	}
	f := v.frames[0]
	v.frames = v.frames[1:]
	v.held++
	return f, 0, nil
}

func (v *fakeVideo) ReleaseFrame(uint32) error { v.held--; return nil }

func (v *fakeVideo) Close() error { v.closed = true; return nil }

// fakeCamera returns a camera that opens the given devices in turn.
func fakeCamera(format videoFormat, devices ...*fakeVideo) *camera {
	return &camera{path: "fake", open: func(string, float64) (videoDevice, videoFormat, error) {
		if len(devices) == 0 {
			return nil, format, errUnplugged
		}
		d := devices[0]
		devices = devices[1:]
		return d, format, nil
	}}
}

func TestCamera(t *testing.T) {
	old, fresh := make([]byte, 16), bytes.Repeat([]byte{235, 128}, 8)
	first := &fakeVideo{frames: [][]byte{nil, old, {}, fresh, nil, old}}
	second := &fakeVideo{frames: [][]byte{fresh}}
	c := fakeCamera(videoFormat{width: 4, height: 2}, first, second)
	for i, want := range []string{"255", "0", "no such device", "255"} {
		f, err := c.Next(context.Background())
		got := fmt.Sprint(err)
		if err == nil {
			got = fmt.Sprint(f.Image.(*image.YCbCr).Y[7])
		}
		if !strings.HasSuffix(got, want) {
			t.Errorf("frame %d: got %s, want %s", i, got, want)
		}
	}
	if !first.closed || first.held != 0 {
		t.Errorf("unplugged device: got closed: %v, %d buffers held, want it closed and no buffers", first.closed, first.held)
	}
	if err := c.Close(); err != nil || !second.closed {
		t.Errorf("after Close: got closed: %v, error %v, want it closed", second.closed, err)
	}
	if _, err := c.Next(context.Background()); !errors.Is(err, errUnplugged) {
		t.Errorf("got %v, want %v", err, errUnplugged)
	}
}

func TestCameraBadFrame(t *testing.T) {
	c := fakeCamera(videoFormat{width: 4, height: 2}, &fakeVideo{frames: [][]byte{make([]byte, 15)}})
	if _, err := c.Next(context.Background()); !errors.Is(err, dataset.ErrDamaged) {
		t.Errorf("got error %v, want ErrDamaged", err)
	}
}
