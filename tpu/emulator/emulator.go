// Package emulator emulates a Coral USB Accelerator as a host sees it on the bus, with its descriptors, registers,
// framing, faults and inference outputs. Create a [Device] with [New], call [Device.Register] with the models it will
// run, and connect to it in process through [NewBus], or from a real USB stack through [ServeUSBIP] or [AttachVHCI].
//
// A Device recognizes a registered model by its instructions. It computes with the weights, multipliers and zero points
// that it receives on the bus, not with the values in the registered files. The uncompiled model gives the order of the
// layers. Without it the outputs are a fixed pattern: byte i of each output is 7i mod 256.
//
// How the chip computes some operators is not known, such as LOGISTIC and RESIZE_BILINEAR. Config.Operator computes
// them, with the values of the uncompiled model.
//
// A Device is safe for concurrent use by multiple goroutines. It starts no goroutines: the submitter of a transfer does
// the work.
package emulator

import (
	"io"
	"sync"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
)

// Config describes a device. The zero value is a SuperSpeed device in its boot ROM at port 1-1.
type Config struct {
	Port tpu.Port // zero means 1-1
	// Speed is the speed of the link. Anything but HighSpeed means SuperSpeed.
	Speed tpu.Speed
	// Application starts the device with its firmware running, as after an earlier session, instead of in its boot ROM.
	Application bool
	// Log receives errors that a device cannot report on the bus, such as unknown programs and broken framing. The
	// device is locked during the call, so Log must not call its methods.
	Log func(format string, args ...any)
	// Transcript, if not nil, receives a [tpu.TranscriptLine] for every transfer and port reset, in the order in which
	// they end. Write errors are ignored.
	Transcript io.Writer
	// Operator prepares the operators that the emulator does not know how the chip computes; package engine has one. If it
	// is nil, Register rejects models with such operators.
	Operator OperatorFunc
}

// An OperatorFunc prepares an operator of a model's main graph, given by its index. It returns a function that computes
// the operator's only output from those inputs that are not constants. The slices hold the bytes of tensors.
type OperatorFunc func(m *tflite.Model, operator int) (run func(inputs [][]byte, output []byte) error, err error)

// Device is an emulated accelerator.
type Device struct {
	config Config

	mu         sync.Mutex
	plugged    bool
	gone       chan struct{} // closed when unplugged
	identity   identity
	address    int // bus address; changes with each reset
	session    int // counts resets and unplugs, which end earlier connections
	configured bool
	claimed    *conn
	refusal    error // returned by Open, if set

	dfu       dfu
	detaching bool // DFU_DETACH was received
	registers registers
	chip      chip
	models    []*model
	endpoints [endpointCount]endpoint

	hung      bool
	faults    []Fault
	transfers int
	counts    [endpointCount]int // number of transfers by endpoint
	lines     int                // number of lines written to the transcript
}

// identity is one of the two USB identities of a device.
type identity uint8

const (
	bootROM identity = iota
	application
)

// New returns a device that is plugged in.
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

// powerOn puts the device into its power-on state.
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

// enumerate assigns an address to the device and configures it, as a host does with a new device.
func (d *Device) enumerate() {
	d.hung = false
	d.session++
	d.address = d.address%127 + 1
	d.configured = true
	d.claimed = nil
}

// Plug plugs in an unplugged device. The device starts in its boot ROM.
func (d *Device) Plug() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if !d.plugged {
		d.powerOn()
	}
}

// Unplug unplugs the device. Transfers in progress fail, and the device loses its state.
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

// Plugged reports whether the device is plugged in.
func (d *Device) Plugged() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.plugged
}

// Info describes the device as a bus currently lists it.
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

// Refuse makes every later Open fail with err, such as [tpu.ErrPermission]. If err is nil, Open succeeds again.
func (d *Device) Refuse(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.refusal = err
}

// ResetCore resets the core, as a suspended device may do: the core sleeps and has lost its program and parameters. The
// device stays connected and transfers in progress go on.
func (d *Device) ResetCore() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.chip.reset()
	d.chip.forget()
	d.endpoints[outputs].clear()
	d.endpoints[events].clear()
	d.registers.reset()
	d.registers.set(scuCtrl3, scuCtrl3AfterSession)
}

// reset resets the port if the device is plugged in.
func (d *Device) reset() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.plugged {
		d.busReset()
	}
}

// busReset resets the port. The reset starts loaded firmware, and sends a device that was told to detach back to its
// boot ROM. Otherwise the registers keep their values. Transfers in progress fail.
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

// maxPacket returns the packet size of bulk endpoints in bytes.
func (d *Device) maxPacket() int {
	if d.config.Speed == tpu.HighSpeed {
		return 512
	}
	return 1024
}

// A FaultKind says how a transfer fails.
type FaultKind uint8

// The kinds of faults. Hang lasts until the port is reset or the device is plugged in again.
const (
	Fail       FaultKind = iota // the transfer fails before it reaches the device
	Stall                       // the device refuses the transfer; a bulk endpoint stays halted until cleared
	Delay                       // the transfer is late
	Truncate                    // half of the data is lost, and the transfer ends early
	Disconnect                  // the device is unplugged
	Hang                        // the device answers neither this nor any later transfer
)

func (k FaultKind) String() string {
	return [...]string{"fail", "stall", "delay", "truncate", "disconnect", "hang"}[k]
}

// Fault makes one transfer fail.
type Fault struct {
	// At is the index of the transfer, in the order of submission since Script. If Endpoint is 0, At counts all
	// transfers. Otherwise it counts only the transfers on Endpoint, an address such as 0x81.
	At       int
	Endpoint uint8
	Kind     FaultKind
	Delay    time.Duration // duration of the delay if Kind is Delay
}

// Script replaces the pending faults and restarts the count of transfers.
func (d *Device) Script(faults ...Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = append([]Fault(nil), faults...)
	d.transfers, d.counts = 0, [endpointCount]int{}
}

// Transfers returns the number of transfers submitted since New or Script, of all types and directions.
func (d *Device) Transfers() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.transfers
}
