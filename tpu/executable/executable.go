// Package executable reads the program that Google's compiler puts into a
// TensorFlow Lite model for the Edge TPU. Start with [Parse], which takes the
// custom options of an operator called [CustomOperator] and verifies every
// offset, length and name before it gives the [Package]; a driver then walks
// the hints of [Package.Main] and [Package.Caching].
//
// A Package is plain memory and shares it with the bytes it was read from: it
// may be read from many goroutines, and instruction chunks and parameters may
// be changed in place by one.
//
// The format is three nested flatbuffers inside a flexbuffer, described by
// executable/executable.fbs and tflite/custom_op_data.cc of libedgetpu.
package executable

import (
	"errors"
	"fmt"
)

// CustomOperator is the name of the operator that holds a package.
const CustomOperator = "edgetpu-custom-op"

// MaxRuntimeVersion is the newest runtime, as compilers count them, whose
// packages this package understands: that of libedgetpu 16.
const MaxRuntimeVersion = 14

var (
	// ErrCorrupt is wrapped by every error about bytes that break the format.
	ErrCorrupt = errors.New("corrupt executable")
	// ErrTooLarge is wrapped when a limit of this package is exceeded.
	ErrTooLarge = errors.New("executable exceeds a limit")
	// ErrUnsupported is wrapped when a package is sound but needs what no known
	// compiler was seen to use, or a newer runtime.
	ErrUnsupported = errors.New("unsupported executable")
)

// A Package is everything that one operator runs on the Edge TPU.
type Package struct {
	MinRuntimeVersion int // that the compiler asks for
	CompilerVersion   string
	ModelIdentifier   string
	KeypairVersion    int
	Signature         []byte // empty in every known file; never verified
	// ChipIDs is the wrapper's list of chips, one for each package of the
	// operator; nil in files of older compilers. Its values are not explained
	// anywhere.
	ChipIDs     []int
	Executables []Executable
	// Main is the executable of an inference. Caching, which may be nil, puts
	// parameters on the chip and must have run before Main while the chip's
	// parameters are not of the same Token.
	Main, Caching *Executable
	// Ignored names, once each, fields that this version does not know.
	Ignored []string
}

// A Type says when an executable runs.
type Type uint8

// The types of executables.
const (
	StandAlone       Type = iota // alone, with all its parameters
	ParameterCaching             // once, to load parameters
	ExecutionOnly                // for every inference, after ParameterCaching
)

func (t Type) String() string {
	return enum(int(t), "stand-alone", "parameter caching", "execution only")
}

// An Executable is one program of the chip.
type Executable struct {
	Version int
	Name    string
	Chip    string // "beagle": the Coral Edge TPU
	Type    Type
	// Token says which parameters the chip must hold; executables with equal
	// tokens keep each other's. 0 means none.
	Token        uint64
	token        []byte // where it is
	BatchSize    int
	ScratchBytes int // of host memory that the program spills to
	Chunks       []InstructionChunk
	// Parameters are streamed to the chip at every run of this executable.
	Parameters []byte
	// Hints are the transfers of one run in order; nil when the file has none.
	Hints []Hint
	// Deterministic means that Hints list every transfer of the program.
	Deterministic         bool
	Inputs, Outputs       []Layer
	EstimatedCycles       int64 // of one run, as the compiler guessed; 0 if it did not
	NarrowMemoryPerTile   int   // bytes
	ParametersInTPUMemory bool  // in memory outside of the chip, which Coral devices lack
}

// Input returns the input layer of that name, or nil.
func (e *Executable) Input(name string) *Layer { return layerNamed(e.Inputs, name) }

// Output returns the output layer of that name, or nil.
func (e *Executable) Output(name string) *Layer { return layerNamed(e.Outputs, name) }

func layerNamed(list []Layer, name string) *Layer {
	for i := range list {
		if list[i].Name == name {
			return &list[i]
		}
	}
	return nil
}

// An InstructionChunk is a piece of program, sent as a whole, of 16-byte
// instructions.
type InstructionChunk struct {
	Bytes  []byte
	Fields []Field
}

// A Buffer is a kind of host memory that a program refers to.
type Buffer uint8

// The kinds of buffers.
const (
	Output Buffer = iota
	Input
	Parameter
	Scratch
)

func (b Buffer) String() string { return enum(int(b), "output", "input", "parameter", "scratch") }

// A Half is a part of a 64-bit address.
type Half uint8

// The halves of an address.
const (
	Lower Half = iota
	Upper
)

func (h Half) String() string { return enum(int(h), "lower", "upper") }

// A Field is where a chunk wants 32 bits of a buffer's address.
type Field struct {
	Bit    int // of the chunk, the lowest bit of byte 0 being bit 0
	Buffer Buffer
	Half   Half
	Name   string // of the layer, for inputs and outputs
	Batch  int
}

// Put writes v into the field of chunk, a copy of the chunk the field is of.
func (f Field) Put(chunk []byte, v uint32) {
	at, shift := f.Bit/8, f.Bit%8
	mask, bits := uint64(0xffffffff)<<shift, uint64(v)<<shift
	for i := 0; mask != 0; i++ {
		chunk[at+i] = chunk[at+i]&^byte(mask) | byte(bits)
		mask, bits = mask>>8, bits>>8
	}
}

// A HintKind is what a driver does next.
type HintKind uint8

// The kinds of hints, in the order of the format.
const (
	Transfer     HintKind = iota + 1 // move Size bytes of a Buffer
	Instructions                     // send a whole chunk
	Interrupt                        // wait for the program to raise one
	Fence                            // wait for all before
)

func (k HintKind) String() string {
	return enum(int(k), "", "transfer", "instructions", "interrupt", "fence")
}

// A Hint is one step of a run, in the order in which the program expects it.
type Hint struct {
	Kind HintKind
	// Out says that the bytes come out of the chip.
	Out bool
	// Of a Transfer: the buffer, its layer for inputs and outputs, and the
	// bytes of it.
	Buffer       Buffer
	Name         string
	Batch        int
	Offset, Size int
	Chunk        int // of Instructions: index into Chunks
	Number       int // of an Interrupt, 0…3
}

// Tag is the number by which the chip knows such a transfer or interrupt:
// 0 instructions, 1 input and scratch, 2 parameters, 3 output, 4…7 interrupts.
// A Fence has none, −1.
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

// enum names value i, or shows its number.
func enum(i int, names ...string) string {
	if i < len(names) && names[i] != "" {
		return names[i]
	}
	return fmt.Sprint(i)
}
