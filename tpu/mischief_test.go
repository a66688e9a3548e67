package tpu_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// A mischief is a way in which a bus or device breaks a transfer or another call.
type mischief uint8

const (
	refuse       mischief = iota // nothing moves, and the call fails
	lose                         // everything moves, but the call fails
	halve                        // half of the bytes move, and the rest is lost without an error
	halveAndFail                 // half of the bytes move, and the call fails
	hang                         // nothing moves until the time limit
	repeat                       // the transfer happens twice
	repeatPacket                 // a packet within the transfer is received twice
	babble                       // the device sends too much, and the data is lost
	extend                       // the device sends extra bytes after the data
	empty                        // the device sends an empty packet first
	garble                       // the device sends random bytes
	unplug                       // the device is unplugged, and plugged in again later
	move                         // the device is unplugged, and plugged into the other port later
	suspend                      // all transfers fail until the device is resumed, with its state
	forget                       // like suspend, but the core has lost its state
	freeze                       // the device answers nothing until its port is reset
	mischiefs
)

func (m mischief) String() string {
	return [...]string{"refuse", "lose", "halve", "halve and fail", "hang", "repeat", "repeat packet", "babble", "extend",
		"empty", "garble", "unplug", "move", "suspend", "forget", "freeze"}[m]
}

// A place is what a trick applies to.
type place uint8

const (
	anything place = iota
	controls
	outs
	outputs
	events
	interrupts
	lists // and the calls below
	opens
	claims
	resets
	places
)

func (p place) String() string {
	return [...]string{"any transfer", "control", "out", "output", "event", "interrupt", "list", "open", "claim", "reset"}[p]
}

// A trick breaks one call.
type trick struct {
	kind  mischief
	place place
	after int // number of calls at place that pass first
	n     uint64
}

func (t trick) String() string {
	return fmt.Sprintf("%v at %v %d (%d)", t.kind, t.place, t.after, t.n)
}

// failures are the errors that a Conn may return, with some of the kernel's.
var failures = [...]error{
	tpu.ErrTransfer, tpu.ErrStall, tpu.ErrTimeout, tpu.ErrDisconnected, tpu.ErrBusy, tpu.ErrPermission, tpu.ErrNoDevice,
	fmt.Errorf("%w: %w", tpu.ErrTransfer, unix.EHOSTUNREACH), fmt.Errorf("%w: %w", tpu.ErrTransfer, unix.EOVERFLOW),
	fmt.Errorf("%w: %w", tpu.ErrDisconnected, unix.ESHUTDOWN),
}

// delays are the times for which a device stays away.
var delays = [...]time.Duration{0, time.Millisecond, 300 * time.Millisecond, 2 * time.Second, 12 * time.Second}

// A faultyBus is a bus with one emulated device, which is at one of two ports. It plays the tricks that it is told to.
type faultyBus struct {
	tpu.Bus
	devices [2]*emulator.Device // the same device at each port

	mu        sync.Mutex
	tricks    []trick
	played    int
	at        int // the port of the device
	suspended error
	conns     map[*faultyConn]bool // open
	repeated  place                // see noteRepeat
	extra     map[uint8][]byte     // data that the device sends once more, by endpoint
}

func newFaultyBus(devices [2]*emulator.Device) *faultyBus {
	devices[1].Unplug()
	return &faultyBus{Bus: emulator.NewBus(devices[:]...), devices: devices, conns: make(map[*faultyConn]bool), extra: make(map[uint8][]byte)}
}

// take returns the trick to play on a call at place p, and false if there is none.
func (b *faultyBus) take(p place) (trick, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for i := range b.tricks {
		t := &b.tricks[i]
		if t.place != p && (t.place != anything || p >= lists) {
			continue
		}
		if t.after--; t.after < 0 {
			played := *t
			b.tricks = append(b.tricks[:i], b.tricks[i+1:]...)
			b.played++
			return played, true
		}
	}
	return trick{}, false
}

// set sets the tricks to play next. If stay is set, they come before those that were not played.
func (b *faultyBus) set(tricks []trick, stay bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !stay {
		b.tricks = nil
	}
	b.tricks = append(slices.Clone(tricks), b.tricks...)
}

// count returns the number of tricks played.
func (b *faultyBus) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.played
}

// settle ends all mischief: it plugs the device in where it was opened.
func (b *faultyBus) settle() {
	b.set(nil, false)
	b.wake()
	b.mu.Lock()
	clear(b.extra)
	b.mu.Unlock()
	b.plug(0)
}

// plug plugs the device in at a port.
func (b *faultyBus) plug(at int) {
	b.mu.Lock()
	b.at = at
	b.mu.Unlock()
	b.devices[1-at].Unplug()
	b.devices[at].Plug()
}

// leave unplugs the device, and plugs it in again later, at the other port if move is set.
func (b *faultyBus) leave(n uint64, move bool) {
	b.mu.Lock()
	at := b.at
	b.mu.Unlock()
	b.devices[at].Unplug()
	if move {
		at = 1 - at
	}
	time.AfterFunc(delays[n%uint64(len(delays))], func() { b.plug(at) })
}

// sleep suspends the device and resumes it later. All transfers in progress fail.
func (b *faultyBus) sleep(n uint64, loseState bool) {
	b.mu.Lock()
	b.suspended = failures[[...]int{3, 7, 9}[n%3]]
	var conns []*faultyConn
	for c := range b.conns {
		conns = append(conns, c)
	}
	device := b.devices[b.at]
	b.mu.Unlock()
	for _, c := range conns {
		c.interrupt()
	}
	if loseState {
		device.ResetCore()
	}
	time.AfterFunc(delays[n/3%uint64(len(delays))], b.wake)
}

func (b *faultyBus) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.suspended = nil
}

// act plays the tricks that concern the whole device. It returns false for others.
func (b *faultyBus) act(t trick) bool {
	switch t.kind {
	case unplug, move:
		b.leave(t.n, t.kind == move)
	case suspend, forget:
		b.sleep(t.n, t.kind == forget)
	case freeze:
		for _, d := range b.devices {
			d.Script(emulator.Fault{Kind: emulator.Hang})
		}
	default:
		return false
	}
	return true
}

// call plays a trick on a call that moves no data. It returns false if the call should go ahead.
func (b *faultyBus) call(ctx context.Context, p place) (error, bool) {
	b.mu.Lock()
	suspended := b.suspended
	b.mu.Unlock()
	if suspended != nil && p != lists {
		return suspended, true
	}
	t, ok := b.take(p)
	switch {
	case !ok || b.act(t):
		return nil, false
	case t.kind == hang && p == resets:
		select {
		case <-ctx.Done():
		case <-time.After(5 * time.Second): // the kernel's limit
		}
		return tpu.ErrTimeout, true
	}
	return failures[t.n%uint64(len(failures))], true
}

func (b *faultyBus) List(ctx context.Context) ([]tpu.USBInfo, error) {
	if err, ok := b.call(ctx, lists); ok {
		return nil, err
	}
	return b.Bus.List(ctx)
}

func (b *faultyBus) Open(ctx context.Context, port tpu.Port) (tpu.Conn, error) {
	if err, ok := b.call(ctx, opens); ok {
		return nil, err
	}
	conn, err := b.Bus.Open(ctx, port)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{Conn: conn, bus: b}
	c.ctx, c.interrupted = context.WithCancel(context.Background())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.conns[c] = true
	return c, nil
}

// noteRepeat records where the bus has last repeated data since the last failure, after which the driver starts anew; or
// anything if it has not. The protocol of USB prevents it.
func (b *faultyBus) noteRepeat(p place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.repeated = p
}

func (b *faultyBus) hasRepeated() place {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.repeated
}
