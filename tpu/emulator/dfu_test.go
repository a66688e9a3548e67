package emulator

import (
	"bytes"
	"errors"
	"testing"

	"github.com/imprintkit/imprint/tpu"
)

// dfuHost loads firmware into a device.
type dfuHost struct {
	t      *testing.T
	device *Device
	conn   tpu.Conn
}

func newDFUHost(t *testing.T, config Config) *dfuHost {
	t.Helper()
	h := &dfuHost{t: t, device: New(config)}
	h.reopen()
	t.Cleanup(func() { h.conn.Close() })
	return h
}

func (h *dfuHost) reopen() {
	h.t.Helper()
	var err error
	if h.conn, err = NewBus(h.device).Open(h.t.Context(), h.device.config.Port); err != nil {
		h.t.Fatal(err)
	}
}

// reset resets the port, which ends the connection, and opens the device again.
func (h *dfuHost) reset() {
	h.t.Helper()
	if err := h.conn.Reset(h.t.Context()); err != nil {
		h.t.Fatal(err)
	}
	if _, err := h.conn.Control(h.t.Context(), 0x80, getDescriptor, 0x0100, 0, make([]byte, 18)); !errors.Is(err, tpu.ErrDisconnected) {
		h.t.Errorf("after a reset: got %v, want ErrDisconnected", err)
	}
	h.conn.Close()
	h.reopen()
}

// send sends a class request with data to the device.
func (h *dfuHost) send(request uint8, value uint16, p []byte) error {
	_, err := h.conn.Control(h.t.Context(), 0x21, request, value, 0, p)
	return err
}

func (h *dfuHost) download(block int, p []byte) error { return h.send(dfuDownload, uint16(block), p) }

// downloadAll downloads an image in blocks, up to the empty block that ends it.
func (h *dfuHost) downloadAll(image []byte) {
	h.t.Helper()
	for at := 0; at < len(image); at += transferSize {
		if err := h.download(at/transferSize, image[at:min(at+transferSize, len(image))]); err != nil {
			h.t.Fatal(err)
		}
		h.wantStatus(0, dfuDownloadIdle)
	}
	if err := h.download(len(image)/transferSize+1, nil); err != nil {
		h.t.Fatal(err)
	}
	h.wantStatus(0, dfuIdle)
}

// upload reads the image back.
func (h *dfuHost) upload() (image []byte) {
	h.t.Helper()
	for block := uint16(0); ; block++ {
		p := make([]byte, transferSize)
		n, err := h.conn.Control(h.t.Context(), 0xa1, dfuUpload, block, 0, p)
		if err != nil {
			h.t.Fatal(err)
		}
		image = append(image, p[:n]...)
		if n < len(p) {
			return image
		}
	}
}

func (h *dfuHost) wantStatus(code, state byte) {
	h.t.Helper()
	p := make([]byte, 6)
	want := []byte{code, 0, 0, 0, state, 0}
	if n, err := h.conn.Control(h.t.Context(), 0xa1, dfuGetStatus, 0, 0, p); n != 6 || err != nil || !bytes.Equal(p, want) {
		h.t.Errorf("got status % x, %v, want % x", p, err, want)
	}
	if _, err := h.conn.Control(h.t.Context(), 0xa1, dfuGetState, 0, 0, p[:1]); err != nil || p[0] != state {
		h.t.Errorf("got state %d, %v, want %d", p[0], err, state)
	}
}

func (h *dfuHost) wantIdentity(want identity, after string) {
	h.t.Helper()
	if i := h.device.Info(); i.Application() != (want == application) || i.Boot() != (want == bootROM) {
		h.t.Fatalf("after %s: got %+v", after, i)
	}
}

var image = bytes.Repeat([]byte{1, 2, 3, 4, 5}, 113)

func TestDFU(t *testing.T) {
	h := newDFUHost(t, Config{})
	h.reset()
	h.wantStatus(0, dfuIdle)
	h.downloadAll(image)
	if !bytes.Equal(h.upload(), image) {
		t.Error("the image read back differs")
	}
	h.reset()
	h.wantIdentity(application, "the download")
	h.reset()
	h.wantIdentity(application, "a reset")
}

func TestDFUIncomplete(t *testing.T) {
	h := newDFUHost(t, Config{})
	if err := h.download(0, image[:transferSize]); err != nil {
		t.Error(err)
	}
	h.wantStatus(0, dfuDownloadIdle)
	h.reset()
	h.wantIdentity(bootROM, "an incomplete download")
	if err := h.send(dfuAbort, 0, nil); err != nil {
		t.Error(err)
	}
	h.wantStatus(0, dfuIdle)
	h.downloadAll(image)
}

func TestDFUErrors(t *testing.T) {
	h := newDFUHost(t, Config{})
	if err := h.download(0, nil); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("an empty image: got %v, want a stall", err)
	}
	h.wantStatus(dfuErrNotDone, dfuError)
	if err := h.download(0, image[:transferSize]); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("in the error state: got %v, want a stall", err)
	}
	if err := h.send(dfuClearStatus, 0, nil); err != nil {
		t.Error(err)
	}
	h.downloadAll(image)
	for block := range codeMemory / transferSize {
		if err := h.download(block, make([]byte, transferSize)); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.download(codeMemory/transferSize, make([]byte, 1)); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("an image that is too large: got %v, want a stall", err)
	}
	h.wantStatus(dfuErrAddress, dfuError)
}

func TestDFUDetach(t *testing.T) {
	h := newDFUHost(t, Config{})
	h.downloadAll(image)
	h.reset()
	h.wantIdentity(application, "the download")
	if err := h.download(0, image[:transferSize]); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("download to the application: got %v, want a stall", err)
	}
	if err := h.send(dfuDetach, 100, nil); err != nil {
		t.Error(err)
	}
	h.reset()
	h.wantIdentity(bootROM, "detach")
	h.wantStatus(0, dfuIdle)
	if back := h.upload(); len(back) != 0 {
		t.Errorf("got %d bytes of the earlier image, want none", len(back))
	}
}
