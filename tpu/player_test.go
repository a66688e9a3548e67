package tpu_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// streamed is the index of the model that gets its parameters with every inference.
const streamed = 3

// testModels returns the models of the sequences: two that evict each other's parameters, one compiled together with
// the first, and one that gets its parameters with every inference and has two outputs.
var testModels = sync.OnceValue(func() []*executable.Package {
	list := []*executable.Package{
		tracetest.TinyPackage(1500, 0x10, 1), tracetest.TinyPackage(2048, 0x20, 2),
		tracetest.TinyPackage(600, 0x30, 1), tracetest.TinyPackage(1024, 0x40, 0),
	}
	random := rand.New(rand.NewPCG(3, 3))
	for _, pkg := range list {
		for i := range pkg.Caching.Parameters {
			pkg.Caching.Parameters[i] = byte(random.Uint32())
		}
	}
	pkg := list[streamed]
	e := pkg.Main
	e.Parameters = pkg.Caching.Parameters[:4096]
	second := e.Outputs[0]
	second.Name = "y"
	e.Outputs = []executable.Layer{e.Outputs[0], second}
	parameters := executable.Hint{Kind: executable.Transfer, Buffer: executable.Parameter, Size: 2048}
	more := parameters
	more.Offset = 2048
	output := e.Hints[2]
	output.Name = "y"
	e.Hints = slices.Insert(e.Hints, 2, parameters)
	e.Hints = slices.Insert(e.Hints, 4, more, output)
	e.Type = executable.StandAlone
	pkg.Caching, pkg.Executables = nil, pkg.Executables[:1]
	return list
})

// answer computes the outputs of a model. Every byte depends on all bytes of the inputs and parameters.
func answer(first byte) func(parameters []byte, inputs, outputs [][]byte) {
	return func(parameters []byte, inputs, outputs [][]byte) {
		if int(first) == streamed { // the device computes before the second half arrives
			parameters = parameters[:2048]
		}
		sum := crc32.ChecksumIEEE(parameters)
		for i := range outputs {
			sum = crc32.Update(sum, crc32.IEEETable, append([]byte{first, byte(i)}, inputs[0]...))
			random := rand.New(rand.NewPCG(uint64(sum), 0))
			for j := range outputs[i] {
				outputs[i][j] = byte(random.Uint32())
			}
		}
	}
}

// A player carries out a sequence.
type player struct {
	sequence sequence
	bus      *faultyBus
	audited  *audited
	device   *tpu.Device
	models   [4]*tpu.Model
	opts     tpu.Options
	together bool // goroutines run inferences at once

	mu    sync.Mutex
	tally *tally
}

// A tally counts what happened in sequences.
type tally struct {
	operations, tricks, answers int
	excused                     int // wrong answers of overlapping inferences, because the bus has repeated output
	excusedOut                  int // wrong answers because the bus has repeated data to the device
	slowest                     time.Duration
	afterwards                  int // most failures after the faults have ended
}

// limit is the longest time, on the clock of the test, that any call may take: patience, then an attempt to open the
// device, in which each of a few transfers and waits runs into its limit.
const limit = 90 * time.Second

// newPlayer returns a player with a device that is plugged in.
func newPlayer(s sequence, count *tally) (*player, error) {
	config := emulator.Config{Application: !s.boot, Port: tpu.Port{Bus: 1, Path: "1"}}
	if s.highSpeed {
		config.Speed = tpu.HighSpeed
	}
	var devices [2]*emulator.Device
	for i := range devices {
		devices[i] = emulator.New(config)
		config.Port.Bus++
		for j, pkg := range testModels() {
			if err := devices[i].RegisterFunc(pkg, answer(byte(j))); err != nil {
				return nil, err
			}
		}
	}
	p := &player{sequence: s, bus: newFaultyBus(devices), tally: count}
	bus := tpu.Bus(p.bus)
	if s.usbfs {
		bus = tpu.FakeUSBFS(bus, !s.pieces)
	}
	p.audited = &audited{Bus: bus, longest: 10 * time.Second}
	p.opts.Firmware = func() ([]byte, error) { return make([]byte, 1000), nil }
	return p, nil
}

// play carries out the sequence and returns the first violation.
func (p *player) play(ctx context.Context) (err error) {
	for i, o := range p.sequence.operations {
		p.tally.operations++
		p.bus.set(o.tricks, o.stay)
		start := time.Now()
		if err := p.operate(ctx, o); err != nil {
			return fmt.Errorf("operation %d: %w", i, err)
		}
		took := time.Since(start)
		if took > limit {
			return fmt.Errorf("operation %d took %v", i, took)
		}
		p.tally.slowest = max(p.tally.slowest, took)
		time.Sleep(10 * time.Microsecond) // what the bus has repeated arrives before the next operation
	}
	p.tally.tricks += p.bus.count()
	if err := p.settle(ctx); err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	p.device.Close()
	return p.audited.check()
}

// settle ends all mischief, and checks that the device then works again, after at most three failures.
func (p *player) settle(ctx context.Context) error {
	p.bus.settle()
	time.Sleep(delays[len(delays)-1] + time.Second) // until nothing plugs the device in elsewhere
	p.bus.settle()
	for failures := 0; ; failures++ {
		time.Sleep(2 * time.Second) // the driver looks for a device that is down every second
		err := p.operate(ctx, operation{action: openDevice})
		for i := 0; i < len(p.models) && p.device != nil && err == nil; i++ {
			err = p.infer(ctx, i, uint64(failures))
		}
		p.tally.afterwards = max(p.tally.afterwards, failures)
		if err == nil && p.device != nil {
			return nil
		}
		if err != nil && !tpu.IsDeviceError(err) || failures == 3 {
			return fmt.Errorf("failure %d: %w", failures, err)
		}
	}
}

func (p *player) operate(ctx context.Context, o operation) error {
	if p.device == nil && o.action != closeDevice {
		port := tpu.Port{}
		if p.sequence.fixed {
			port = tpu.Port{Bus: 1, Path: "1"}
		}
		d, err := tpu.Open(ctx, p.audited, port, p.opts)
		if err != nil {
			return p.failed(err)
		}
		p.device = d
		p.models = [4]*tpu.Model{}
	}
	switch {
	case p.device == nil || o.action == openDevice:
	case o.action == wait:
		time.Sleep(time.Duration(o.n%5000) * time.Millisecond)
	case o.action == raise:
		for _, d := range p.bus.devices {
			if o.n%5 == 4 {
				d.RaiseHIB(uint32(1 << (o.n % 15)))
			} else {
				d.Raise([...]emulator.Trouble{emulator.ThermalShutdown, emulator.BusError, emulator.MemoryFault, emulator.ThermalWarning}[o.n%4])
			}
		}
	case o.action == suspendIdle:
		p.bus.sleep(o.n/2, o.n%2 == 0)
	case o.action == closeDevice:
		if err := p.device.Close(); err != nil {
			return err
		}
		p.device = nil
	case o.action == load:
		_, err := p.model(ctx, o.model)
		return p.failed(err)
	case o.action == infer:
		return p.failed(p.infer(ctx, o.model, o.n))
	case o.action == inferTogether:
		p.together = true
		defer func() { p.together = false }()
		for i := range 2 {
			if _, err := p.model(ctx, (o.model+i)%len(p.models)); err != nil {
				return p.failed(err)
			}
		}
		var errs [3]error
		var wait sync.WaitGroup
		for i := range errs {
			wait.Go(func() { errs[i] = p.infer(ctx, (o.model+i/2)%len(p.models), o.n+uint64(i)) })
		}
		wait.Wait()
		return p.failed(errors.Join(errs[:]...))
	case o.action == openSecond:
		d, err := tpu.Open(ctx, p.audited, tpu.Port{}, p.opts)
		if err == nil {
			err = d.Close()
		}
		return p.failed(err)
	case o.action == temperature:
		_, err := p.device.Temperature(ctx)
		if errors.Is(err, errors.ErrUnsupported) {
			return nil
		}
		return p.failed(err)
	}
	return nil
}

// failed returns nil if err is a failure of the device, which the program may expect.
func (p *player) failed(err error) error {
	if err != nil && !tpu.IsDeviceError(err) || errors.As(err, new(*wrongError)) {
		return err
	}
	if err != nil {
		p.bus.noteRepeat(anything)
	}
	return nil
}

// model loads a model unless it is loaded.
func (p *player) model(ctx context.Context, i int) (*tpu.Model, error) {
	var err error
	if p.models[i] == nil {
		p.models[i], err = p.device.Load(ctx, testModels()[i])
	}
	return p.models[i], err
}

// A wrongError is an answer that is wrong although the driver returned no error.
type wrongError struct {
	model  int
	output int
	at     int // first wrong byte
}

func (e *wrongError) Error() string {
	return fmt.Sprintf("wrong answer of model %d: output %d from byte %d", e.model, e.output, e.at)
}

// infer runs an inference and checks its answer.
func (p *player) infer(ctx context.Context, i int, n uint64) error {
	m, err := p.model(ctx, i)
	if err != nil {
		return err
	}
	pkg := testModels()[i]
	in := make([]byte, pkg.Main.Inputs[0].Size)
	random := rand.New(rand.NewPCG(n, 5))
	for j := range in {
		in[j] = byte(random.Uint32())
	}
	var got, want [][]byte
	for _, l := range pkg.Main.Outputs {
		got, want = append(got, make([]byte, l.Size)), append(want, make([]byte, l.Size))
	}
	err = m.Run(ctx, [][]byte{in}, got)
	if err != nil {
		return err
	}
	parameters := pkg.Main.Parameters
	if pkg.Caching != nil {
		parameters = pkg.Caching.Parameters
	}
	answer(byte(i))(parameters, [][]byte{in}, want)
	p.mu.Lock()
	defer p.mu.Unlock()
	for j := range got {
		if bytes.Equal(got[j], want[j]) {
			continue
		}
		at := 0
		for got[j][at] == want[j][at] {
			at++
		}
		// The chip may take repeated data for input. While inferences overlap, the driver notices repeated output only
		// after the next inference.
		where := p.bus.hasRepeated()
		if where == outs {
			p.tally.excusedOut++
			continue
		}
		if where == outputs && p.together {
			p.tally.excused++
			continue
		}
		return &wrongError{i, j, at}
	}
	p.tally.answers++
	return nil
}
