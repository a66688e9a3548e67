package input

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A fakeSystem is a deviceSystem into which a test plugs devices.
type fakeSystem struct {
	mu      sync.Mutex
	devices map[string]*fakeDevice // by path
	opened  []string
	lists   int // number of calls of list
}

func (f *fakeSystem) list([]string) (map[string]string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lists++
	found := make(map[string]string)
	for path, d := range f.devices {
		found[path] = fmt.Sprintf("%p", d)
	}
	return found, nil
}

func (f *fakeSystem) open(path string) (device, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	d := f.devices[path]
	f.opened = append(f.opened, path)
	if d.events == nil {
		return nil, fs.ErrPermission
	}
	return d, nil
}

func (f *fakeSystem) plug(path string, codes ...uint16) *fakeDevice {
	d := &fakeDevice{codes: codes, events: make(chan event), gone: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.devices[path] = d
	return d
}

type fakeDevice struct {
	codes  []uint16
	events chan event
	gone   chan struct{}
	once   sync.Once
	// If ends is not nil, each reader of the unplugged device waits for one value from it.
	ends chan struct{}

	mu   sync.Mutex
	down map[uint16]bool
}

func (d *fakeDevice) name() string         { return "fake" }
func (d *fakeDevice) has(code uint16) bool { return slices.Contains(d.codes, code) }
func (d *fakeDevice) close()               { d.once.Do(func() { close(d.gone) }) }

func (d *fakeDevice) next() (event, error) {
	select {
	case c := <-d.events:
		return c, nil
	case <-d.gone:
		if d.ends != nil {
			<-d.ends
		}
		return event{}, unix.ENODEV
	}
}

func (d *fakeDevice) pressed() (map[uint16]bool, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.down, nil
}

// lose reports lost events and leaves the given buttons pressed.
func (d *fakeDevice) lose(pressed ...uint16) {
	d.mu.Lock()
	d.down = make(map[uint16]bool)
	for _, code := range pressed {
		d.down[code] = true
	}
	d.mu.Unlock()
	d.events <- event{lost: true}
}

func (d *fakeDevice) press(code uint16)   { d.events <- event{code: code, down: true} }
func (d *fakeDevice) release(code uint16) { d.events <- event{code: code} }

const south, tr, u = 0x130, 0x137, 22 // input-event-codes.h

func parseButtons(t *testing.T, specs ...string) []Button {
	t.Helper()
	var buttons []Button
	for _, s := range specs {
		b, err := ParseButton(s)
		if err != nil {
			t.Fatal(err)
		}
		buttons = append(buttons, b)
	}
	return buttons
}

func TestButtons(t *testing.T) {
	actor, system := new(recorder), &fakeSystem{devices: make(map[string]*fakeDevice)}
	b := &Buttons{Buttons: parseButtons(t, "BTN_SOUTH=teach:cone", "BTN_TR=reload", "KEY_U=undo", "BTN_WEST=teach:ball"), Actor: actor, Log: slog.New(slog.DiscardHandler), system: system, scanInterval: time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })

	system.plug("/dev/input/event0", 1, 2, 3) // a device that has none of the buttons
	pad := system.plug("/dev/input/event1", south, tr)
	pad.press(south)
	actor.wait(t, "press teach:cone")
	pad.press(south) // the button is already pressed
	pad.press(999)
	pad.press(tr)
	pad.release(tr)
	actor.wait(t, "press reload")
	pad.release(south)
	actor.wait(t, "release teach:cone")
	pad.release(south)

	// Unplugging must cancel the recording of a held button. A new device at the same path must
	// work.
	pad.press(south)
	actor.wait(t, "press teach:cone")
	pad.close()
	actor.wait(t, "cancel cone")
	pad = system.plug("/dev/input/event1", south, u)
	pad.press(u)
	actor.wait(t, "press undo")

	// When events are lost, the recording of a button that is no longer pressed must be canceled.
	pad.press(south)
	pad.lose(south)
	actor.wait(t, "press teach:cone")
	pad.lose()
	actor.wait(t, "cancel cone")

	// If Press fails, Release must not be called.
	actor.refuseLabel("cone")
	pad.press(south)
	pad.release(south)
	actor.wait(t, "press teach:cone")
	actor.refuseLabel("")
	pad.press(south)
	actor.wait(t, "press teach:cone")
	cancel()
	running.Wait()
	actor.wait(t, "cancel cone")
	system.mu.Lock()
	defer system.mu.Unlock()
	if n := strings.Count(fmt.Sprint(system.opened), "event0"); n != 1 {
		t.Errorf("opened a device without the buttons %d times, want once", n)
	}
}

// The reader of an unplugged device can end after another device at the same path was opened. That
// device must still have only one reader.
func TestButtonsLateReader(t *testing.T) {
	system := &fakeSystem{devices: make(map[string]*fakeDevice)}
	waitUntil := func(done func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			system.mu.Lock()
			ok := done()
			system.mu.Unlock()
			if ok {
				return
			}
		}
		t.Error("timed out")
	}
	first := system.plug("/dev/input/event1", south)
	first.ends = make(chan struct{})
	b := &Buttons{Buttons: parseButtons(t, "BTN_SOUTH=reload"), Actor: new(recorder), Log: slog.New(slog.DiscardHandler), system: system, scanInterval: time.Millisecond}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { b.Run(ctx) })

	waitUntil(func() bool { return len(system.opened) == 1 })
	first.close()
	first.ends <- struct{}{}
	waitUntil(func() bool { return len(system.opened) == 2 }) // the unplugged device is still listed
	system.plug("/dev/input/event1", south)
	waitUntil(func() bool { return len(system.opened) == 3 })
	first.ends <- struct{}{}
	system.mu.Lock()
	now := system.lists
	system.mu.Unlock()
	waitUntil(func() bool { return system.lists > now+20 })
	system.mu.Lock()
	n := len(system.opened)
	system.mu.Unlock()
	if n != 3 {
		t.Errorf("opened the second device %d times, want once", n-2)
	}
	cancel()
	running.Wait()
}

func TestParseButton(t *testing.T) {
	for s, want := range map[string]Button{
		"BTN_SOUTH=teach:cone":   {"BTN_SOUTH", south, Action{"teach", "cone"}},
		"BTN_A=teach:a=b":        {"BTN_A", south, Action{"teach", "a=b"}},
		"KEY_U=undo":             {"KEY_U", u, Action{"undo", ""}},
		"BTN_TR=remove:50 limit": {"BTN_TR", tr, Action{"remove", "50 limit"}},
	} {
		if got, err := ParseButton(s); err != nil || got != want {
			t.Errorf("%s: got %v, %v, want %v", s, got, err, want)
		}
	}
	for s, want := range map[string]error{
		"": ErrButton, "BTN_SOUTH": ErrButton, "=undo": ErrButton, "SOUTH=undo": ErrButton, "304=undo": ErrButton,
		"KEY_U=": ErrAction, "KEY_U=teach": ErrAction, "KEY_U=teach:": ErrAction, "KEY_U=explode": ErrAction,
	} {
		if got, err := ParseButton(s); !errors.Is(err, want) {
			t.Errorf("%q: got %v, %v, want %v", s, got, err, want)
		}
	}
}
