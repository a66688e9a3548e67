package emulator

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/tpu"
)

// unhex decodes hexadecimal digits. It ignores spaces and bars between them.
func unhex(tb testing.TB, s string) []byte {
	tb.Helper()
	b, err := hex.DecodeString(strings.Map(func(r rune) rune {
		if r == ' ' || r == '|' || r == '\n' || r == '\t' {
			return -1
		}
		return r
	}, s))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func TestDescriptors(t *testing.T) {
	const iface = "09 04 00 00 06 ff ff ff 00"
	endpoints := func(size, companion string) string {
		var s string
		for _, address := range []string{"01", "02", "03", "81", "82"} {
			s += "07 05 " + address + " 02 " + size + " 00" + companion
		}
		return s
	}
	high := "09 %s 3c 00 01 01 00 c0 31" + iface + endpoints("00 02", "") + "07 05 83 03 40 00 01"
	super := "09 %s 60 00 01 01 00 c0 0c" + iface + endpoints("00 04", "06 30 0f 00 00 00") + "07 05 83 03 40 00 01 06 30 00 00 04 00"
	const bos = "05 0f 16 00 02 | 07 10 02 02 00 00 00 | 0a 10 03 00 0c 00 02 00 00 00"
	const boot = "09 02 1b 00 01 01 00 c0 31 | 09 04 00 00 00 fe 01 02 00 | 09 21 07 e8 03 00 01 10 01"
	tests := []struct {
		speed       tpu.Speed
		application bool
		value       uint16
		want        string // empty if the device should stall
	}{
		{tpu.HighSpeed, true, 0x0100, "12 01 10 02 00 00 00 40 d1 18 02 93 00 01 00 00 00 01"},
		{tpu.SuperSpeed, true, 0x0100, "12 01 10 03 00 00 00 09 d1 18 02 93 00 01 00 00 00 01"},
		{tpu.HighSpeed, true, 0x0200, fmt.Sprintf(high, "02")},
		{tpu.HighSpeed, true, 0x0700, fmt.Sprintf(high, "07")},
		{tpu.SuperSpeed, true, 0x0200, fmt.Sprintf(super, "02")},
		{tpu.SuperSpeed, true, 0x0205, fmt.Sprintf(super, "02")}, // the device ignores the index
		{tpu.SuperSpeed, true, 0x0700, fmt.Sprintf(super, "07")},
		{tpu.HighSpeed, true, 0x0600, "0a 06 10 02 00 00 00 40 01 00"},
		{tpu.SuperSpeed, true, 0x0600, "0a 06 10 03 00 00 00 09 01 00"},
		{tpu.SuperSpeed, true, 0x0f00, bos},
		{tpu.HighSpeed, true, 0x0f00, bos},
		{tpu.SuperSpeed, true, 0x0300, "04 03 09 04"},
		{tpu.SuperSpeed, true, 0x0301, ""},
		{tpu.SuperSpeed, true, 0x2100, ""},
		{tpu.SuperSpeed, false, 0x0100, "12 01 10 03 00 00 00 09 6e 1a 9a 08 00 01 00 00 00 01"},
		{tpu.HighSpeed, false, 0x0100, "12 01 00 02 00 00 00 40 6e 1a 9a 08 00 01 00 00 00 01"},
		{tpu.SuperSpeed, false, 0x0200, boot},
		{tpu.HighSpeed, false, 0x0f00, ""},
	}
	for _, test := range tests {
		c := open(t, New(Config{Speed: test.speed, Application: test.application}))
		p := make([]byte, 521)
		n, err := c.Control(t.Context(), 0x80, 6, test.value, 0, p)
		if test.want == "" {
			if !errors.Is(err, tpu.ErrStall) {
				t.Errorf("descriptor %#04x at %v: got %v, want a stall", test.value, test.speed, err)
			}
			continue
		}
		if want := unhex(t, test.want); err != nil || !bytes.Equal(p[:n], want) {
			t.Errorf("descriptor %#04x at %v: got % x, %v, want % x", test.value, test.speed, p[:n], err, want)
		}
		if n, err := c.Control(t.Context(), 0x80, 6, test.value, 0, p[:3]); n != 3 || err != nil {
			t.Errorf("a read of 3 bytes: got %d, %v", n, err)
		}
	}
}

func TestAddressRanges(t *testing.T) {
	tests := []struct {
		address      uint32
		wide, narrow bool // whether 64-bit and 32-bit accesses succeed
	}{
		{0x40000, true, false}, {0x44018, true, false}, {0x7ffff8, true, false}, {0x800000, false, false},
		{0x30000, true, false}, {0x2fff8, false, false}, {0x19000, true, true}, {0x193f8, true, true}, {0x193fc, false, false},
		{0x18000, true, true}, {0x1a000, true, true}, {0x1a7f8, true, true}, {0x1a7fc, false, false}, {0, false, false},
	}
	d := New(Config{Application: true})
	h := openHost(t, d)
	for _, test := range tests {
		for _, wide := range []bool{true, false} {
			want, request, size := test.wide, uint8(0), 8
			if !wide {
				want, request, size = test.narrow, 1, 4
			}
			for _, way := range []uint8{0xc0, 0x40} {
				_, err := h.conn.Control(h.ctx, way, request, uint16(test.address), uint16(test.address>>16), make([]byte, size))
				if ok := err == nil; ok != want || !ok && !errors.Is(err, tpu.ErrStall) {
					t.Errorf("%#x, request %#x, %d bytes: got %v, want success: %v", test.address, way, size, err, want)
				}
				if _, err := h.conn.Control(h.ctx, way, request, uint16(test.address), uint16(test.address>>16), make([]byte, size-1)); !errors.Is(err, tpu.ErrStall) {
					t.Errorf("%#x with %d bytes: got %v, want a stall", test.address, size-1, err)
				}
			}
		}
	}
	// The firmware does not answer these requests at all, so the host times out.
	for _, request := range [][2]uint8{{0xc0, 2}, {0x80, 12}} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		if _, err := h.conn.Control(ctx, request[0], request[1], 0, 0, make([]byte, 4)); !errors.Is(err, tpu.ErrTimeout) {
			t.Errorf("request %v: got %v, want a timeout", request, err)
		}
		cancel()
	}
}

func TestRegisters(t *testing.T) {
	d := New(Config{Application: true})
	c := open(t, d)
	h := &host{t, c, t.Context()}
	if got := h.read32(scuCtrl3); got != scuCtrl3AfterSession {
		t.Errorf("power state after a session: got %#x", got)
	}
	if _, err := c.Control(t.Context(), 0xc0, 0, 0x4018, 4, make([]byte, 8)); !errors.Is(err, tpu.ErrStall) {
		t.Errorf("a register of the sleeping core: got %v, want a stall", err)
	}
	h.write32(scuCtrl3, 0x5085025c)
	if got := h.read32(scuCtrl3); got != 0x5085005c {
		t.Errorf("awake: got %#x", got)
	}
	h.write64(scalarCoreRun, 1)
	h.write64(0x48788, 0x7f)
	if got := h.read64(0x48788); got != 0x7f {
		t.Errorf("tileconfig0: got %#x", got)
	}
	h.write64(scalarCoreRun, 2)
	if got := h.read64(scalarCoreStatus); got != 4 {
		t.Errorf("run status when halted: got %d, want 4", got)
	}
	h.write32(scuCtrl3, 0x50c5005c)
	if got := h.read32(scuCtrl3); got != 0x50c5025c {
		t.Errorf("asleep: got %#x", got)
	}
	h.write32(scuCtrl3, 0x5085025c)
	if got := h.read64(scalarCoreRun); got != 0 {
		t.Errorf("run control after sleep: got %d, want 0", got)
	}
	h.write64(0x4c058, 0x20)
	if got := h.read64(0x4c058); got != 0x20 {
		t.Errorf("chunk length: got %#x", got)
	}
	h.write32(efuse, 0xffffffff)
	if got := h.read32(efuse) >> 24; got == 0xff {
		t.Error("writing changed the fuses")
	}

	// Raise each interrupt, and clear its bits with a write.
	h.wake()
	tests := []struct {
		trouble        Trouble
		bit            uint32
		address        uint32
		latched, write uint32
	}{
		{ThermalShutdown, 2, thermalStatus, 1 << 30, 1 << 28},
		{BusError, 4, slaveWriteError, 1, 0},
		{MemoryFault, 8, memoryTest, 0x0071007f, 0x0071007f},
		{ThermalWarning, 16, thermalStatus, 1 << 31, 1 << 29},
	}
	for i, test := range tests {
		d.Raise(test.trouble)
		p := make([]byte, 4)
		if n, err := c.Read(t.Context(), 0x83, p); n != 4 || err != nil || p[0] != byte(test.bit) {
			t.Errorf("interrupt %d: got % x, %v, want bit %#x", i, p[:n], err, test.bit)
		}
		if got := h.read32(test.address); got != test.latched {
			t.Errorf("interrupt %d: got register %#x, want %#x", i, got, test.latched)
		}
		if test.trouble == BusError {
			h.write32(slaveEnable, 0)
			h.write32(slaveEnable, 1)
		} else {
			h.write32(test.address, test.write)
		}
		if got := h.read32(test.address); got&^test.latched != 0 || got == test.latched {
			t.Errorf("interrupt %d: got register %#x after clearing it", i, got)
		}
		status := topStatus + 16*uint32(test.trouble)
		if got := h.read64(status); got != 1 {
			t.Errorf("interrupt %d: got status %d, want 1", i, got)
		}
		h.write64(status, 0)
		if got := h.read64(status); got != 0 {
			t.Errorf("interrupt %d: got status %d after clearing it", i, got)
		}
	}
	d.RaiseHIB(1 << 3)
	p := make([]byte, 4)
	if n, err := c.Read(t.Context(), 0x83, p); n != 4 || err != nil || p[0] != 1 {
		t.Errorf("fatal interrupt: got % x, %v", p[:n], err)
	}
	if got, first := h.read64(hibError), h.read64(hibFirstError); got != 8 || first != 8 {
		t.Errorf("got HIB errors %#x, first %#x, want 8", got, first)
	}
}
