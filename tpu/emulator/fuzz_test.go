package emulator

import (
	"bytes"
	"encoding/binary"
	"io"
	"net"
	"testing"

	"github.com/imprintkit/imprint/tpu/executable"
)

// once submits a transfer and cancels it if it does not end at once. It reports whether the
// transfer ended at once.
func once(tb testing.TB, d *Device, x *transfer) bool {
	ended := 0
	x.ended = func(*transfer) { ended++ }
	d.submit(x)
	withdrawn := d.cancel(x)
	if ended != 1 || withdrawn != (x.status == cancelled) || x.n < 0 || x.n > len(x.p) {
		tb.Errorf("ended %d times, with status %d and %d of %d bytes", ended, x.status, x.n, len(x.p))
	}
	return !withdrawn
}

func FuzzControl(f *testing.F) {
	f.Add(true, []byte{0x80, 6, 0, 1, 0, 0, 18, 0}, 18)
	f.Add(true, []byte{0xc0, 1, 0x18, 0xa3, 1, 0, 4, 0}, 4)
	f.Add(true, []byte{0x40, 0, 0x18, 0x40, 4, 0, 8, 0}, 8)
	f.Add(false, []byte{0x21, 1, 0, 0, 0, 0, 0, 1}, 256)
	f.Add(false, []byte{0xa1, 2, 0xff, 0xff, 0, 0, 0xff, 0xff}, 300)
	f.Fuzz(func(t *testing.T, app bool, setup []byte, length int) {
		d := New(Config{Application: app})
		for len(setup) >= 8 {
			once(t, d, &transfer{setup: [8]byte(setup), p: make([]byte, max(0, min(length, 1<<16)))})
			setup = setup[8:]
		}
	})
}

func FuzzBulk(f *testing.F) {
	f.Add([]byte{8, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8})
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0})
	f.Add([]byte{255, 255, 255, 255, 2, 0, 0, 0})
	instructions := tinyProgram(f).executable.Chunks[0].Bytes
	f.Add(concat([]byte{16, 0, 0, 0, 0, 0, 0, 0}, instructions, []byte{8, 0, 0, 0, 1, 0, 0, 0}, make([]byte, 8)))
	f.Fuzz(func(t *testing.T, stream []byte) {
		d := New(Config{Application: true})
		d.models = []*model{{programs: []*program{tinyProgram(t)}}}
		openHost(t, d)
		runs := 0
		for len(stream) > 0 {
			n := min(len(stream), 1+int(stream[0])%64)
			once(t, d, &transfer{endpoint: 1, p: stream[:n]})
			stream = stream[n:]
			for once(t, d, &transfer{endpoint: 0x81, p: make([]byte, 1024)}) {
				runs++
			}
		}
		events := 0
		for once(t, d, &transfer{endpoint: 0x82, p: make([]byte, 16)}) {
			events++
		}
		if events != runs {
			t.Errorf("%d outputs and %d events", runs, events)
		}
	})
}

// tinyProgram returns a program of a single instruction, with an input and an output of 8 bytes.
func tinyProgram(tb testing.TB) *program {
	p, err := newProgram(&executable.Executable{
		Deterministic: true,
		Chunks:        []executable.InstructionChunk{{Bytes: bytes.Repeat([]byte{0x80, 0x0f}, 8)}},
		Inputs:        []executable.Layer{{Name: "in", Size: 8, Y: 1, X: 1, Z: 8}},
		Outputs:       []executable.Layer{{Name: "out", Size: 8, Y: 1, X: 1, Z: 8}},
		Hints: []executable.Hint{
			{Kind: executable.Instructions},
			{Kind: executable.Transfer, Buffer: executable.Input, Name: "in", Size: 8},
			{Kind: executable.Transfer, Out: true, Buffer: executable.Output, Name: "out", Size: 8},
			{Kind: executable.Interrupt},
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// stream is a connection from which the server reads fixed bytes.
type stream struct {
	net.Conn // nil: the server uses no other method
	in       io.Reader
}

func (s *stream) Read(p []byte) (int, error)  { return s.in.Read(p) }
func (s *stream) Write(p []byte) (int, error) { return len(p), nil }
func (s *stream) Close() error                { return nil }
func (s *stream) RemoteAddr() net.Addr        { return &net.TCPAddr{} }

func FuzzUSBIP(f *testing.F) {
	command := func(words ...uint32) []byte {
		b := make([]byte, headerSize)
		for i, w := range words {
			binary.BigEndian.PutUint32(b[4*i:], w)
		}
		return b
	}
	descriptor := command(commandSubmit, 1, 0, 1, 0, 0, 18, 0, 0, 0, 0x80060001, 0x00001200)
	f.Add([]byte{1, 0x11, 0x80, 5, 0, 0, 0, 0})
	f.Add(concat([]byte{1, 0x11, 0x80, 3, 0, 0, 0, 0, '1', '-', '1'}, make([]byte, 29), descriptor, descriptor))
	f.Add(concat([]byte{1, 0x11, 0x80, 3, 0, 0, 0, 0, '1', '-', '1'}, make([]byte, 29),
		command(commandSubmit, 1, 0, 1, 1, 0, 1024), command(commandSubmit, 2, 0, 0, 1, 0, 8), make([]byte, 8), command(commandUnlink, 3, 0, 0, 0, 1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		d := New(Config{Application: true})
		s := &server{devices: []*Device{d}, imported: make(map[*Device]bool)}
		s.serve(t.Context(), &stream{in: bytes.NewReader(b)})
		if len(s.imported) != 0 {
			t.Error("the device is still imported")
		}
		d.mu.Lock()
		defer d.mu.Unlock()
		for i := range d.endpoints {
			if d.endpoints[i].waiting != nil {
				t.Errorf("a transfer still waits on endpoint %d", i)
			}
		}
	})
}
