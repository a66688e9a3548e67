package emulator

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
)

// record is one line of a trace.
type record struct {
	number    int
	kind, way string
	endpoint  uint8
	setup     setup
	asked, n  int
	start     []byte // of the payload
	sum       string // SHA-256 of the payload
}

var recordPattern = regexp.MustCompile(`^(\d+) (CTRL|BULK|CANCEL|RESET) +(\S+) +(?:ep=(\S+)|bmRequestType=(\S+) bRequest=(\S+) wValue=(\S+) wIndex=(\S+) wLength=(\d+)|-) +asked=(\d+) len=(\d+) status=\S+ data=(\S+) sha256=(\S+)$`)

func parseTrace(t *testing.T, b []byte) (records []record) {
	number := func(s string, base int) int {
		if s == "" {
			return 0
		}
		n, err := strconv.ParseUint(s, base, 16+16)
		if err != nil {
			t.Fatal(err)
		}
		return int(n)
	}
	for _, line := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		m := recordPattern.FindStringSubmatch(line)
		if m == nil {
			t.Fatalf("not understood: %s", line)
		}
		r := record{number: number(m[1], 10), kind: m[2], way: m[3], endpoint: uint8(number(m[4], 16)), asked: number(m[10], 10), n: number(m[11], 10), sum: m[13]}
		r.setup = setup{uint8(number(m[5], 16)), uint8(number(m[6], 16)), uint16(number(m[7], 16)), uint16(number(m[8], 16)), uint16(number(m[9], 10))}
		r.start, _ = hex.DecodeString(m[12]) // "-" and "*" stand for nothing
		records = append(records, r)
	}
	return records
}

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// TestTraces sends what Google's driver sent, and wants the answers to have the lengths they had; and the contents, but
// for descriptors of power and for registers that the device of the traces only made up.
func TestTraces(t *testing.T) {
	tests := []struct {
		trace, model string
		speed        tpu.Speed
		boot, signed bool
	}{
		{trace: "app-mobilenet_v1_0.25_128_quant-superspeed", model: "mobilenet_v1_0.25_128_quant", speed: tpu.SuperSpeed},
		{trace: "app-mobilenet_v1_0.5_160_quant-superspeed", model: "mobilenet_v1_0.5_160_quant", speed: tpu.SuperSpeed},
		{trace: "app-mobilenet_v1_1.0_224_quant_embedding_extractor-superspeed", model: "mobilenet_v1_1.0_224_quant_embedding_extractor", speed: tpu.SuperSpeed},
		{trace: "app-deeplabv3_mnv2_dm05_pascal_quant-superspeed", model: "deeplabv3_mnv2_dm05_pascal_quant", speed: tpu.SuperSpeed},
		{trace: "app-movenet_single_pose_lightning_ptq-superspeed", model: "movenet_single_pose_lightning_ptq", speed: tpu.SuperSpeed, signed: true},
		{trace: "app-mobilenet_v1_0.25_128-highspeed", model: "mobilenet_v1_0.25_128_quant", speed: tpu.HighSpeed, boot: true},
		{trace: "boot-mobilenet_v1_0.25_128-superspeed", model: "mobilenet_v1_0.25_128_quant", speed: tpu.SuperSpeed, boot: true},
	}
	for _, test := range tests {
		t.Run(test.trace, func(t *testing.T) {
			t.Parallel()
			compiled := shared(t, "models", test.model+"_edgetpu.tflite")
			d := New(Config{Speed: test.speed, Application: !test.boot, Log: t.Logf})
			if err := d.Register(compiled, nil); err != nil {
				t.Fatal(err)
			}
			replay(t, d, parseTrace(t, shared(t, "traces", test.trace+".txt")), payloads(t, compiled, test.signed))
			if n := len(d.endpoints[outputs].ends) + len(d.endpoints[events].ends) + len(d.endpoints[interrupts].ends); n != 0 {
				t.Errorf("%d messages more than were fetched", n)
			}
		})
	}
}

// payloads gives what a host sends of a model, by the tag and length of its announcement.
func payloads(t *testing.T, compiled []byte, signed bool) func(tag byte, n, inference int) []byte {
	pkg := parsePackage(t, compiled)
	return func(tag byte, n, inference int) []byte {
		if tag == tagInput {
			b := make([]byte, n) // padded with 0
			for i := range pkg.Main.Inputs[0].TensorSize() {
				b[i] = byte(31*i + inference)
				if signed {
					b[i] ^= 0x80
				}
			}
			return b
		}
		for _, e := range pkg.Executables {
			for _, c := range e.Chunks {
				if tag == tagInstructions && len(c.Bytes) == n {
					return c.Bytes
				}
			}
			for _, h := range e.Hints {
				if tag == tagParameters && h.Kind == executable.Transfer && h.Buffer == executable.Parameter && h.Size == n {
					return e.Parameters[h.Offset : h.Offset+n]
				}
			}
		}
		t.Fatalf("the model has no %d bytes of tag %d", n, tag)
		return nil
	}
}

func parsePackage(tb testing.TB, compiled []byte) *executable.Package {
	tb.Helper()
	file, err := tflite.Parse(compiled)
	if err != nil {
		tb.Fatal(err)
	}
	for _, op := range file.Subgraphs[0].Operators {
		if file.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
			pkg, err := executable.Parse(op.CustomOptions)
			if err != nil {
				tb.Fatal(err)
			}
			return pkg
		}
	}
	tb.Fatal("not compiled")
	return nil
}

func replay(t *testing.T, d *Device, records []record, payload func(tag byte, n, inference int) []byte) {
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
	var rest []byte // of a payload that takes several transfers
	inference := -1
	for _, r := range records {
		fail := func(format string, args ...any) {
			t.Helper()
			t.Errorf("%s at line %d: %s", d.config.Speed, r.number, fmt.Sprintf(format, args...))
		}
		p := make([]byte, r.asked)
		var n int
		var err error
		switch {
		case r.kind == "RESET":
			err = c.Reset(ctx)
			c.Close()
			c = open()
		case r.kind == "CANCEL":
			gone, cancel := context.WithCancel(ctx)
			cancel()
			if _, err := c.Read(gone, r.endpoint, p); err != context.Canceled {
				fail("got %v of a cancelled read", err)
			}
			continue
		case r.kind == "CTRL":
			copy(p, r.start)
			n, err = c.Control(ctx, r.setup.requestType, r.setup.request, r.setup.value, r.setup.index, p)
			if !comparable(r.setup) {
				r.start, r.sum = nil, "-"
			}
		case r.way == "IN":
			n, err = c.Read(ctx, r.endpoint, p)
		case r.asked == 8:
			copy(p, r.start)
			n, err = c.Write(ctx, r.endpoint, p)
			length := int(p[0]) | int(p[1])<<8 | int(p[2])<<16
			if p[4] == tagInput {
				inference++
			}
			rest = payload(p[4], length, inference)
		default:
			p, rest = rest[:r.asked], rest[r.asked:]
			n, err = c.Write(ctx, r.endpoint, p)
			if len(r.start) > 0 && r.start[0] == 0x80 && r.start[1] == 0x0f { // instructions, with addresses in them
				r.start, r.sum = nil, "-"
			}
		}
		if err != nil || n != r.n {
			fail("got %d bytes and error %v, want %d", n, err, r.n)
			return
		}
		if r.way == "IN" || r.kind == "BULK" {
			if !bytes.HasPrefix(p[:n], r.start) || r.sum != "-" && sum(p[:n]) != r.sum {
				fail("got % x…, want % x…", p[:min(n, len(r.start))], r.start)
			}
		}
	}
}

// comparable reports whether the answer to a control request is a fact of the device, not of the one in the traces.
func comparable(s setup) bool {
	switch {
	case s.requestType == 0xc0:
		return uint32(s.index)<<16 >= coreBase
	case s.requestType == 0x80:
		return false // TestDescriptors
	case s.requestType == 0xa1:
		return s.request == dfuGetStatus // the firmware is not at hand
	}
	return true
}
