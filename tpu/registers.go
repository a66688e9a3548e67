package tpu

import (
	"encoding/binary"
	"fmt"
	"time"
)

// register is the address of a control register. Registers below 0x40000 have 32 bits, the others 64 (libedgetpu
// driver/config/beagle/beagle_csr_offsets.h and driver/usb/usb_ml_commands.cc).
type register uint32

const (
	regCredit         register = 0x1907c // gcbb_credit0
	regEfuse          register = 0x1a000 // omc0_00: revision in the top byte
	regThermalClock   register = 0x1a0d0 // omc0_d0: bit 7 clocks the sensor
	regThermalWarn    register = 0x1a0d4 // omc0_d4
	regThermalStop    register = 0x1a0d8 // omc0_d8
	regThermal        register = 0x1a0dc // omc0_dc
	regPhy            register = 0x1a30c // scu_ctrl_0
	regClockGate      register = 0x1a314 // scu_ctrl_2
	regPower          register = 0x1a318 // scu_ctrl_3
	regBootFailure    register = 0x1a33c // scu_ctr_7
	regSlaveMonitor   register = 0x1a500 // slv_abm_en
	regSlaveWriteErr  register = 0x1a540
	regSlaveReadErr   register = 0x1a544
	regSlaveMask      register = 0x1a558
	regMasterMonitor  register = 0x1a600 // mst_abm_en
	regMasterWriteErr register = 0x1a640
	regMasterReadErr  register = 0x1a644
	regMasterMask     register = 0x1a658
	regRAMTest        register = 0x1a704 // rambist_ctrl_1

	regDeepSleep     register = 0x40020
	regScalarPC      register = 0x44028
	regScalarControl register = 0x44018
	regScalarStatus  register = 0x44258
	regScalarError   register = 0x44260
	regHIBError      register = 0x486f0
	regHIBFirstError register = 0x48700
	regTile          register = 0x48788 // tileconfig0
	regIdle          register = 0x4a000
	regOutfeedChunk  register = 0x4c058 // in units of 8 bytes
	regFatalControl  register = 0x4c060
	regFatalStatus   register = 0x4c068
	regTopControl    register = 0x4c070 // first of four, 16 bytes apart
	regTopStatus     register = 0x4c078 // first of four, 16 bytes apart
	regEvents        register = 0x4c148 // descr_ep
	regEndpoints     register = 0x4c160 // multi_bo_ep
)

// The run control registers of the parts of the chip, in libedgetpu's order: first the scalar core, then the tiles.
// Call addressTiles before writing to the registers of the tiles.
var (
	runCore  = [...]register{regScalarControl, 0x44158, 0x44198, 0x441d8, 0x44218}
	runTiles = [...]register{0x400c0, 0x40150, 0x40110, 0x40250, 0x40298, 0x402e0, 0x40328, 0x40190, 0x401d0, 0x40210}
)

const (
	allTiles = 0x7f
	run      = 1
	halt     = 2
)

// wide reports whether the register has 64 bits.
func (r register) wide() bool { return r >= 0x40000 }

func (r register) String() string { return fmt.Sprintf("register %#05x", uint32(r)) }

// registers accesses the registers of a device. It keeps the first error in err. After an error its methods do nothing.
type registers struct {
	*link
	err error
}

// access reads a register if the top bit of requestType is set, else it writes v.
func (r *registers) access(requestType uint8, reg register, v uint64) uint64 {
	if r.err != nil {
		return 0
	}
	binary.LittleEndian.PutUint64(r.word[:], v)
	p, request := r.word[:4], uint8(1)
	if reg.wide() {
		p, request = r.word[:], 0
	}
	if err := r.control(requestType, request, uint16(reg), uint16(reg>>16), p); err != nil {
		r.err = fmt.Errorf("%v: %w", reg, err)
		return 0
	}
	return binary.LittleEndian.Uint64(r.word[:])
}

func (r *registers) read(reg register) uint64 { return r.access(0xc0, reg, 0) }

// set writes v to each register of list, in order.
func (r *registers) set(v uint64, list ...register) {
	for _, reg := range list {
		r.access(0x40, reg, v)
	}
}

// change replaces the bits of a register that are set in mask with the bits of v.
func (r *registers) change(reg register, mask, v uint64) {
	old := r.read(reg)
	r.set(old&^mask|v, reg)
}

// poll waits until the bits of a register that are set in mask equal v.
func (r *registers) poll(reg register, mask, v uint64) {
	start := time.Now()
	for tries := 0; ; tries++ {
		got := r.read(reg)
		if r.err != nil || got&mask == v {
			return
		}
		if time.Since(start) > r.timeout {
			r.err = fmt.Errorf("%w: %v stays %#x, want %#x in bits %#x", ErrTimeout, reg, got, v, mask)
			return
		}
		if tries > 10 {
			time.Sleep(time.Millisecond)
		}
	}
}

// runControl makes all parts of the chip run or halt.
func (r *registers) runControl(v uint64) {
	r.set(v, runCore[:]...)
	r.addressTiles()
	r.set(v, runTiles[:]...)
}

// addressTiles makes later writes to tile registers reach all tiles. Reading the register back ensures that it is set
// before those writes.
func (r *registers) addressTiles() {
	r.set(allTiles, regTile)
	r.poll(regTile, ^uint64(0), allTiles)
}
