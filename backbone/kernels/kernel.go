// Package kernels computes the operators of quantized TensorFlow Lite models. On every
// processor, results are bit-identical to TensorFlow Lite 2.9.0 on x86-64 with AVX2. Only
// the float32 forms of operators may differ from TensorFlow Lite in the last places. Call
// a constructor such as [NewConv2D], which checks the operands and packs the weights,
// then run the [Kernel] it returns.
//
// A Kernel is immutable. It is safe for concurrent use by multiple goroutines, each with
// its own [Args]. Running a Kernel does not allocate, start goroutines or fail.
// Constructors copy the data that they need from constant tensors, so Data may change
// afterwards.
//
// The operators that take the most time are in assembly for processors with the right
// instructions. [Implementation] returns the name of the implementation in use. The
// environment variable IMPRINT_KERNELS selects another one, and the build tag purego
// leaves only plain Go. All implementations produce the same bytes.
//
// Tensors are row-major, images are NHWC and elements are little-endian.
package kernels

import (
	"errors"
	"fmt"
	"math"
)

var (
	// ErrInvalid means that shapes, parameters or quantization do not match.
	ErrInvalid = errors.New("invalid operator")
	// ErrUnsupported means that an operator is valid but has a form, such as an element
	// type, that this package does not compute.
	ErrUnsupported = errors.New("unsupported form of operator")
)

// MaxElements is the largest number of elements in a tensor. An int64 tensor may have
// half as many.
const MaxElements = 1 << 28

// A Type is the element type of a tensor.
type Type uint8

// The element types that kernels read or write.
const (
	Float32 Type = iota + 1
	Int32
	Int64
	Uint8
	Int8
)

// Size returns the size of one element in bytes, or 0 for an unknown type.
func (t Type) Size() int {
	switch t {
	case Float32, Int32:
		return 4
	case Int64:
		return 8
	case Uint8, Int8:
		return 1
	}
	return 0
}

// String returns the name of the type, such as uint8.
func (t Type) String() string {
	switch t {
	case Float32:
		return "float32"
	case Int32:
		return "int32"
	case Int64:
		return "int64"
	case Uint8:
		return "uint8"
	case Int8:
		return "int8"
	}
	return fmt.Sprintf("Type(%d)", uint8(t))
}

// quantized reports whether elements are 8-bit codes.
func (t Type) quantized() bool { return t == Uint8 || t == Int8 }

// limits returns the smallest and the largest code of an 8-bit type.
func (t Type) limits() (lo, hi int32) {
	if t == Int8 {
		return -128, 127
	}
	return 0, 255
}

// A Tensor describes an operand. An 8-bit code q represents the real value scale·(q −
// zero point).
type Tensor struct {
	Type  Type
	Shape []int
	// Scale and ZeroPoint have one entry, or one for each slice along Axis. They are
	// empty if the tensor is not quantized.
	Scale     []float32
	ZeroPoint []int64
	Axis      int
	// Data is the content of a constant, and otherwise nil.
	Data []byte
}

// Elements returns the number of elements, which is 1 for a scalar.
func (t *Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes returns the size of the tensor in bytes.
func (t *Tensor) Bytes() int { return t.Elements() * t.Type.Size() }

// Args holds the memory of one run. Each slice must have the size of its tensor in the
// constructor's arguments. Out must not overlap an input.
type Args struct {
	// In holds the inputs in the order of the constructor's arguments. The entries of
	// constants are not used.
	In  [][]byte
	Out []byte // the first output
	// Outs holds all outputs. Only kernels with several outputs use it.
	Outs [][]byte
	// Scratch has at least Kernel.Scratch bytes, with any content.
	Scratch []byte
}

// A Kernel is an operator prepared for given shapes.
type Kernel interface {
	// Parts returns the number of parts, at least 1, that the output is divided into.
	Parts() int
	// Scratch returns the size of the scratch memory for one run, in bytes.
	Scratch() int
	// Run computes the parts lo ≤ p < hi of the output. Different parts may be computed
	// at the same time, each call with its own scratch memory. The output does not
	// depend on how its parts are divided among calls.
	Run(a *Args, lo, hi int)
}

// check returns an error if t is not a valid operand.
func (t *Tensor) check(name string) error {
	if t == nil {
		return fmt.Errorf("%w: %s is missing", ErrInvalid, name)
	}
	if t.Type.Size() == 0 {
		return fmt.Errorf("%w: %s has element type %v", ErrUnsupported, name, t.Type)
	}
	n, limit := 1, MaxElements
	if t.Type == Int64 {
		limit /= 2 // the size in bytes must fit an int of 32 bits
	}
	for _, d := range t.Shape {
		if d <= 0 {
			return fmt.Errorf("%w: %s has shape %v", ErrInvalid, name, t.Shape)
		}
		if d > limit/n {
			return fmt.Errorf("%w: %s of shape %v has more than %d elements", ErrInvalid, name, t.Shape, limit)
		}
		n *= d
	}
	if t.Data != nil && int64(len(t.Data)) != int64(n)*int64(t.Type.Size()) {
		return fmt.Errorf("%w: %s of shape %v has %d bytes, want %d", ErrInvalid, name, t.Shape, len(t.Data), int64(n)*int64(t.Type.Size()))
	}
	if !t.Type.quantized() {
		return nil
	}
	if len(t.Scale) != len(t.ZeroPoint) && len(t.ZeroPoint) > 1 {
		return fmt.Errorf("%w: %s has %d scales and %d zero points", ErrInvalid, name, len(t.Scale), len(t.ZeroPoint))
	}
	for _, s := range t.Scale {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return fmt.Errorf("%w: %s has scale %v", ErrInvalid, name, s)
		}
	}
	lo, hi := t.Type.limits()
	for _, z := range t.ZeroPoint {
		if z < int64(lo) || z > int64(hi) {
			return fmt.Errorf("%w: %s is %v with zero point %d", ErrInvalid, name, t.Type, z)
		}
	}
	return nil
}

// checkQuantized returns an error if t is not a valid operand with one scale.
func (t *Tensor) checkQuantized(name string) error {
	if err := t.check(name); err != nil {
		return err
	}
	if !t.Type.quantized() {
		return fmt.Errorf("%w: %s is %v, want uint8 or int8", ErrUnsupported, name, t.Type)
	}
	if len(t.Scale) != 1 {
		return fmt.Errorf("%w: %s has %d scales, want 1", ErrInvalid, name, len(t.Scale))
	}
	return nil
}

// zero returns the zero point of t, which must have one scale.
func (t *Tensor) zero() int32 {
	if len(t.ZeroPoint) == 0 {
		return 0
	}
	return int32(t.ZeroPoint[0])
}

// scale returns the scale of t, which must have only one.
func (t *Tensor) scale() float32 { return t.Scale[0] }

// sameType returns an error unless all tensors have the same element type.
func sameType(first *Tensor, rest ...*Tensor) error {
	for _, t := range rest {
		if t.Type != first.Type {
			return fmt.Errorf("%w: mixed element types %v and %v", ErrUnsupported, first.Type, t.Type)
		}
	}
	return nil
}

// chunk is the number of elements in a part of an element-wise operator.
const chunk = 8192

// chunks returns the number of parts that n elements are divided into.
func chunks(n int) int { return (n + chunk - 1) / chunk }

// span returns the range of elements, of n in total, that the parts lo ≤ p < hi contain.
func span(lo, hi, n int) (from, to int) { return min(lo*chunk, n), min(hi*chunk, n) }
