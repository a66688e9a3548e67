package emulator

// Addresses of the registers that have an effect (libedgetpu driver/config/beagle/beagle_csr_offsets.h). The other
// registers of the emulated blocks only store values.
const (
	credit0          = 0x1907c // CB bridge: setting and clearing this register empties the bridge's queues
	efuse            = 0x1a000 // bits 24-31: revision
	thermalWarning   = 0x1a0d4
	thermalShutdown  = 0x1a0d8
	thermalStatus    = 0x1a0dc // bits 28, 29 clear bits 30 (shutdown), 31 (warning)
	scuCtrl0         = 0x1a30c
	scuCtrl2         = 0x1a314
	scuCtrl3         = 0x1a318 // bits 8-9: power state; 22-23: requested state
	scuCtrl7         = 0x1a33c // bits 16-17: boot failures, write 1 to clear
	slaveWriteError  = 0x1a540
	slaveEnable      = 0x1a500
	slaveReadError   = 0x1a544
	masterEnable     = 0x1a600
	masterWriteError = 0x1a640
	masterReadError  = 0x1a644
	memoryTest       = 0x1a704 // bits 16-18: status, write 1 to clear

	scalarCoreRun      = 0x44018
	avDataPopRun       = 0x44158
	parameterPopRun    = 0x44198
	infeedRun          = 0x441d8
	outfeedRun         = 0x44218
	avDataPopStatus    = 0x44168
	parameterPopStatus = 0x441a8
	infeedStatus       = 0x441e0
	outfeedStatus      = 0x44220
	scalarCoreStatus   = 0x44258
	hibError           = 0x486f0
	hibFirstError      = 0x48700

	outfeedChunk   = 0x4c058 // in units of 8 bytes
	fatalControl   = 0x4c060
	fatalStatus    = 0x4c068
	topControl     = 0x4c070 // first of four, 16 bytes apart, each followed by its status
	topStatus      = 0x4c078
	descriptorMask = 0x4c148 // bit n: events of tag n
	creditCount    = 0x4c150
)

// Initial values of registers. The value of scuCtrl3 is its documented reset value. The other values are not
// documented; they come from a log of a real device (geohot/edgetpuxray connect.py).
const (
	scuCtrl3Reset        = 0x80050410 // awake
	scuCtrl3AfterSession = 0x50c5025c // asleep
)

var initialRegisters = map[uint32]uint32{
	efuse:          0x02000000,
	thermalWarning: 0x00000001,
	scuCtrl0:       0x000f0959,
	scuCtrl2:       0x00110000,
	scuCtrl3:       scuCtrl3Reset,
	scuCtrl7:       0x000c003f,
	memoryTest:     0x0070007f,
	outfeedChunk:   0x80,
}

// emptyCredits is the value of creditCount with room for 128 KiB each of instructions, inputs and parameters.
const emptyCredits = 1<<14 | 1<<14<<21 | 1<<14<<42

// Address ranges of the emulated registers: the top level, and the part of the core that hosts use.
const (
	topBase, topEnd   = 0x18000, 0x1a800
	coreBase, coreEnd = 0x40000, 0x50000
)

// registers holds the device's registers, in words of 32 bits.
type registers struct {
	top  [(topEnd - topBase) / 4]uint32
	core [(coreEnd - coreBase) / 4]uint32
}

// word returns the memory of a register, or nil if it is not emulated.
func (r *registers) word(address uint32) *uint32 {
	switch {
	case topBase <= address && address < topEnd:
		return &r.top[(address-topBase)/4]
	case coreBase <= address && address < coreEnd:
		return &r.core[(address-coreBase)/4]
	}
	return nil
}

// get reads a register. A register that is not emulated reads as 0.
func (r *registers) get(address uint32) uint32 {
	if w := r.word(address); w != nil {
		return *w
	}
	return 0
}

// set stores a register without side effects.
func (r *registers) set(address, v uint32) {
	if w := r.word(address); w != nil {
		*w = v
	}
}

func (r *registers) reset() {
	*r = registers{}
	for a, v := range initialRegisters {
		r.set(a, v)
	}
}

// asleep reports whether the core sleeps. The registers of a sleeping core cannot be accessed.
func (r *registers) asleep() bool { return r.get(scuCtrl3)>>8&3 == 2 }

// running reports whether the scalar core runs.
func (r *registers) running() bool { return !r.asleep() && r.get(scalarCoreRun) == 1 }

// reachable reports whether the firmware allows access to an address: 64-bit access if wide is set, 32-bit access
// otherwise.
func reachable(address uint32, wide bool) bool {
	switch {
	case 0x40000 <= address && address <= 0x7ffff8, 0x30000 <= address && address <= 0x3fff8:
		return wide
	case 0x19000 <= address && address <= 0x193f8, 0x18000 <= address && address <= 0x183f8, 0x1a000 <= address && address <= 0x1a7f8:
		return true
	}
	return false
}

// readRegister serves a read of one word over the bus.
func (d *Device) readRegister(address uint32) uint32 {
	r := &d.registers
	// runStatus maps control idle, run, halt, step to status idle (0), running (1), halted (4), stepping (2).
	runStatus := func(control uint32) uint32 {
		return [4]uint32{0, 1, 4, 2}[r.get(control)&3]
	}
	switch address {
	case scalarCoreStatus:
		return runStatus(scalarCoreRun)
	case avDataPopStatus:
		return runStatus(avDataPopRun)
	case parameterPopStatus:
		return runStatus(parameterPopRun)
	case infeedStatus:
		return runStatus(infeedRun)
	case outfeedStatus:
		return runStatus(outfeedRun)
	case creditCount:
		return uint32(emptyCredits & (1<<32 - 1))
	case creditCount + 4:
		return uint32(emptyCredits >> 32)
	}
	return r.get(address)
}

// writeRegister serves a write of one word over the bus, with its side effects.
func (d *Device) writeRegister(address, v uint32) {
	r := &d.registers
	old := r.get(address)
	switch address {
	case efuse:
		v = old
	case credit0:
		if v == 0 && old != 0 {
			d.chip.reset()
			d.endpoints[events].clear()
			d.endpoints[outputs].clear()
		}
	case scuCtrl3:
		v = v&^(3<<8) | old&(3<<8)
		switch v >> 22 & 3 {
		case 3:
			v = v&^(3<<8) | 2<<8
			d.sleep()
		case 2:
			v &^= 3 << 8
		}
	case memoryTest:
		v = v&^(7<<16) | old&^v&(7<<16)
	case scuCtrl7:
		v = v&^(3<<16) | old&^v&(3<<16)
	case thermalStatus:
		latched := old & (3 << 30) &^ (v & (3 << 28) << 2)
		v = v&^(0xf<<28) | latched
	case slaveEnable:
		if v == 0 {
			r.set(slaveWriteError, 0)
			r.set(slaveReadError, 0)
		}
	case masterEnable:
		if v == 0 {
			r.set(masterWriteError, 0)
			r.set(masterReadError, 0)
		}
	case fatalStatus, topStatus, topStatus + 0x10, topStatus + 0x20, topStatus + 0x30:
		v &= old
	case hibError, hibFirstError, hibError + 4, hibFirstError + 4:
		v = old
	}
	r.set(address, v)
}

// sleep puts the core to sleep, which erases its state.
func (d *Device) sleep() {
	d.registers.core = [len(d.registers.core)]uint32{}
	d.registers.set(outfeedChunk, initialRegisters[outfeedChunk])
	d.chip.reset()
	d.chip.forget()
}

// A Trouble is a condition that the chip reports on its interrupt endpoint.
type Trouble uint8

// Conditions in the order of their interrupt bits, which start at bit 1.
const (
	ThermalShutdown Trouble = iota
	BusError                // a write to an AXI slave failed
	MemoryFault             // the memory test failed
	ThermalWarning
)

// Raise makes the chip report a condition. The chip sets the condition's status register and, if the host has enabled
// the interrupt, sends the interrupt.
func (d *Device) Raise(t Trouble) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := &d.registers
	switch t {
	case ThermalShutdown:
		r.set(thermalStatus, r.get(thermalStatus)|1<<30)
	case BusError:
		r.set(slaveWriteError, 1)
	case MemoryFault:
		r.set(memoryTest, r.get(memoryTest)|1<<16)
	case ThermalWarning:
		r.set(thermalStatus, r.get(thermalStatus)|1<<31)
	}
	n := uint32(t) * 0x10
	r.set(topStatus+n, 1)
	if r.get(topControl+n)&1 != 0 {
		d.interrupt(1 << (t + 1))
	}
	d.pump()
}

// RaiseHIB makes the chip's host interface fail with the given bits of its error register, such as bit 0 for an inbound
// page fault or bit 13 for a zero-length DMA. The core stops until it is reset, and sends the fatal interrupt.
func (d *Device) RaiseHIB(bits uint32) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fatal(bits)
	d.pump()
}

// The bits of hibError that the emulator sets by itself.
const (
	hibInputConfig     = 1 << 6
	hibParameterConfig = 1 << 7
	hibInstruction     = 1 << 9
	hibZeroLength      = 1 << 13
)

// fatal stops the core with an error of the host interface.
func (d *Device) fatal(bits uint32) {
	r := &d.registers
	r.set(hibError, r.get(hibError)|bits)
	if r.get(hibFirstError) == 0 {
		r.set(hibFirstError, bits)
	}
	r.set(fatalStatus, 1)
	d.chip.reset()
	d.chip.stopped = true
	if r.get(fatalControl)&1 != 0 {
		d.interrupt(1)
	}
}

// interrupt sends a word on the interrupt endpoint.
func (d *Device) interrupt(bits uint32) {
	d.endpoints[interrupts].send([]byte{byte(bits), byte(bits >> 8), byte(bits >> 16), byte(bits >> 24)})
}
