package tpu

import "fmt"

// Clock is the clock rate of the chip. A faster chip gets hotter. Google specifies a maximum ambient temperature of 35
// °C, or 25 °C at [ClockMax].
type Clock uint8

const (
	ClockHigh   Clock = iota // 250 MHz, the default, as with libedgetpu1-std
	ClockLow                 // 63 MHz
	ClockMedium              // 125 MHz
	ClockMax                 // 500 MHz, as with libedgetpu1-max
)

// TemperatureNotice is the warning to show a user who chooses [ClockMax].
const TemperatureNotice = "at the max clock the Edge TPU can get hot enough to burn skin; " +
	"keep it below 25 °C ambient (35 °C at the other clocks)"

var clockNames = [...]string{ClockHigh: "high", ClockLow: "low", ClockMedium: "medium", ClockMax: "max"}

func (c Clock) String() string {
	if int(c) < len(clockNames) {
		return clockNames[c]
	}
	return fmt.Sprintf("Clock(%d)", uint8(c))
}

// ParseClock returns the clock with the name s: low, medium, high or max.
func ParseClock(s string) (Clock, error) {
	for i, name := range clockNames {
		if s == name {
			return Clock(i), nil
		}
	}
	return 0, fmt.Errorf("clock %q: want low, medium, high or max", s)
}

// bits returns the clock's bits of scu_ctrl_3: two for the divider of the core clock, one for a slower bus and one for
// a slower controller (libedgetpu driver/beagle/beagle_top_level_handler.cc).
func (c Clock) bits() uint64 {
	return [...]uint64{ClockHigh: 0x5, ClockLow: 0xf, ClockMedium: 0x6, ClockMax: 0x0}[c] << 28
}

// Bits of scu_ctrl_3.
const (
	powerForce  = 3 << 22 // requested state: 3 asleep, 2 awake
	powerState  = 3 << 8  // current state: 2 asleep, 0 awake
	powerAsleep = 2 << 8
	clockBits   = 0xf << 28
)

// sleepCore puts the core to sleep, which erases its programs and parameters, and clears the credit for bytes that were
// never sent.
func (r *registers) sleepCore() {
	v := r.read(regPower)
	if v&powerForce == powerForce { // already asleep: registers from 0x40000 on must not be accessed
		return
	}
	r.set(v|powerForce, regPower)
	r.poll(regPower, powerState, powerAsleep)
	r.set(0xf, regCredit)
	r.set(0, regCredit)
}

// wake wakes the core and sets its clock.
func (r *registers) wake(c Clock) {
	r.change(regPower, powerForce|clockBits, 2<<22|c.bits())
	r.poll(regPower, powerState, 0)
	r.poll(regScalarControl, ^uint64(0), 0)
	r.set(1, regIdle)
	r.addressTiles()
	r.set(0x1e02, regDeepSleep) // sleep after 2 idle cycles, take 30 cycles to wake
}

// start starts the chip from any state. It makes the same register accesses as libedgetpu, in the same order.
func (l *link) start(c Clock) error {
	r := registers{link: l}
	r.change(regPhy, 0x3f00, 0) // keep the transceiver on
	if r.read(regClockGate)>>18&3 == 1 {
		r.change(regClockGate, 3<<18, 2<<18) // keep the clock on while the power state changes
	}
	r.sleepCore()
	r.wake(c)
	r.change(regClockGate, 3<<18, 1<<18)
	r.read(regEfuse)
	r.set(0xf0, regEvents) // report only interrupts of the scalar core, not descriptors
	r.set(0, regEndpoints) // send everything through one endpoint
	r.set(uint64(l.chunk/8), regOutfeedChunk)
	r.runControl(run)
	r.set(1, regFatalControl)
	r.topInterrupts(1)
	r.change(regThermalWarn, 0, 1<<31)
	r.change(regRAMTest, 7<<16|7<<20, 0)
	r.change(regBootFailure, 3<<16|3<<18, 0)
	r.set(1, regSlaveMonitor, regMasterMonitor)
	r.set(3, regSlaveMask, regMasterMask)
	r.change(regThermalStop, 0, 1<<31)
	return r.err
}

// stop masks the interrupts, halts the chip and puts it to sleep.
func (l *link) stop() error {
	r := registers{link: l}
	r.topInterrupts(0)
	r.change(regThermalWarn, 1<<31, 0)
	r.change(regRAMTest, 7<<20, 7<<20)
	r.change(regBootFailure, 3<<18, 3<<18)
	r.set(0, regSlaveMonitor, regMasterMonitor, regSlaveMask, regMasterMask)
	r.change(regThermalStop, 1<<31, 0)
	r.set(0, regFatalControl)
	r.runControl(halt)
	r.sleepCore()
	return r.err
}

func (r *registers) topInterrupts(v uint64) {
	for i := range register(4) {
		r.set(v, regTopControl+16*i)
	}
}
