package emulator

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// ErrModel means that Register was given a model that the emulator cannot run.
var ErrModel = errors.New("model not supported by the emulator")

// model is a registered package.
type model struct {
	programs []*program
}

// Register makes the device recognize the packages of a compiled model file. uncompiled is the model file that it was
// compiled from; if nil, the outputs are a fixed pattern. Do not change the slices afterwards. Errors wrap ErrModel.
//
// The device also recognizes programs that differ only in addresses, multipliers and zero points, for example because
// new weights were written into the compiled file. It computes with the weights and constants that it receives.
func (d *Device) Register(compiled, uncompiled []byte) error {
	file, err := tflite.Parse(compiled)
	if err != nil {
		return fmt.Errorf("%w: compiled model: %w", ErrModel, err)
	}
	var graph *tflite.Model
	if uncompiled != nil {
		if graph, err = tflite.Parse(uncompiled); err != nil {
			return fmt.Errorf("%w: uncompiled model: %w", ErrModel, err)
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
		return fmt.Errorf("%w: not compiled for the Edge TPU", ErrModel)
	}
	for _, pkg := range packages {
		if err := d.RegisterPackage(pkg, graph); err != nil {
			return err
		}
	}
	return nil
}

// RegisterPackage is like [Device.Register] for a parsed package and its uncompiled model, which may be nil. It replaces
// an earlier registration of the package.
func (d *Device) RegisterPackage(pkg *executable.Package, uncompiled *tflite.Model) error {
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
		if uncompiled != nil {
			var err error
			if p.network, err = newNetwork(uncompiled, p, d.config.Operator); err != nil {
				return fmt.Errorf("%w: %w", ErrModel, err)
			}
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.models = append(slices.DeleteFunc(d.models, m.same), m)
	return nil
}

// same reports whether two models have the same instructions.
func (m *model) same(n *model) bool {
	return slices.EqualFunc(m.programs, n.programs, (*program).same)
}

// RegisterFunc is like [Device.RegisterPackage], but the outputs are computed by f instead of from a model. f receives
// the parameters that the program's inferences use, or nil if they are not on the chip. It receives the inputs and fills
// the outputs, in the order of the executable's layers and with their bytes on the wire. f must not call the device.
func (d *Device) RegisterFunc(pkg *executable.Package, f func(parameters []byte, inputs, outputs [][]byte)) error {
	if err := d.RegisterPackage(pkg, nil); err != nil {
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range d.models[len(d.models)-1].programs {
		p.function = f
	}
	return nil
}

// program is one executable of a registered package, with the buffers for its runs.
type program struct {
	executable *executable.Executable
	caching    *program // loads the parameters; nil if the executable has all of them
	network    *network // nil without an uncompiled model
	hints      []executable.Hint
	// function computes the outputs in place of network; nil if the package was not registered with RegisterFunc.
	function func(parameters []byte, inputs, outputs [][]byte)
	// These masks hold the bits of each chunk that may differ from the file. addresses holds the bits of addresses.
	// requantized also holds the bits that determine how layers are requantized.
	addresses, requantized []mask

	// These fields hold the bytes received for the current or last run, and the bytes of its results on the wire.
	chunks     [][]byte
	inputs     [][]byte // indexed by input layer
	parameters []byte
	outputs    [][]byte // indexed by output layer
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
		p.requantized = append(p.requantized, slices.Clone(m)) // a network adds bits, in place
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
			return nil, fmt.Errorf("%w: executable %q transfers %d bytes at offset %d of %v %q, which do not exist", ErrModel, e.Name, h.Size, h.Offset, h.Buffer, h.Name)
		}
	}
	return p, nil
}

// at returns the memory of a transfer, or nil if it does not exist.
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

// length returns the number of bytes that a step takes.
func (p *program) length(h executable.Hint) int {
	if h.Kind == executable.Instructions {
		return len(p.chunks[h.Chunk])
	}
	return h.Size
}

// load stores the bytes of a step. It returns false if they are not instructions of the program.
func (p *program) load(h executable.Hint, b []byte) bool {
	if h.Kind == executable.Transfer {
		copy(p.at(h), b)
		return true
	}
	if !p.requantized[h.Chunk].equal(b, p.executable.Chunks[h.Chunk].Bytes) {
		return false
	}
	copy(p.chunks[h.Chunk], b)
	return true
}

// address returns the address that the host has given for a transfer's buffer.
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

// result returns the bytes of an output.
func (p *program) result(h executable.Hint) []byte { return p.at(h) }

// same reports whether two programs have the same instructions. If two models have the same architecture, their
// caching programs do.
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

// recognize finds the program whose first chunk of instructions is b. It prefers a program that differs only in
// addresses over a program that also differs in requantization.
func (d *Device) recognize(b []byte) *program {
	for _, requantized := range []bool{false, true} {
		for _, m := range d.models {
			for _, p := range m.programs {
				first := p.hints[0]
				if first.Kind != executable.Instructions || len(p.chunks[first.Chunk]) != len(b) {
					continue
				}
				mask := p.addresses[first.Chunk]
				if requantized {
					mask = p.requantized[first.Chunk]
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

// compute fills the outputs from the inputs and from k, the parameters on the chip. If there are no parameters, k is
// nil.
func (p *program) compute(k *cached) error {
	for i := range p.scratch { // the host returns spilled bytes, and nothing reads them
		p.scratch[i] = byte(7 * i)
	}
	if p.function != nil {
		var parameters []byte
		switch {
		case p.caching == nil:
			parameters = p.parameters
		case k != nil:
			parameters = k.bytes
		}
		p.function(parameters, p.inputs, p.outputs)
		return nil
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

// mask is a set of bits of a chunk, stored as the bytes that contain any of them, in order.
type mask []maskedByte

type maskedByte struct {
	at   int
	bits byte
}

// add adds n bits, starting at bit.
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

// equal reports whether two chunks of equal length are equal outside the mask.
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

// bits reads n ≤ 32 bits, starting at bit. Bit 0 is the lowest bit of byte 0.
func bits(b []byte, bit, n int) uint32 {
	var v uint64
	for i := (bit + n - 1) / 8; i >= bit/8; i-- {
		v = v<<8 | uint64(b[i])
	}
	return uint32(v >> (bit % 8) & (1<<n - 1))
}
