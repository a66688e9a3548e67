// Package tracetest compares drivers with recordings of the USB transfers between a driver and an Edge TPU. Start with
// [All], which also finds the model of each recording. A recording has one line per transfer, in the format of the
// transcripts that edgetpu-emulator writes. [TinyPackage] makes a model for tests that need no files.
package tracetest

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Endpoints of a device that runs its firmware.
const (
	Out       = 0x01
	Output    = 0x81
	Event     = 0x82
	Interrupt = 0x83
)

// NoTag is the tag of a transfer that no header announced.
const NoTag = -1

// A Transfer is a line of a recording.
type Transfer struct {
	Line     int
	Kind     string // CTRL, BULK, INTR, CANCEL or RESET
	In       bool
	Endpoint uint8 // address; 0 for control transfers
	// RequestType to Length are the setup packet of a control transfer.
	RequestType, Request uint8
	Value, Index, Length uint16
	Asked, Moved         int    // bytes requested and transferred
	Start                []byte // up to 32 bytes of the payload; nil for firmware
	Sum                  string // SHA-256 of the payload in hexadecimal digits; "-" if it is empty
	// Tag is the kind of a payload to the chip, from its header: 0 instructions, 1 inputs, 2 parameters.
	Tag int
}

var pattern = regexp.MustCompile(`^(\d+) (CTRL|BULK|INTR|CANCEL|RESET) +(IN|OUT|-) +` +
	`(?:ep=(\S+)|bmRequestType=(\S+) bRequest=(\S+) wValue=(\S+) wIndex=(\S+) wLength=(\d+)|-) +` +
	`asked=(\d+) len=(\d+) status=-?\d+ data=(\S+) sha256=(\S+)$`)

// Parse reads the lines of a recording.
func Parse(data []byte) ([]Transfer, error) {
	var list []Transfer
	announced, left := NoTag, 0
	for s := range strings.Lines(string(data)) {
		m := pattern.FindStringSubmatch(strings.TrimRight(s, "\r\n"))
		if m == nil {
			return nil, fmt.Errorf("not a transcript line: %q", s)
		}
		number := func(i, base int) int {
			n, _ := strconv.ParseUint(m[i], base, 32) // an empty match yields 0, and the pattern matches only digits
			return int(n)
		}
		x := Transfer{
			Line: number(1, 10), Kind: m[2], In: m[3] == "IN", Endpoint: uint8(number(4, 16)),
			RequestType: uint8(number(5, 16)), Request: uint8(number(6, 16)),
			Value: uint16(number(7, 16)), Index: uint16(number(8, 16)), Length: uint16(number(9, 10)),
			Asked: number(10, 10), Moved: number(11, 10), Sum: m[13], Tag: NoTag,
		}
		x.Start, _ = hex.DecodeString(m[12]) // "-" and "*" mean no bytes
		if x.Kind == "BULK" && x.Endpoint == Out {
			if left > 0 {
				x.Tag = announced
				left -= x.Moved
			} else if len(x.Start) == 8 {
				announced, left = int(x.Start[4]&15), int(binary.LittleEndian.Uint32(x.Start))
			}
		}
		list = append(list, x)
	}
	return list, nil
}

// Firmware reports whether the transfer moves firmware, to the device or back.
func (x *Transfer) Firmware() bool {
	return x.Kind == "CTRL" && (x.RequestType == 0x21 && x.Request == 1 || x.RequestType == 0xa1 && x.Request == 2)
}

// Standard reports whether the transfer is a standard request, which operating systems also make.
func (x *Transfer) Standard() bool { return x.Kind == "CTRL" && x.RequestType>>5&3 == 0 }

func (x Transfer) String() string {
	return fmt.Sprintf("line %d: %s in=%v ep=%02x %02x %02x %04x %04x %d asked=%d len=%d %x sha256=%.16s, tag %d", x.Line, x.Kind, x.In, x.Endpoint,
		x.RequestType, x.Request, x.Value, x.Index, x.Length, x.Asked, x.Moved, x.Start, x.Sum, x.Tag)
}

// A Trace is a recording with its model.
type Trace struct {
	Name      string // name of the file without extension
	HighSpeed bool   // USB 2
	Boot      bool   // the recording starts in the boot ROM
	Transfers []Transfer
	Compiled  []byte // the model file
	Package   *executable.Package
}

// Inferences counts the inferences of the trace by the events that end them.
func (t *Trace) Inferences() int {
	n := 0
	for _, x := range t.Transfers {
		if x.Kind == "BULK" && x.Endpoint == Event {
			n++
		}
	}
	if t.Package.Caching != nil {
		n--
	}
	return n
}

// All runs test as a subtest for every recording in the reference files (traces/*.txt). If there are none, it skips t.
// It finds the model of a recording in or below the folder models by the length of the program and by the parameters.
// If several models match, it takes the model with the longest name prefix in common with the recording.
func All(t *testing.T, test func(*testing.T, *Trace)) {
	t.Helper()
	models := reference.Path(t, "models")
	for _, file := range reference.Glob(t, "traces/*.txt") {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			trace, err := read(file, models)
			if err != nil {
				t.Fatal(err)
			}
			test(t, trace)
		})
	}
}

func read(file, models string) (*Trace, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	t := &Trace{Name: strings.TrimSuffix(filepath.Base(file), ".txt")}
	if t.Transfers, err = Parse(data); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, x := range t.Transfers {
		t.HighSpeed = t.HighSpeed || x.Endpoint == Output && x.Asked == 256
		t.Boot = t.Boot || x.Firmware()
	}
	_, wanted, _ := strings.Cut(t.Name, "-") // the name without the prefix app- or boot-
	best := -1
	err = filepath.WalkDir(models, func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".tflite") {
			return err
		}
		compiled, err := os.ReadFile(path)
		if err != nil || !bytes.Contains(compiled, []byte(executable.CustomOperator)) {
			return err
		}
		pkg, err := Package(compiled)
		if err != nil || !t.fits(pkg) {
			return nil // another model, or one that this driver cannot run
		}
		if n := commonStart(filepath.Base(path), wanted); n > best {
			best, t.Compiled, t.Package = n, compiled, pkg
		}
		return nil
	})
	if err == nil && t.Package == nil {
		err = fmt.Errorf("%s: no compiled model in %s has the same program and parameters", file, models)
	}
	return t, err
}

// commonStart returns the length of the longest common prefix of a and b.
func commonStart(a, b string) int {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return n
}

// fits reports whether the first instructions and parameters of the trace match pkg.
func (t *Trace) fits(pkg *executable.Package) bool {
	first := pkg.Main
	if pkg.Caching != nil {
		first = pkg.Caching
	}
	const largest = 1 << 20 // bytes of one transfer
	var parameters []byte
	for _, h := range first.Hints {
		if h.Kind == executable.Transfer && h.Buffer == executable.Parameter && parameters == nil {
			parameters = first.Parameters[h.Offset:][:min(h.Size, largest)]
		}
	}
	want := [...]string{2: fmt.Sprintf("%x", sha256.Sum256(parameters))}
	instructions := false
	for _, x := range t.Transfers {
		switch x.Tag {
		case 0:
			if !instructions && (len(first.Chunks) == 0 || len(first.Chunks[0].Bytes) != x.Moved) {
				return false
			}
			instructions = true
		case 2:
			return instructions && x.Sum == want[2]
		}
	}
	return instructions && parameters == nil
}

// Package reads the first Edge TPU package in a compiled model file.
func Package(compiled []byte) (*executable.Package, error) {
	m, err := tflite.Parse(compiled)
	if err != nil {
		return nil, err
	}
	for _, s := range m.Subgraphs {
		for _, op := range s.Operators {
			if m.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
				return executable.Parse(op.CustomOptions)
			}
		}
	}
	return nil, fmt.Errorf("no operator %s", executable.CustomOperator)
}

// TinyPackage returns a package that drivers and package emulator accept, although no real chip could run it. It has an
// input and an output "x" of size bytes, and 64 KiB of parameters with the given token. The instructions for an
// inference begin with the byte first, and the instructions that load the parameters begin with first+1.
func TinyPackage(size int, first byte, token uint64) *executable.Package {
	const parameters = 64 << 10
	transfer := func(b executable.Buffer, name string, size int) executable.Hint {
		return executable.Hint{Kind: executable.Transfer, Buffer: b, Name: name, Size: size, Out: b == executable.Output}
	}
	program := func(kind executable.Type, first byte, transfers ...executable.Hint) executable.Executable {
		hints := append([]executable.Hint{{Kind: executable.Instructions}}, transfers...)
		return executable.Executable{
			Chip: "beagle", Type: kind, Token: token, BatchSize: 1, Deterministic: true,
			Chunks: []executable.InstructionChunk{{Bytes: bytes.Repeat([]byte{first, 0x0f, 0, 0}, 64)}},
			Hints:  append(hints, executable.Hint{Kind: executable.Interrupt}),
		}
	}
	layers := []executable.Layer{{Name: "x", Size: size, Y: 1, X: 1, Z: size, Scale: 1}}
	p := &executable.Package{Executables: []executable.Executable{
		program(executable.ExecutionOnly, first, transfer(executable.Input, "x", size), transfer(executable.Output, "x", size)),
		program(executable.ParameterCaching, first+1, transfer(executable.Parameter, "", parameters)),
	}}
	p.Executables[0].Inputs, p.Executables[0].Outputs = layers, layers
	p.Executables[1].Parameters = make([]byte, parameters)
	p.Main, p.Caching = &p.Executables[0], &p.Executables[1]
	return p
}
