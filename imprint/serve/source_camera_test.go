//go:build linux

package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/dataset"
)

// A fakeVideo gives its frames in turn; each nil is a pause.
type fakeVideo struct {
	frames [][]byte
	held   int // buffers that have not been released
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

// fakeCamera opens the devices in turn.
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
		t.Errorf("the device that is gone: closed %v, %d buffers held", first.closed, first.held)
	}
	if err := c.Close(); err != nil || !second.closed {
		t.Errorf("closed %v, %v", second.closed, err)
	}
	if _, err := c.Next(context.Background()); !errors.Is(err, errUnplugged) {
		t.Errorf("got %v, want %v", err, errUnplugged)
	}
}

func TestCameraBadFrame(t *testing.T) {
	c := fakeCamera(videoFormat{width: 4, height: 2}, &fakeVideo{frames: [][]byte{make([]byte, 15)}})
	if _, err := c.Next(context.Background()); !errors.Is(err, dataset.ErrDamaged) {
		t.Errorf("got %v, want ErrDamaged", err)
	}
}

func TestWithHuffmanTables(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if got := withHuffmanTables(whole); !bytes.Equal(got, whole) {
		t.Errorf("a picture with tables became %d bytes, was %d", len(got), len(whole))
	}
	tables := huffmanTables()
	if len(tables) == 0 || bytes.Count(whole, tables) != 1 {
		t.Fatalf("%d bytes of tables are not in the picture", len(tables))
	}
	bare := bytes.Replace(whole, tables, nil, 1)
	if _, err := jpeg.Decode(bytes.NewReader(bare)); err == nil {
		t.Fatal("image/jpeg decodes a photo without tables")
	}
	if _, err := jpeg.Decode(bytes.NewReader(withHuffmanTables(bare))); err != nil {
		t.Error(err)
	}
	for n := range len(bare) {
		withHuffmanTables(bare[:n])
	}
}
