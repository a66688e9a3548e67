package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// ErrButton is wrapped when a button is named that there is not.
var ErrButton = errors.New("unusable button")

// A Button is a button or key of an input device and what it does. Those that teach are
// held.
type Button struct {
	Name   string // as Linux calls it: BTN_SOUTH, KEY_U
	Code   uint16 // and counts it
	Action Action
}

// ParseButton reads CODE=ACTION, such as BTN_SOUTH=teach:cone, BTN_TR=reload or KEY_U=undo.
// Codes are those of Linux' input-event-codes.h.
func ParseButton(s string) (Button, error) {
	name, action, ok := strings.Cut(s, "=")
	if !ok {
		return Button{}, fmt.Errorf("%w %q: it must be CODE=ACTION, as BTN_SOUTH=teach:cone", ErrButton, s)
	}
	code, ok := buttonCode(name)
	if !ok {
		return Button{}, fmt.Errorf("%w %q: %q is no button or key of Linux, as BTN_SOUTH, BTN_TR or KEY_U; evtest shows those of a device", ErrButton, s, name)
	}
	a, err := ParseAction(action)
	if err != nil {
		return Button{}, fmt.Errorf("button %s: %w", name, err)
	}
	return Button{name, code, a}, nil
}

// Buttons do actions when buttons of input devices are pressed: of gamepads, keyboards,
// and what the kernel's gpio-keys makes of pins. Devices may come and go.
type Buttons struct {
	Buttons []Button
	// Devices are the paths of those to read; none is all in /dev/input that have one of
	// the buttons.
	Devices []string
	Actor   Actor
	Log     *slog.Logger

	inputs inputSystem // nil is that of the machine
	every  time.Duration
}

// An Actor does what buttons say; Server does.
type Actor interface {
	Press(ctx context.Context, a Action) (sentence string, err error)
	Release(ctx context.Context, a Action) (sentence string, err error)
	Do(ctx context.Context, a Action) (sentence string, err error)
	CancelTeaching(label string) (Teaching, error)
}

// An inputSystem finds and opens input devices.
type inputSystem interface {
	// list gives the paths of all devices, or of those of paths that are there, each with
	// what tells it from one that had the path before.
	list(paths []string) (map[string]string, error)
	open(path string) (inputDevice, error)
}

// An inputDevice is an open one.
type inputDevice interface {
	name() string
	has(code uint16) bool
	// next waits for the next change of a button. An error is the end: of the device, or
	// because of close, which may be called from another goroutine.
	next() (buttonChange, error)
	// pressed tells which buttons are pressed now.
	pressed() (map[uint16]bool, error)
	close()
}

// A buttonChange is a button that was pressed or let go; lost means that changes before it
// were not told.
type buttonChange struct {
	code uint16
	down bool
	lost bool
}

// Run reads the devices until ctx ends, and looks for new ones all the time. It returns
// when the actions under way have ended.
func (b *Buttons) Run(ctx context.Context) {
	if b.inputs == nil {
		b.inputs = machineInputs{}
	}
	if b.every == 0 {
		b.every = time.Second
	}
	w := &watch{Buttons: b, known: make(map[string]string), failed: make(map[string]int)}
	defer w.actions.Wait()
	defer w.readers.Wait()
	again := time.NewTicker(b.every)
	defer again.Stop()
	for {
		w.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		}
		// A device whose path stays may be back already.
		w.forget()
	}
}

// watch is one Run.
type watch struct {
	*Buttons
	known   map[string]string // by path, what tells a device from the next one with it
	failed  map[string]int    // how often a path could not be opened
	told    bool              // that there is no device
	readers sync.WaitGroup
	actions sync.WaitGroup // under way

	mu    sync.Mutex
	ended []string // paths of devices whose readers have ended
}

func (w *watch) forget() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, path := range w.ended {
		delete(w.known, path)
	}
	w.ended = nil
}

// look starts a reader for each device that is new and has a button of ours.
func (w *watch) look(ctx context.Context) {
	found, err := w.inputs.list(w.Devices)
	if err != nil && !w.told {
		w.Log.Warn("input devices can't be looked for", "error", err)
		w.told = true
	}
	for path := range w.known {
		if _, ok := found[path]; !ok {
			delete(w.known, path)
			delete(w.failed, path)
		}
	}
	for path, id := range found {
		if w.known[path] == id {
			continue
		}
		d, err := w.inputs.open(path)
		if err != nil {
			// Permissions are set a moment after a device has come.
			if w.failed[path]++; w.failed[path] == 3 {
				hint := ""
				if errors.Is(err, fs.ErrPermission) {
					hint = "add the user to the group input, and log in again"
				}
				w.Log.Warn("an input device can't be read", "device", path, "error", err, "hint", hint)
			}
			continue
		}
		w.known[path] = id
		delete(w.failed, path)
		var buttons []string
		for _, button := range w.Buttons.Buttons {
			if d.has(button.Code) {
				buttons = append(buttons, button.Name+"="+button.Action.String())
			}
		}
		if buttons == nil {
			d.close()
			continue
		}
		w.told = true
		w.Log.Info("buttons", "device", path, "name", d.name(), "buttons", strings.Join(buttons, " "))
		w.readers.Go(func() {
			stop := context.AfterFunc(ctx, d.close)
			w.read(ctx, d)
			if stop() {
				d.close()
				w.Log.Warn("an input device is gone", "device", path)
			}
			w.mu.Lock()
			defer w.mu.Unlock()
			w.ended = append(w.ended, path)
		})
	}
	if len(w.known) == 0 && !w.told {
		w.Log.Warn("no input device has the buttons yet; it is looked for")
		w.told = true
	}
}

// read does what the buttons of a device say until it is gone. What is held then is
// taught no more: nobody has let it go.
func (w *watch) read(ctx context.Context, d inputDevice) {
	held := make(map[int]bool) // buttons that teach, by their place in Buttons
	defer func() {
		for i := range held {
			w.cancel(i)
		}
	}()
	for {
		c, err := d.next()
		if err != nil {
			return
		}
		if c.lost {
			now, err := d.pressed()
			if err != nil {
				return
			}
			for i := range held {
				if !now[w.Buttons.Buttons[i].Code] {
					w.cancel(i)
					delete(held, i)
				}
			}
			continue
		}
		for i, button := range w.Buttons.Buttons {
			a := button.Action
			switch {
			case button.Code != c.code || c.down == held[i]:
			case !c.down:
				delete(held, i)
				w.act(func() { w.Actor.Release(ctx, a) })
			case a.Verb != "teach":
				w.act(func() { w.Actor.Press(ctx, a) })
			default:
				// At once, so that the release can't come before.
				if _, err := w.Actor.Press(ctx, a); err == nil {
					held[i] = true
				}
			}
		}
	}
}

// act does what may take its time without holding up the next button.
func (w *watch) act(do func()) { w.actions.Go(do) }

func (w *watch) cancel(i int) { w.Actor.CancelTeaching(w.Buttons.Buttons[i].Action.Label) }
