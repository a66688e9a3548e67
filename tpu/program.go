package tpu

import (
	"encoding/binary"
	"fmt"

	"github.com/imprintkit/imprint/tpu/executable"
)

// Addresses for the buffers of programs. Over USB they have no effect: the chip only repeats them in descriptors, which
// are turned off. Compiled code does 32-bit arithmetic with them, so they are below 4 GiB and do not overlap.
const (
	scratchAddress   = 0x1000_0000
	parameterAddress = 0x2000_0000
	inputAddress     = 0x4000_0000
	outputAddress    = 0x6000_0000
	pageSize         = 4096
)

// stepKind says what a step transfers.
type stepKind uint8

const (
	stepSend    stepKind = iota // send instructions, parameters or scratch to the device
	stepInput                   // send part of an input to the device
	stepOutput                  // receive part of an output from the device
	stepScratch                 // receive part of scratch from the device
	stepEvent                   // wait for an interrupt of the scalar core
)

// step is a hint of an executable, prepared for execution.
type step struct {
	kind   stepKind
	header [8]byte // length and tag of bytes sent to the device
	data   []byte  // bytes of stepSend and stepScratch
	layer  int     // index of the layer of stepInput and stepOutput
	offset int     // offset in the layer's bytes on the wire
	size   int     // bytes
	number int     // number of the interrupt of stepEvent
}

func (s *step) String() string {
	switch s.kind {
	case stepSend:
		return fmt.Sprintf("send %d bytes, tag %d", s.size, s.header[4])
	case stepInput:
		return fmt.Sprintf("send %d bytes of input %d", s.size, s.layer)
	case stepOutput:
		return fmt.Sprintf("receive %d bytes of output %d", s.size, s.layer)
	case stepScratch:
		return fmt.Sprintf("receive %d bytes of scratch", s.size)
	}
	return fmt.Sprintf("wait for interrupt %d", s.number)
}

// program is a prepared executable: the transfers of one run, in order.
type program struct {
	exe   *executable.Executable
	steps []step
	// inputs and outputs are buffers for layers whose bytes on the wire differ from the caller's. The entries for other
	// layers are nil.
	inputs, outputs [][]byte
	copied          []int // the inputs to convert before each run
}

// prepare checks that the driver can run exe, and turns its hints into steps. The programs of a package share scratch.
func prepare(exe *executable.Executable, scratch []byte) (*program, error) {
	switch {
	case exe.BatchSize > 1:
		return nil, fmt.Errorf("%w: batches of %d", executable.ErrUnsupported, exe.BatchSize)
	case !exe.Deterministic || len(exe.Hints) == 0:
		return nil, fmt.Errorf("%w: a program that does not list its transfers", executable.ErrUnsupported)
	}
	p := &program{exe: exe, inputs: make([][]byte, len(exe.Inputs)), outputs: make([][]byte, len(exe.Outputs))}
	chunks, err := patch(exe)
	if err != nil {
		return nil, err
	}
	for i := range exe.Outputs {
		if l := &exe.Outputs[i]; !l.Direct() {
			p.outputs[i] = make([]byte, l.Size)
		}
	}
	for i, h := range exe.Hints {
		s, err := p.step(h, chunks, scratch)
		if err != nil {
			return nil, fmt.Errorf("hint %d: %w", i, err)
		}
		if h.Kind != executable.Fence { // transfers are synchronous, so a fence has no effect
			p.steps = append(p.steps, s)
		}
	}
	if last := len(p.steps) - 1; last < 0 || p.steps[last].kind != stepEvent {
		return nil, fmt.Errorf("%w: a program that does not end in an interrupt", executable.ErrUnsupported)
	}
	return p, nil
}

// step prepares one hint.
func (p *program) step(h executable.Hint, chunks [][]byte, scratch []byte) (step, error) {
	s := step{kind: stepSend, offset: h.Offset, size: h.Size, number: h.Number}
	slice := func(b []byte) ([]byte, error) {
		if h.Offset < 0 || h.Size <= 0 || h.Size > len(b)-h.Offset {
			return nil, fmt.Errorf("%w: offset %d and size %d in a %v buffer of %d bytes",
				executable.ErrUnsupported, h.Offset, h.Size, h.Buffer, len(b))
		}
		return b[h.Offset : h.Offset+h.Size], nil
	}
	var err error
	switch h.Kind {
	case executable.Fence:
	case executable.Interrupt:
		if s.kind = stepEvent; h.Number != 0 { // libedgetpu supports no other number over USB
			return s, fmt.Errorf("%w: interrupt %d", executable.ErrUnsupported, h.Number)
		}
	case executable.Instructions:
		if h.Chunk < 0 || h.Chunk >= len(chunks) {
			return s, fmt.Errorf("%w: instruction chunk %d of %d", executable.ErrUnsupported, h.Chunk, len(chunks))
		}
		s.data = chunks[h.Chunk]
		s.size = len(s.data)
	case executable.Transfer:
		switch {
		case h.Buffer == executable.Scratch:
			if h.Out {
				s.kind = stepScratch
			}
			s.data, err = slice(scratch)
		case h.Buffer == executable.Parameter && !h.Out:
			s.data, err = slice(p.exe.Parameters)
		case h.Buffer == executable.Input && !h.Out:
			s.kind = stepInput
			err = p.input(&s, h)
		case h.Buffer == executable.Output && h.Out:
			s.kind = stepOutput
			if s.layer, err = layerIndex(p.exe.Outputs, h); err == nil {
				err = within(p.exe.Outputs[s.layer], h)
			}
		default:
			err = fmt.Errorf("%w: %v transfer in the wrong direction", executable.ErrUnsupported, h.Buffer)
		}
	default:
		err = fmt.Errorf("%w: hint of kind %v", executable.ErrUnsupported, h.Kind)
	}
	if tag := h.Tag(); tag >= 0 && tag <= 2 {
		binary.LittleEndian.PutUint32(s.header[:], uint32(s.size))
		s.header[4] = byte(tag)
	}
	return s, err
}

// input finds the layer of an input step. If the caller's bytes cannot be sent unchanged, it allocates a buffer to
// convert them into: on the wire, padding follows the tensor, and signed types are encoded differently.
func (p *program) input(s *step, h executable.Hint) (err error) {
	if s.layer, err = layerIndex(p.exe.Inputs, h); err != nil {
		return err
	}
	l := &p.exe.Inputs[s.layer]
	if err := within(*l, h); err != nil {
		return err
	}
	if (!l.Direct() || h.Offset+h.Size > l.TensorSize()) && p.inputs[s.layer] == nil {
		p.inputs[s.layer] = make([]byte, l.Size)
		p.copied = append(p.copied, s.layer)
	}
	return nil
}

// within checks that the bytes of h lie in layer l.
func within(l executable.Layer, h executable.Hint) error {
	if h.Batch != 0 || h.Offset < 0 || h.Size <= 0 || h.Size > l.Size-h.Offset {
		return fmt.Errorf("%w: offset %d and size %d of batch %d in layer %q of %d bytes",
			executable.ErrUnsupported, h.Offset, h.Size, h.Batch, h.Name, l.Size)
	}
	return nil
}

func layerIndex(layers []executable.Layer, h executable.Hint) (int, error) {
	for i := range layers {
		if layers[i].Name == h.Name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("%w: no layer %q", executable.ErrUnsupported, h.Name)
}

// patch returns copies of the instruction chunks with the addresses of all buffers filled in. Addresses of buffers that
// the executable lacks stay 0, as in libedgetpu.
func patch(exe *executable.Executable) ([][]byte, error) {
	inputs, outputs := addresses(exe.Inputs, inputAddress), addresses(exe.Outputs, outputAddress)
	chunks := make([][]byte, len(exe.Chunks))
	for i, c := range exe.Chunks {
		chunks[i] = append([]byte(nil), c.Bytes...)
		for _, f := range c.Fields {
			address := uint64(0)
			switch f.Buffer {
			case executable.Parameter:
				if len(exe.Parameters) > 0 {
					address = parameterAddress
				}
			case executable.Scratch:
				if exe.ScratchBytes > 0 {
					address = scratchAddress
				}
			case executable.Input:
				address = inputs[f.Name]
			case executable.Output:
				address = outputs[f.Name]
			}
			if f.Batch != 0 || f.Bit < 0 || (f.Bit+32+7)/8 > len(chunks[i]) {
				return nil, fmt.Errorf("%w: chunk %d has an address field of batch %d at bit %d",
					executable.ErrUnsupported, i, f.Batch, f.Bit)
			}
			if f.Half == executable.Upper {
				address >>= 32
			}
			f.Put(chunks[i], uint32(address))
		}
	}
	return chunks, nil
}

// addresses places the layers one after another from base, each at the start of a page, and returns their addresses by
// name.
func addresses(layers []executable.Layer, base uint64) map[string]uint64 {
	m := make(map[string]uint64, len(layers))
	for _, l := range layers {
		m[l.Name] = base
		base += (uint64(l.Size) + pageSize - 1) / pageSize * pageSize
	}
	return m
}
