package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"testing"

	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

func parsePackage(tb testing.TB, compiled []byte) *executable.Package {
	tb.Helper()
	pkg, err := tracetest.Package(compiled)
	if err != nil {
		tb.Fatal(err)
	}
	return pkg
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestTraces replays the transfers of Google's driver in every trace. The answers must have the recorded lengths and,
// where a real device determines them, the recorded contents.
func TestTraces(t *testing.T) {
	tracetest.All(t, func(t *testing.T, trace *tracetest.Trace) {
		t.Parallel()
		config := Config{Application: !trace.Boot, Log: t.Logf}
		if trace.HighSpeed {
			config.Speed = tpu.HighSpeed
		}
		d := New(config)
		if err := d.Register(trace.Compiled, nil); err != nil {
			t.Fatal(err)
		}
		replay(t, d, trace)
		if n := len(d.endpoints[outputs].ends) + len(d.endpoints[events].ends) + len(d.endpoints[interrupts].ends); n != 0 {
			t.Errorf("%d messages were not read", n)
		}
	})
}

// sender returns the payloads that a host sends for a model, one inference after another.
type sender struct {
	pkg       *executable.Package
	running   *executable.Executable
	hint      int
	inference int // number of the inference; -1 while parameters are sent
}

// next returns the next payload, which must have the given tag and length.
func (s *sender) next(tag byte, n int) ([]byte, error) {
	for s.running != nil && s.hint < len(s.running.Hints) {
		h := s.running.Hints[s.hint]
		s.hint++
		if h.Kind != executable.Instructions && (h.Kind != executable.Transfer || h.Out) {
			continue
		}
		b, err := s.payload(h)
		if err == nil && (h.Tag() != int(tag) || len(b) != n) {
			err = fmt.Errorf("the model's next step is %+v, not %d bytes with tag %d", h, n, tag)
		}
		return b, err
	}
	if s.running == nil && s.pkg.Caching != nil {
		s.running, s.inference = s.pkg.Caching, -1
	} else {
		s.running, s.inference = s.pkg.Main, s.inference+1
	}
	s.hint = 0
	return s.next(tag, n)
}

func (s *sender) payload(h executable.Hint) ([]byte, error) {
	var b []byte
	switch {
	case h.Kind == executable.Instructions:
		return s.running.Chunks[h.Chunk].Bytes, nil
	case h.Buffer == executable.Parameter:
		b = s.running.Parameters
	case h.Buffer == executable.Scratch: // the bytes that a device without an uncompiled model spills
		b = make([]byte, s.running.ScratchBytes)
		for i := range b {
			b[i] = byte(7 * i)
		}
	default:
		l := s.running.Input(h.Name)
		tensor := make([]byte, l.TensorSize())
		for i := range tensor {
			tensor[i] = byte(31*i + s.inference)
		}
		b = make([]byte, l.Size)
		if err := l.ToDevice(b, tensor); err != nil {
			return nil, err
		}
	}
	return b[h.Offset:][:h.Size], nil
}

// replay sends the transfers of a trace to d.
func replay(t *testing.T, d *Device, trace *tracetest.Trace) {
	ctx := context.Background()
	bus := NewBus(d)
	open := func() tpu.Conn {
		c, err := bus.Open(ctx, d.config.Port)
		if err == nil {
			err = c.Claim(ctx, 0)
		}
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := open()
	defer func() { c.Close() }()
	s := &sender{pkg: trace.Package, inference: -1}
	var rest []byte // the rest of a payload sent in several transfers
	for _, x := range trace.Transfers {
		p := make([]byte, x.Asked)
		start, wanted := x.Start, x.Sum
		var n int
		var err error
		switch {
		case x.Kind == "RESET":
			err = c.Reset(ctx)
			c.Close()
			c = open()
		case x.Kind == "CANCEL":
			gone, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := c.Read(gone, x.Endpoint, p); err != context.Canceled {
				t.Errorf("%v: got %v from a cancelled read", x, err)
			}
			continue
		case x.Kind == "CTRL":
			copy(p, x.Start)
			n, err = c.Control(ctx, x.RequestType, x.Request, x.Value, x.Index, p)
			if !comparable(&x) {
				start, wanted = nil, "-"
			}
		case x.In:
			n, err = c.Read(ctx, x.Endpoint, p)
		case x.Tag == tracetest.NoTag:
			copy(p, x.Start)
			n, err = c.Write(ctx, x.Endpoint, p)
			var unknown error
			if rest, unknown = s.next(p[4], int(binary.LittleEndian.Uint32(p))); unknown != nil {
				t.Fatalf("%v: %v", x, unknown)
			}
		default:
			p, rest = rest[:x.Asked], rest[x.Asked:]
			n, err = c.Write(ctx, x.Endpoint, p)
			if x.Tag == tagInstructions { // instructions contain addresses chosen by the host
				start, wanted = nil, "-"
			}
		}
		if err != nil || n != x.Moved {
			t.Fatalf("%v: got %d bytes and error %v", x, n, err)
		}
		if (x.In || x.Kind == "BULK") && (!bytes.HasPrefix(p[:n], start) || wanted != "-" && sum(p[:n]) != wanted) {
			t.Errorf("%v: got % x…", x, p[:min(n, 32)])
		}
	}
}

// comparable reports whether the device's answer to a control request must equal the recorded one.
func comparable(x *tracetest.Transfer) bool {
	switch {
	case x.RequestType == 0xc0:
		return uint32(x.Index)<<16 >= coreBase
	case x.RequestType == 0x80:
		return false // see TestDescriptors
	case x.RequestType == 0xa1:
		return x.Request == dfuGetStatus // the firmware is not available
	}
	return true
}
