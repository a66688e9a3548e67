package emulator

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// ErrModel is wrapped by what Register refuses.
var ErrModel = errors.New("not a model the emulator can take")

// model is a registered package.
type model struct {
	programs []*program
}

// Register makes the packages of a compiled model file known, so that the device can tell what it is sent. twin is the
// uncompiled file the package was made from, whose order of layers the device needs to compute; nil for a device that
// answers with a pattern. Both must not change afterwards.
//
// A program that differs from a registered one only in addresses, multipliers and zero points, as after new weights
// were written into a compiled file, is recognised, and computed with what was sent.
func (d *Device) Register(compiled, twin []byte) error {
	file, err := tflite.Parse(compiled)
	if err != nil {
		return fmt.Errorf("%w: compiled file: %w", ErrModel, err)
	}
	var graph *tflite.Model
	if twin != nil {
		if graph, err = tflite.Parse(twin); err != nil {
			return fmt.Errorf("%w: uncompiled twin: %w", ErrModel, err)
		}
	}
	var packages []*executable.Package
	for _, s := range file.Subgraphs {
		for _, op := range s.Operators {
			if file.OperatorCodes[op.Opcode].CustomCode != executable.CustomOperator {
				continue
			}
			pkg, err := executable.Parse(op.CustomOptions)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrModel, err)
			}
			packages = append(packages, pkg)
		}
	}
	if packages == nil {
		return fmt.Errorf("%w: the file was not compiled for the Edge TPU", ErrModel)
	}
	for _, pkg := range packages {
		if err := d.RegisterPackage(pkg, graph); err != nil {
			return err
		}
	}
	return nil
}

// RegisterPackage is Register for a package and its twin, which may be nil, that were read already.
func (d *Device) RegisterPackage(pkg *executable.Package, twin *tflite.Model) error {
	m := new(model)
	var caching *program
	for i := range pkg.Executables {
		p, err := newProgram(&pkg.Executables[i])
		if err != nil {
			return err
		}
		m.programs = append(m.programs, p)
		if p.executable.Type == executable.ParameterCaching {
			caching = p
		}
	}
	for _, p := range m.programs {
		if p == caching {
			continue
		}
		p.caching = caching
		if twin != nil {
			var err error
			if p.network, err = newNetwork(twin, p); err != nil {
				return fmt.Errorf("%w: %w", ErrModel, err)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.models = append(d.models, m)
	return nil
}

// program is one executable of a registered package, and the memory of its runs.
type program struct {
	executable *executable.Executable
	caching    *program // which loads its parameters; nil if it has all itself
	network    *network // what it computes; nil if the twin is not known
	hints      []executable.Hint
	// Of each chunk, the bytes that may differ from the file's: those of addresses, and besides these the ones that
	// say how layers are requantised.
	addresses, requantised []mask

	// What the present or last run was sent, and its results on the wire.
	chunks     [][]byte
	inputs     [][]byte // by input layer
	parameters []byte
	outputs    [][]byte // by output layer
	scratch    []byte
	computed   bool
}

func newProgram(e *executable.Executable) (*program, error) {
	p := &program{executable: e, hints: e.Hints, scratch: make([]byte, e.ScratchBytes), parameters: make([]byte, len(e.Parameters))}
	if !e.Deterministic || len(p.hints) == 0 {
		return nil, fmt.Errorf("%w: executable %q does not list its transfers", ErrModel, e.Name)
	}
	for _, c := range e.Chunks {
		m := mask{}
		for _, f := range c.Fields {
			m = m.add(f.Bit, 32)
		}
		p.addresses = append(p.addresses, m)
		p.requantised = append(p.requantised, m)
		p.chunks = append(p.chunks, make([]byte, len(c.Bytes)))
	}
	for _, l := range e.Inputs {
		p.inputs = append(p.inputs, make([]byte, l.Size))
	}
	for _, l := range e.Outputs {
		p.outputs = append(p.outputs, make([]byte, l.Size))
	}
	for _, h := range p.hints {
		if h.Kind == executable.Transfer && p.at(h) == nil {
			return nil, fmt.Errorf("%w: executable %q moves %d bytes at %d of %v %q, which do not exist", ErrModel, e.Name, h.Size, h.Offset, h.Buffer, h.Name)
		}
	}
	return p, nil
}

// at gives the memory a transfer moves, nil if there is no such.
func (p *program) at(h executable.Hint) []byte {
	var b []byte
	switch h.Buffer {
	case executable.Input:
		for i := range p.inputs {
			if p.executable.Inputs[i].Name == h.Name {
				b = p.inputs[i]
			}
		}
	case executable.Output:
		for i := range p.outputs {
			if p.executable.Outputs[i].Name == h.Name {
				b = p.outputs[i]
			}
		}
	case executable.Parameter:
		b = p.parameters
	case executable.Scratch:
		b = p.scratch
	}
	if h.Offset < 0 || h.Size <= 0 || h.Size > len(b) || h.Offset > len(b)-h.Size {
		return nil
	}
	return b[h.Offset : h.Offset+h.Size]
}

// wants reports whether a step takes bytes from the host.
func (p *program) wants(step int) bool {
	if step >= len(p.hints) {
		return false
	}
	h := p.hints[step]
	return h.Kind == executable.Instructions || h.Kind == executable.Transfer && !h.Out
}

// length is the number of bytes of a step that wants some.
func (p *program) length(h executable.Hint) int {
	if h.Kind == executable.Instructions {
		return len(p.chunks[h.Chunk])
	}
	return h.Size
}

// load stores the bytes of a step; false if they are not what the program can have there.
func (p *program) load(h executable.Hint, b []byte) bool {
	if h.Kind == executable.Transfer {
		copy(p.at(h), b)
		return true
	}
	if !p.requantised[h.Chunk].equal(b, p.executable.Chunks[h.Chunk].Bytes) {
		return false
	}
	copy(p.chunks[h.Chunk], b)
	return true
}

// address is where the host said a transfer's buffer is.
func (p *program) address(h executable.Hint) (a uint64) {
	for i, c := range p.executable.Chunks {
		for _, f := range c.Fields {
			if f.Buffer != h.Buffer || f.Name != h.Name {
				continue
			}
			v := uint64(bits(p.chunks[i], f.Bit, 32))
			if f.Half == executable.Upper {
				v <<= 32
			}
			a |= v
		}
	}
	return a
}

// result gives the bytes of an output.
func (p *program) result(h executable.Hint) []byte { return p.at(h) }

// same reports whether two programs are of the same instructions, as caching programs of models of one architecture
// are.
func (p *program) same(q *program) bool {
	if p == q {
		return true
	}
	if len(p.executable.Chunks) != len(q.executable.Chunks) {
		return false
	}
	for i, c := range p.executable.Chunks {
		if !bytes.Equal(c.Bytes, q.executable.Chunks[i].Bytes) {
			return false
		}
	}
	return true
}

// recognise finds the program that begins with a chunk of instructions: one that is equal but for the addresses, or
// else one that is equal but for the requantisation too.
func (d *Device) recognise(b []byte) *program {
	for _, requantised := range []bool{false, true} {
		for _, m := range d.models {
			for _, p := range m.programs {
				first := p.hints[0]
				if first.Kind != executable.Instructions || len(p.chunks[first.Chunk]) != len(b) {
					continue
				}
				mask := p.addresses[first.Chunk]
				if requantised {
					mask = p.requantised[first.Chunk]
				}
				if mask.equal(b, p.executable.Chunks[first.Chunk].Bytes) {
					p.computed = false
					return p
				}
			}
		}
	}
	return nil
}

// compute fills the outputs from the inputs, with the parameters that are on the chip, nil if none are.
func (p *program) compute(k *cached) error {
	for i := range p.scratch { // what is spilled comes back unread
		p.scratch[i] = byte(7 * i)
	}
	var err error
	if p.network != nil {
		if err = p.network.run(p, k); err == nil {
			return nil
		}
	}
	for _, out := range p.outputs {
		for i := range out {
			out[i] = byte(7 * i)
		}
	}
	return err
}

// mask is a set of bits of a chunk, as its bytes that have any, in order.
type mask []maskedByte

type maskedByte struct {
	at   int
	bits byte
}

// add adds n bits.
func (m mask) add(bit, n int) mask {
	for ; n > 0; bit, n = bit+1, n-1 {
		i := len(m)
		for i > 0 && m[i-1].at >= bit/8 {
			i--
		}
		if i == len(m) || m[i].at != bit/8 {
			m = append(m, maskedByte{})
			copy(m[i+1:], m[i:])
			m[i] = maskedByte{at: bit / 8}
		}
		m[i].bits |= 1 << (bit % 8)
	}
	return m
}

// equal compares chunks of one length outside of the mask.
func (m mask) equal(a, b []byte) bool {
	from := 0
	for _, k := range m {
		if !bytes.Equal(a[from:k.at], b[from:k.at]) || (a[k.at]^b[k.at])&^k.bits != 0 {
			return false
		}
		from = k.at + 1
	}
	return bytes.Equal(a[from:], b[from:])
}

// bits reads n ≤ 32 bits, the lowest bit of byte 0 being bit 0.
func bits(b []byte, bit, n int) uint32 {
	var v uint64
	for i := (bit + n - 1) / 8; i >= bit/8; i-- {
		v = v<<8 | uint64(b[i])
	}
	return uint32(v >> (bit % 8) & (1<<n - 1))
}
