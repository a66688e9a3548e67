package emulator

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// open opens the device at a port, or fails the test.
func open(tb testing.TB, d *Device) tpu.Conn {
	tb.Helper()
	c, err := NewBus(d).Open(tb.Context(), d.config.Port)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	return c
}

func TestBus(t *testing.T) {
	a := New(Config{Port: tpu.Port{Bus: 2, Path: "1"}})
	b := New(Config{Port: tpu.Port{Bus: 1, Path: "3.2"}, Application: true, Speed: tpu.HighSpeed})
	bus := NewBus(a, b)
	defer bus.Close()
	infos, err := bus.List(t.Context())
	if err != nil || len(infos) != 2 || infos[0] != b.Info() || infos[1] != a.Info() || !infos[0].Application() || !infos[1].Boot() {
		t.Errorf("got %+v, %v", infos, err)
	}
	a.Unplug()
	a.Unplug()
	if infos, _ := bus.List(t.Context()); len(infos) != 1 {
		t.Errorf("got %+v after unplugging one", infos)
	}
	if _, err := bus.Open(t.Context(), a.config.Port); !errors.Is(err, tpu.ErrNoDevice) {
		t.Errorf("unplugged: got %v, want ErrNoDevice", err)
	}
	b.Refuse(tpu.ErrPermission)
	if _, err := bus.Open(t.Context(), b.config.Port); !errors.Is(err, tpu.ErrPermission) {
		t.Errorf("refused: got %v, want ErrPermission", err)
	}
	b.Refuse(nil)
	first, second := open(t, b), open(t, b)
	if err := first.Claim(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if err := second.Claim(t.Context(), 0); !errors.Is(err, tpu.ErrBusy) {
		t.Errorf("claimed twice: got %v, want ErrBusy", err)
	}
	first.Close()
	if err := second.Claim(t.Context(), 0); err != nil {
		t.Error(err)
	}
	if _, err := first.Read(t.Context(), 0x81, make([]byte, 1024)); !errors.Is(err, tpu.ErrClosed) {
		t.Errorf("closed: got %v, want ErrClosed", err)
	}
	waiting := make(chan error)
	go func() {
		_, err := second.Read(t.Context(), 0x81, make([]byte, 1024))
		waiting <- err
	}()
	for b.Transfers() == 0 {
		time.Sleep(time.Millisecond)
	}
	b.Unplug()
	if err := <-waiting; !errors.Is(err, tpu.ErrDisconnected) {
		t.Errorf("unplugged during a read: got %v, want ErrDisconnected", err)
	}
	b.Plug()
	if _, err := second.Read(t.Context(), 0x81, make([]byte, 1024)); !errors.Is(err, tpu.ErrDisconnected) {
		t.Errorf("plugged in again: got %v from the earlier connection, want ErrDisconnected", err)
	}
}

func TestFaults(t *testing.T) {
	write := func(c tpu.Conn) (int, error) { return c.Write(t.Context(), 1, make([]byte, 8)) }
	d, _ := register(t, Config{}, small)
	c := openHost(t, d).conn
	at := d.Transfers()
	d.Script(Fault{At: 1, Kind: Fail}, Fault{At: 2, Kind: Truncate}, Fault{Endpoint: 0x01, At: 3, Kind: Stall}, Fault{At: 7, Kind: Delay, Delay: time.Millisecond})
	if at == 0 || d.Transfers() != 0 {
		t.Errorf("got %d transfers, and %d after Script", at, d.Transfers())
	}
	header := []byte{8, 0, 0, 0, 1, 0, 0, 0} // the device rejects it only once the payload has arrived
	if _, err := c.Write(t.Context(), 1, header[:2]); err != nil {
		t.Error(err)
	}
	if n, err := write(c); n != 0 || !errors.Is(err, tpu.ErrTransfer) {
		t.Errorf("fail: got %d, %v", n, err)
	}
	if n, err := c.Write(t.Context(), 1, header[2:6]); n != 2 || !errors.Is(err, tpu.ErrTransfer) {
		t.Errorf("truncate: got %d, %v", n, err)
	}
	for i := range 2 {
		if _, err := write(c); !errors.Is(err, tpu.ErrStall) {
			t.Errorf("stall, transfer %d: got %v", i, err)
		}
	}
	if _, err := c.Control(t.Context(), 2, clearFeature, 0, 1, nil); err != nil {
		t.Error(err)
	}
	if _, err := c.Write(t.Context(), 1, header[4:6]); err != nil {
		t.Errorf("cleared: got %v", err)
	}
	if _, err := c.Control(t.Context(), 0x80, getStatus, 0, 0, make([]byte, 2)); err != nil {
		t.Errorf("late: got %v", err)
	}
	d.Script(Fault{At: 0, Kind: Hang}, Fault{At: 3, Kind: Disconnect})
	for range 2 {
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
		if _, err := c.Control(ctx, 0x80, getStatus, 0, 0, make([]byte, 2)); !errors.Is(err, tpu.ErrTimeout) {
			t.Errorf("hang: got %v", err)
		}
		cancel()
	}
	if err := c.Reset(t.Context()); err != nil {
		t.Fatal(err)
	}
	c = open(t, d)
	if _, err := c.Control(t.Context(), 0x80, getStatus, 0, 0, make([]byte, 2)); err != nil {
		t.Errorf("after a reset: got %v", err)
	}
	if _, err := c.Control(t.Context(), 0x80, getStatus, 0, 0, make([]byte, 2)); !errors.Is(err, tpu.ErrDisconnected) || d.Plugged() {
		t.Errorf("disconnect: got %v", err)
	}
}
