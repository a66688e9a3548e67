// Package emulator is a Coral USB Accelerator in software: the device as a host sees it on the bus, down to descriptors,
// registers, framing and faults, and with the answers that the chip would give. Make a [Device] with New, register the
// models it may be asked to run, and reach it in process through a [Bus], or from a real USB stack through a [Server]
// that speaks USB/IP.
//
// The device works from what arrives on the bus. A registered package tells it which program a stream of instructions
// is and what the program moves; the weights, multipliers and zero points it computes with are read from the parameter
// bytes and the instruction words it was sent. The package's uncompiled twin tells the order of the layers; without one
// the outputs are a fixed pattern: byte i of each is 7i mod 256.
//
// All methods of a Device may be called from several goroutines. A Device starts none: a transfer is worked on by
// whoever submits it.
package emulator

import (
	"io"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// Config says what kind of device to make. The zero value is a cold SuperSpeed device in port 1-1.
type Config struct {
	Port tpu.Port // where it is plugged in; 1-1 when zero
	// Speed of the link: SuperSpeed, the default, or HighSpeed.
	Speed tpu.Speed
	// Application starts the device with its firmware running, as an earlier session left it, not in the boot ROM.
	Application bool
	// Log is told, in words, of what a device has no other way to tell: programs it does not know, broken framing.
	// It is called with the device locked and must not call it.
	Log func(format string, args ...any)
	// Transcript is given a line, a tpu.TranscriptLine, for every transfer that a host makes and for every reset of the
	// port, in the order in which they end; nil for none. Its errors are ignored.
	Transcript io.Writer
}

// Device is one accelerator. It is made plugged in.
type Device struct {
	config Config

	mu         sync.Mutex
	plugged    bool
	gone       chan struct{} // closed when it is unplugged
	identity   identity
	address    int // as the bus numbers it; a new one after each reset
	session    int // counts resets and unplugs: what was opened before is dead
	configured bool
	claimed    *conn
	refusal    error // of Open, when set

	dfu       dfu
	detaching bool // DFU_DETACH was received
	registers registers
	chip      chip
	models    []*model
	endpoints [endpointCount]endpoint

	hung      bool
	faults    []Fault
	transfers int
	counts    [endpointCount]int // of them, by endpoint
	lines     int                // of the transcript
}

// identity is what the device shows itself as.
type identity uint8

const (
	bootROM identity = iota
	application
)

// New makes a device as config says.
func New(config Config) *Device {
	if config.Port == (tpu.Port{}) {
		config.Port = tpu.Port{Bus: 1, Path: "1"}
	}
	if config.Speed != tpu.HighSpeed {
		config.Speed = tpu.SuperSpeed
	}
	d := &Device{config: config}
	d.powerOn()
	if config.Application {
		d.identity = application
		d.registers.set(scuCtrl3, scuCtrl3AfterSession)
	}
	return d
}

// powerOn makes the device what it is when it gets power.
func (d *Device) powerOn() {
	d.plugged = true
	d.gone = make(chan struct{})
	d.identity = bootROM
	d.dfu = dfu{}
	d.detaching = false
	d.registers.reset()
	d.chip.reset()
	d.chip.forget()
	d.enumerate()
}

// enumerate is what the host does to a device that is new on its port.
func (d *Device) enumerate() {
	d.hung = false
	d.session++
	d.address = d.address%127 + 1
	d.configured = true
	d.claimed = nil
}

// Plug puts an unplugged device back into its port: cold, waiting for firmware.
func (d *Device) Plug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.plugged {
		d.powerOn()
	}
}

// Unplug pulls the device: transfers under way fail, and power is lost.
func (d *Device) Unplug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unplug()
}

func (d *Device) unplug() {
	if d.plugged {
		d.plugged = false
		close(d.gone)
		d.session++
		d.claimed = nil
		d.abort(disconnected)
	}
}

// Plugged reports whether the device is in its port.
func (d *Device) Plugged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plugged
}

// Info says how the device shows itself at present.
func (d *Device) Info() tpu.USBInfo {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.info()
}

func (d *Device) info() tpu.USBInfo {
	i := tpu.USBInfo{Port: d.config.Port, Address: d.address, Vendor: tpu.BootVendor, Product: tpu.BootProduct, Speed: d.config.Speed}
	if d.identity == application {
		i.Vendor, i.Product = tpu.Vendor, tpu.Product
	}
	return i
}

// Refuse makes every later opening fail with err, such as tpu.ErrPermission; nil allows them again.
func (d *Device) Refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = err
}

// reset resets the port from outside.
func (d *Device) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plugged {
		d.busReset()
	}
}

// busReset is a reset of the port. It is the moment at which firmware that was loaded begins to run, and at which a
// device that was told to detach returns to its boot ROM. Registers survive; whatever was under way does not.
func (d *Device) busReset() {
	d.abort(failed)
	d.transcribe(tpu.TranscriptLine{Reset: true})
	d.chip.reset()
	d.chip.forget()
	switch {
	case d.identity == bootROM && d.dfu.complete:
		d.identity = application
		d.registers.reset()
	case d.identity == application && d.detaching:
		d.identity = bootROM
		d.dfu = dfu{}
	}
	d.detaching = false
	d.enumerate()
}

func (d *Device) logf(format string, args ...any) {
	if d.config.Log != nil {
		d.config.Log(format, args...)
	}
}

// maxPacket is the largest packet of a bulk endpoint, in bytes.
func (d *Device) maxPacket() int {
	if d.config.Speed == tpu.HighSpeed {
		return 512
	}
	return 1024
}

// A FaultKind is a way in which a transfer goes wrong.
type FaultKind uint8

// The faults. Hang lasts until the port is reset or the device is plugged in again.
const (
	Fail       FaultKind = iota // the transfer fails on the wire, and the device saw nothing of it
	Stall                       // the device refuses it; a bulk endpoint stays halted until it is cleared
	Delay                       // the transfer is late
	Truncate                    // half of the data is lost, and the transfer ends short
	Disconnect                  // the device is unplugged
	Hang                        // neither this transfer nor any later one is answered
)

func (k FaultKind) String() string {
	return [...]string{"fail", "stall", "delay", "truncate", "disconnect", "hang"}[k]
}

// Fault is something that goes wrong at one transfer.
type Fault struct {
	// At is the number of the transfer, in order of submission since Script, from 0; of those on Endpoint, an address
	// such as 0x81, unless that is 0.
	At       int
	Endpoint uint8
	Kind     FaultKind
	Delay    time.Duration // how late; Delay only
}

// Script replaces the faults to come, and begins to count transfers anew.
func (d *Device) Script(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append([]Fault(nil), faults...)
	d.transfers, d.counts = 0, [endpointCount]int{}
}

// Transfers is the number of transfers submitted since New or Script: control, bulk and interrupt, both ways.
func (d *Device) Transfers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.transfers
}
