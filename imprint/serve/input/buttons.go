// Package input performs actions when buttons and keys are pressed. Start with [ParseButton],
// which assigns an action to a button. Then [Buttons] reads gamepads, keyboards and GPIO
// buttons, and [Keys] reads a terminal. An [Actor] performs the actions.
//
// Buttons and Keys work only on Linux.
package input

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Buttons reads input devices: gamepads, keyboards, and GPIO pins through the kernel's
// gpio-keys driver. Devices may be plugged in and unplugged at any time.
type Buttons struct {
	Buttons []Button
	// Devices lists the device files to read. If it is empty, Run reads all devices in /dev/input
	// that have at least one of the buttons.
	Devices []string
	Actor   Actor
	Log     *slog.Logger

	system       deviceSystem  // nil means this machine
	scanInterval time.Duration // 0 means one second
}

// A deviceSystem finds and opens input devices.
type deviceSystem interface {
	// list returns the identity of each device by its path. If paths is not empty, it lists only
	// the paths that exist. An identity changes when another device takes over the path.
	list(paths []string) (map[string]string, error)
	open(path string) (device, error)
}

// A device is an open input device.
type device interface {
	name() string
	has(code uint16) bool
	// next waits for the next event. It fails when the device is unplugged or closed.
	next() (event, error)
	// pressed returns the codes of the buttons that are pressed now.
	pressed() (map[uint16]bool, error)
	// close may be called during next.
	close()
}

// An event reports that a button was pressed or released or, if lost is true, that the kernel
// dropped events.
type event struct {
	code uint16
	down bool
	lost bool
}

// Run reads the devices, and looks for new ones every second, until ctx ends. It returns
// when all running actions have finished.
func (b *Buttons) Run(ctx context.Context) {
	m := &monitor{buttons: b.Buttons, paths: b.Devices, actor: b.Actor, log: b.Log, system: b.system, known: make(map[string]*reader), failed: make(map[string]int)}
	if m.system == nil {
		m.system = machine{}
	}
	defer m.actions.Wait()
	defer m.readers.Wait()
	rescan := time.NewTicker(cmp.Or(b.scanInterval, time.Second))
	defer rescan.Stop()
	for {
		m.scan(ctx)
		select {
		case <-ctx.Done():
			return
		case <-rescan.C:
		}
	}
}

// A monitor is the state of one call of Buttons.Run.
type monitor struct {
	buttons []Button
	paths   []string
	actor   Actor
	log     *slog.Logger
	system  deviceSystem

	known    map[string]*reader // the last reader of each path
	failed   map[string]int     // number of consecutive failures to open each path
	reported bool               // suppresses further warnings that no device was found
	readers  sync.WaitGroup
	actions  sync.WaitGroup
}

// A reader reads one device until it is unplugged.
type reader struct {
	id string
	// ended is set when the device is unplugged, because a device can come back with the same
	// path and identity.
	ended atomic.Bool
}

// scan starts a reader for each new device that has at least one of the buttons.
func (m *monitor) scan(ctx context.Context) {
	found, err := m.system.list(m.paths)
	if err != nil && !m.reported {
		m.log.Warn("can't list input devices", "error", err)
		m.reported = true
	}
	for path := range m.known {
		if _, ok := found[path]; !ok {
			delete(m.known, path)
			delete(m.failed, path)
		}
	}
	for path, id := range found {
		if r := m.known[path]; r != nil && r.id == id && !r.ended.Load() {
			continue
		}
		d, err := m.system.open(path)
		if err != nil {
			m.openFailed(path, err)
			continue
		}
		m.known[path] = &reader{id: id}
		delete(m.failed, path)
		m.start(ctx, path, d, m.known[path])
	}
	if len(m.known) == 0 && !m.reported {
		m.log.Warn("no input device has these buttons yet; waiting for one")
		m.reported = true
	}
}

// openFailed logs only the third failure in a row, because udev sets a device's permissions
// shortly after it appears.
func (m *monitor) openFailed(path string, err error) {
	if m.failed[path]++; m.failed[path] != 3 {
		return
	}
	hint := ""
	if errors.Is(err, fs.ErrPermission) {
		hint = "add the user to the group input, then log in again"
	}
	m.log.Warn("can't read input device", "device", path, "error", err, "hint", hint)
}

// start starts reading a device in the background, or closes the device if it has none of the
// buttons.
func (m *monitor) start(ctx context.Context, path string, d device, r *reader) {
	var has []string
	for _, b := range m.buttons {
		if d.has(b.Code) {
			has = append(has, b.Name+"="+b.Action.String())
		}
	}
	if has == nil {
		d.close()
		return
	}
	m.reported = true
	m.log.Info("reading buttons", "device", path, "name", d.name(), "buttons", strings.Join(has, " "))
	m.readers.Go(func() {
		stop := context.AfterFunc(ctx, d.close)
		m.read(ctx, d)
		if stop() {
			d.close()
			m.log.Warn("input device unplugged", "device", path)
		}
		r.ended.Store(true)
	})
}

// read performs the actions of a device's buttons until the device is unplugged. It then cancels
// the recordings of buttons that are still held.
func (m *monitor) read(ctx context.Context, d device) {
	held := make(map[int]bool) // indices of held buttons with the verb teach
	defer func() {
		for i := range held {
			m.cancel(i)
		}
	}()
	for {
		e, err := d.next()
		if err != nil {
			return
		}
		if e.lost {
			if m.resync(d, held) != nil {
				return
			}
			continue
		}
		for i, b := range m.buttons {
			switch {
			case b.Code != e.code || e.down == held[i]:
			case !e.down:
				delete(held, i)
				m.actions.Go(func() { m.actor.Release(ctx, b.Action) })
			case b.Action.Verb != "teach":
				m.actions.Go(func() { m.actor.Press(ctx, b.Action) })
			default:
				// Press must not run in the background, because Release could then come first.
				if m.actor.Press(ctx, b.Action) == nil {
					held[i] = true
				}
			}
		}
	}
}

// resync cancels the recording of a button if the button's release was lost.
func (m *monitor) resync(d device, held map[int]bool) error {
	now, err := d.pressed()
	if err != nil {
		return err
	}
	for i := range held {
		if !now[m.buttons[i].Code] {
			m.cancel(i)
			delete(held, i)
		}
	}
	return nil
}

func (m *monitor) cancel(i int) { m.actor.Cancel(m.buttons[i].Action.Label) }
