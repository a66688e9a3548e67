// Package kernels computes the operators of quantised TensorFlow Lite models,
// byte for byte as TensorFlow Lite 2.9.0 does on x86-64 with AVX2, on every
// processor. Start with a constructor such as [NewConv2D], which checks shapes
// and quantisation and packs the weights; then run the [Kernel] it returns.
//
// A Kernel is immutable: any number of goroutines may run it at once, each
// with its own [Args]. Running allocates nothing, starts no goroutine and
// cannot fail. Constructors copy what they need of constant tensors, so their
// Data may change afterwards.
//
// What takes the time is in assembly for processors that have the instructions.
// [Implementation] says which is chosen; the environment variable
// IMPRINT_KERNELS names another, and the build tag purego leaves only plain Go.
// All give the same bytes.
//
// Tensors are row-major, images NHWC, elements little-endian.
package kernels

import (
	"errors"
	"fmt"
	"math"
)

var (
	// ErrInvalid is wrapped by errors about shapes, parameters or quantisation
	// that contradict one another.
	ErrInvalid = errors.New("invalid operator")
	// ErrUnsupported is wrapped when an operator is sound but not in a form,
	// such as an element type, that this package computes.
	ErrUnsupported = errors.New("unsupported form of operator")
)

// MaxElements is the largest number of elements of one tensor.
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

// Size is the number of bytes of one element, 0 for an unknown type.
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

// quantised reports whether t holds 8-bit codes.
func (t Type) quantised() bool { return t == Uint8 || t == Int8 }

// limits are the smallest and largest code of an 8-bit type.
func (t Type) limits() (lo, hi int32) {
	if t == Int8 {
		return -128, 127
	}
	return 0, 255
}

// A Tensor describes an operand. An 8-bit code q means scale·(q − zero point).
type Tensor struct {
	Type  Type
	Shape []int
	// Scale and ZeroPoint have one entry, or one per slice along Axis; both
	// are empty when the tensor is not quantised.
	Scale     []float32
	ZeroPoint []int64
	Axis      int
	// Data is the content of a constant; nil for what only Run sees.
	Data []byte
}

// Elements is the product of the shape: 1 for a scalar.
func (t *Tensor) Elements() int {
	n := 1
	for _, d := range t.Shape {
		n *= d
	}
	return n
}

// Bytes is the length of the tensor's memory.
func (t *Tensor) Bytes() int { return t.Elements() * t.Type.Size() }

// Args is the memory of one run. Slices must have the lengths of the tensors
// the kernel was made for; Out must not overlap an input.
type Args struct {
	// In holds the inputs in the order of the constructor's tensors; entries
	// of constants are not read.
	In  [][]byte
	Out []byte
	// Scratch has at least Kernel.Scratch bytes; its content is arbitrary.
	Scratch []byte
}

// A Kernel is an operator prepared for fixed shapes.
type Kernel interface {
	// Parts is the number of pieces, at least 1, into which the output divides.
	Parts() int
	// Scratch is the number of bytes of scratch that a run needs.
	Scratch() int
	// Run computes the pieces lo ≤ p < hi of the output. Different pieces may
	// be computed at the same time, each call with its own scratch. The bytes
	// of the output do not depend on how the pieces are divided.
	Run(a *Args, lo, hi int)
}

// check verifies what every operand must satisfy.
func (t *Tensor) check(what string) error {
	if t == nil {
		return fmt.Errorf("%w: %s is missing", ErrInvalid, what)
	}
	if t.Type.Size() == 0 {
		return fmt.Errorf("%w: %s has element %v", ErrUnsupported, what, t.Type)
	}
	n := 1
	for _, d := range t.Shape {
		if d <= 0 {
			return fmt.Errorf("%w: %s has shape %v", ErrInvalid, what, t.Shape)
		}
		if d > MaxElements/n {
			return fmt.Errorf("%w: %s of shape %v has more than %d elements", ErrInvalid, what, t.Shape, MaxElements)
		}
		n *= d
	}
	if t.Data != nil && len(t.Data) != n*t.Type.Size() {
		return fmt.Errorf("%w: %s of shape %v has %d bytes, want %d", ErrInvalid, what, t.Shape, len(t.Data), n*t.Type.Size())
	}
	if !t.Type.quantised() {
		return nil
	}
	if len(t.Scale) != len(t.ZeroPoint) && len(t.ZeroPoint) > 1 {
		return fmt.Errorf("%w: %s has %d scales and %d zero points", ErrInvalid, what, len(t.Scale), len(t.ZeroPoint))
	}
	for _, s := range t.Scale {
		if !(s > 0) || math.IsInf(float64(s), 0) {
			return fmt.Errorf("%w: %s has scale %v", ErrInvalid, what, s)
		}
	}
	lo, hi := t.Type.limits()
	for _, z := range t.ZeroPoint {
		if z < int64(lo) || z > int64(hi) {
			return fmt.Errorf("%w: %s is %v with zero point %d", ErrInvalid, what, t.Type, z)
		}
	}
	return nil
}

// checkQuantised verifies that t is quantised as one whole.
func (t *Tensor) checkQuantised(what string) error {
	if err := t.check(what); err != nil {
		return err
	}
	if !t.Type.quantised() {
		return fmt.Errorf("%w: %s is %v, want uint8 or int8", ErrUnsupported, what, t.Type)
	}
	if len(t.Scale) != 1 {
		return fmt.Errorf("%w: %s has %d scales, want 1", ErrInvalid, what, len(t.Scale))
	}
	return nil
}

// zero is the zero point of a tensor quantised as one whole.
func (t *Tensor) zero() int32 {
	if len(t.ZeroPoint) == 0 {
		return 0
	}
	return int32(t.ZeroPoint[0])
}

func (t *Tensor) scale() float32 { return t.Scale[0] }

func sameShape(a, b []int) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// sameType verifies that all tensors have one element type.
func sameType(first *Tensor, rest ...*Tensor) error {
	for _, t := range rest {
		if t.Type != first.Type {
			return fmt.Errorf("%w: element types %v and %v together", ErrUnsupported, first.Type, t.Type)
		}
	}
	return nil
}

// chunk is the number of elements in a piece of an element-wise operator.
const chunk = 8192

func chunks(n int) int { return (n + chunk - 1) / chunk }

// span is the range of elements that the pieces lo ≤ p < hi of n cover.
func span(lo, hi, n int) (from, to int) { return min(lo*chunk, n), min(hi*chunk, n) }
