package tpu_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/imprintkit/imprint/tpu"
)

var (
	sequences    = flag.Int("sequences", 0, "number of sequences that TestSequences tries; 0 means 800, or 100,000 if IMPRINT_TORTURE is set")
	sequenceSeed = flag.Uint64("sequence", 0, "seed of the first sequence that TestSequences tries")
)

// An action is what a program does with a device.
type action uint8

const (
	openDevice action = iota
	closeDevice
	load
	infer
	inferTogether // several goroutines at once
	wait
	raise
	suspendIdle
	openSecond
	temperature
)

// An operation is an action, with the tricks that the bus and device play meanwhile.
type operation struct {
	action action
	model  int
	n      uint64
	stay   bool // tricks that were not played stay for the next operation
	tricks []trick
}

func (o operation) String() string {
	name := [...]string{"open", "close", "load", "infer", "infer together", "wait", "raise", "suspend while idle", "open a second time", "temperature"}[o.action]
	return fmt.Sprintf("%s, model %d (%d), stay %v, %v", name, o.model, o.n, o.stay, o.tricks)
}

// A sequence is a random session with a device.
type sequence struct {
	seed       uint64
	highSpeed  bool
	boot       bool // the device starts in its boot ROM
	usbfs      bool
	pieces     bool // usbfs without scatter-gather
	fixed      bool // the device is opened at its port
	operations []operation
}

func (s sequence) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "sequence %d: high speed %v, boot ROM %v, usbfs %v, in pieces %v, fixed port %v", s.seed, s.highSpeed, s.boot, s.usbfs, s.pieces, s.fixed)
	for _, o := range s.operations {
		fmt.Fprintf(&b, "\n\t%v", o)
	}
	return b.String()
}

// newSequence returns the sequence with the given seed.
func newSequence(seed uint64) sequence {
	r := rand.New(rand.NewPCG(seed, 2))
	coin := func(of int) bool { return r.IntN(of) == 0 }
	s := sequence{seed: seed, highSpeed: coin(3), boot: coin(3), usbfs: coin(3), pieces: coin(2), fixed: coin(4)}
	length := 4 + r.IntN(8)
	for i := range length {
		o := operation{model: r.IntN(len(testModels())), n: r.Uint64N(1 << 20), stay: coin(2)}
		switch {
		case i == 0:
			o.action = openDevice
		case coin(3):
			o.action = action(r.IntN(int(temperature) + 1))
		default:
			o.action = infer
		}
		reach := 12
		if o.action == openDevice || o.action == closeDevice {
			reach = 120
		}
		for coin(2) && len(o.tricks) < 4 {
			t := trick{kind: mischief(r.IntN(int(mischiefs))), after: r.IntN(1 + r.IntN(reach)), n: r.Uint64N(1 << 20)}
			if coin(2) {
				t.place = place(r.IntN(int(places)))
			}
			o.tricks = append(o.tricks, t)
		}
		s.operations = append(s.operations, o)
	}
	return s
}

// try carries out a sequence on a clock of its own, on which waiting takes no time, and fails if a goroutine is left.
func try(t *testing.T, s sequence, count *tally) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panic: %v", v)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		p, e := newPlayer(s, count)
		if e != nil {
			err = e
			return
		}
		defer func() {
			if v := recover(); v != nil {
				b := make([]byte, 8<<10)
				err = fmt.Errorf("panic: %v\n%s", v, b[:runtime.Stack(b, false)])
			}
			if err != nil && p.device != nil {
				p.bus.settle()
				p.device.Close()
			}
		}()
		err = p.play(context.Background())
	})
	return err
}

// shorten leaves out operations and tricks as long as the sequence still fails.
func shorten(t *testing.T, s sequence) (sequence, error) {
	var failure error
	fails := func(s sequence) bool {
		for range 3 { // goroutines run in any order
			if err := try(t, s, new(tally)); err != nil {
				failure = err
				return true
			}
		}
		return false
	}
	for again := true; again; {
		again = false
		for i := len(s.operations) - 1; i >= 0; i-- {
			c := s
			c.operations = slices.Delete(slices.Clone(s.operations), i, i+1)
			if fails(c) {
				s, again = c, true
				continue
			}
			for j := len(s.operations[i].tricks) - 1; j >= 0; j-- {
				c := s
				c.operations = slices.Clone(s.operations)
				c.operations[i].tricks = slices.Delete(slices.Clone(c.operations[i].tricks), j, j+1)
				if fails(c) {
					s, again = c, true
				}
			}
		}
	}
	return s, failure
}

// TestSequences tries random sequences of operations and faults. Every inference must give the right answer or an
// error, and the device must work again once the faults have ended.
func TestSequences(t *testing.T) {
	n := *sequences
	if n == 0 {
		n = 800
		switch {
		case os.Getenv("IMPRINT_TORTURE") != "":
			n = 100_000
		case testing.Short():
			n = 100
		}
	}
	var count tally
	for seed := *sequenceSeed; seed < *sequenceSeed+uint64(n); seed++ {
		s := newSequence(seed)
		if err := try(t, s, &count); err != nil {
			short, again := shorten(t, s)
			t.Fatalf("%v\n%v\nshortened, %v:\n%v", err, s, again, short)
		}
	}
	t.Logf("%d sequences: %+v", n, count)
}

// TestRepeatedOutput checks that the driver notices every packet of output that the bus repeats, before it returns an
// answer, and that the next answer is right.
func TestRepeatedOutput(t *testing.T) {
	for _, s := range []sequence{{}, {highSpeed: true}, {usbfs: true}, {usbfs: true, pieces: true, highSpeed: true}} {
		for model, packets := range map[int][2]int{0: {2, 6}, 1: {2, 8}, 2: {1, 3}, streamed: {2, 8}} {
			n := packets[0]
			if s.highSpeed {
				n = packets[1]
			}
			for i := range n {
				synctest.Test(t, func(t *testing.T) {
					p, err := newPlayer(s, new(tally))
					if err == nil {
						p.bus.set([]trick{{kind: repeatPacket, place: outputs, after: i}}, false)
						err = p.operate(t.Context(), operation{action: load, model: model})
					}
					if err != nil {
						t.Fatal(err)
					}
					defer p.device.Close()
					if err := p.infer(t.Context(), model, 1); !tpu.IsDeviceError(err) {
						t.Errorf("%v: model %d, output packet %d repeated: got %v, want an error of the device", s, model, i, err)
					}
					if err := p.infer(t.Context(), model, 2); err != nil {
						t.Errorf("%v: model %d, after output packet %d was repeated: %v", s, model, i, err)
					}
				})
			}
		}
	}
}
