// Package executable reads the Edge TPU program inside a compiled TensorFlow Lite
// model. Start with [Parse], which takes the custom options of an operator called
// [CustomOperator]. A driver then follows the hints of [Package.Caching] and
// [Package.Main].
//
// Parse verifies every offset, length and name, so a driver can follow the hints without further
// checks. A Package shares memory with the bytes that it was read from. Multiple goroutines may
// read it concurrently. Changing instructions or parameters in place needs exclusive access.
//
// The format is three nested flatbuffers inside a flexbuffer. It is described by
// executable/executable.fbs and tflite/custom_op_data.cc of libedgetpu.
package executable

import (
	"errors"
	"fmt"
)

// CustomOperator is the name of the TensorFlow Lite operator that holds a package.
const CustomOperator = "edgetpu-custom-op"

// MaxRuntimeVersion is the newest runtime version that Parse accepts, in the compiler's numbering.
// It is the version of libedgetpu 16.
const MaxRuntimeVersion = 14

var (
	// ErrCorrupt means that the bytes break the format.
	ErrCorrupt = errors.New("corrupt executable")
	// ErrTooLarge means that the bytes exceed a limit of this package.
	ErrTooLarge = errors.New("executable exceeds a limit")
	// ErrUnsupported means that a package is valid, but needs a newer runtime or a
	// feature that no known compiler uses.
	ErrUnsupported = errors.New("unsupported executable")
)

// A Package holds the executables that one operator runs on the Edge TPU.
type Package struct {
	MinRuntimeVersion int
	CompilerVersion   string
	ModelIdentifier   string
	KeypairVersion    int
	Signature         []byte // empty in every known file; never verified
	// ChipIDs is the wrapper's list of chips, one for each package of the
	// operator. It is nil in files of older compilers. The meaning of its values
	// is not published.
	ChipIDs     []int
	Executables []Executable
	// Main is the executable that runs an inference. Caching, which may be nil, loads parameters
	// onto the chip. Caching must run before Main unless the chip already holds parameters with the
	// same Token.
	Main, Caching *Executable
	// Ignored lists the names of fields that this package does not know, without duplicates.
	Ignored []string
}

// A Type says when an executable runs.
type Type uint8

// The types of executables.
const (
	StandAlone       Type = iota // runs for every inference and streams all its parameters
	ParameterCaching             // runs once to load parameters onto the chip
	ExecutionOnly                // runs for every inference, after ParameterCaching
)

func (t Type) String() string {
	return enum(int(t), "stand-alone", "parameter caching", "execution only")
}

// An Executable is one program for the chip.
type Executable struct {
	Version int
	Name    string
	Chip    string // "beagle": the Coral Edge TPU
	Type    Type
	// Token identifies the parameters that the chip must hold. Loading parameters does not evict
	// parameters with the same token. 0 means no token.
	Token        uint64
	token        []byte // the bytes of Token in the file, nil if absent
	BatchSize    int
	ScratchBytes int // size of the host memory that the program spills to
	Chunks       []InstructionChunk
	// Parameters are streamed to the chip in every run.
	Parameters []byte
	// Hints are the transfers of one run, in order. They are nil if the file has none.
	Hints []Hint
	// Deterministic means that Hints list every transfer of the program.
	Deterministic         bool
	Inputs, Outputs       []Layer
	EstimatedCycles       int64 // clock cycles of one run, as estimated by the compiler; 0 if unknown
	NarrowMemoryPerTile   int   // bytes
	ParametersInTPUMemory bool  // the parameters are in off-chip memory, which Coral devices lack
}

// Input returns the input layer with the given name, or nil if there is none.
func (e *Executable) Input(name string) *Layer { return layerNamed(e.Inputs, name) }

// Output returns the output layer with the given name, or nil if there is none.
func (e *Executable) Output(name string) *Layer { return layerNamed(e.Outputs, name) }

func layerNamed(list []Layer, name string) *Layer {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// An InstructionChunk is a piece of the program: 16-byte instructions that are sent
// together.
type InstructionChunk struct {
	Bytes  []byte
	Fields []Field
}

// A Buffer is a kind of host memory that a program uses.
type Buffer uint8

// The kinds of buffers.
const (
	Output Buffer = iota
	Input
	Parameter
	Scratch
)

func (b Buffer) String() string { return enum(int(b), "output", "input", "parameter", "scratch") }

// A Half is one half of a 64-bit address.
type Half uint8

// The halves of an address.
const (
	Lower Half = iota
	Upper
)

func (h Half) String() string { return enum(int(h), "lower", "upper") }

// A Field is a place in a chunk for 32 bits of a buffer's address.
type Field struct {
	Bit    int // position in the chunk; bit 0 is the lowest bit of byte 0
	Buffer Buffer
	Half   Half
	Name   string // name of the layer if Buffer is Input or Output
	Batch  int
}

// Put writes v into the field in chunk, which must be a copy of the bytes of the field's
// InstructionChunk.
func (f Field) Put(chunk []byte, v uint32) {
	at, shift := f.Bit/8, f.Bit%8
	mask, bits := uint64(0xffffffff)<<shift, uint64(v)<<shift
	for i := 0; mask != 0; i++ {
		chunk[at+i] = chunk[at+i]&^byte(mask) | byte(bits)
		mask, bits = mask>>8, bits>>8
	}
}

// A HintKind is the action that a driver takes for a [Hint].
type HintKind uint8

// Hint kinds, numbered as in the executable format.
const (
	Transfer     HintKind = iota + 1 // transfer Size bytes of a Buffer
	Instructions                     // send a whole chunk
	Interrupt                        // wait until the program raises an interrupt
	Fence                            // wait for all hints before this one
)

func (k HintKind) String() string {
	return enum(int(k), "", "transfer", "instructions", "interrupt", "fence")
}

// A Hint is one step of a run. The program expects the steps in this order.
type Hint struct {
	Kind HintKind
	Out  bool // for a Transfer: from the chip to the host
	// A Transfer moves Size bytes at Offset in Buffer. If the buffer is an input or output, Name is
	// the name of its layer.
	Buffer       Buffer
	Name         string
	Batch        int
	Offset, Size int
	Chunk        int // for Instructions: index into Chunks
	Number       int // for an Interrupt: 0 to 3
}

// Tag returns the chip's number for the transfer or interrupt: 0 for instructions,
// 1 for input and scratch, 2 for parameters, 3 for output, 4 to 7 for interrupts,
// −1 for a Fence.
func (h Hint) Tag() int {
	switch {
	case h.Kind == Instructions:
		return 0
	case h.Kind == Interrupt:
		return 4 + h.Number
	case h.Kind != Transfer:
		return -1
	case h.Out:
		return 3
	case h.Buffer == Parameter:
		return 2
	}
	return 1
}

// enum returns the name of value i, or its number if it has none.
func enum(i int, names ...string) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprint(i)
}
