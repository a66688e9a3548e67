//go:build cgo && linux && (amd64 || arm64 || riscv64)

package main

// The functions behind coral.h, which coral.c declares. Package coral does the work.

// #include "capi.h"
import "C"

import (
	"errors"
	"fmt"
	"slices"
	"unsafe"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/integrations/delegate/coral"
	"github.com/imprintkit/imprint/integrations/delegate/handle"
)

// valuesAt returns the rows × columns values at p, which are not copied.
func valuesAt[T any](name string, p *T, rows, columns C.size_t) ([]T, error) {
	if rows > maxList || columns > maxList {
		return nil, fmt.Errorf("%w: %s has more than %d rows or columns", handle.ErrArgument, name, maxList)
	}
	if p == nil && rows*columns > 0 {
		return nil, fmt.Errorf("%w: %s is NULL", handle.ErrArgument, name)
	}
	return unsafe.Slice(p, rows*columns), nil
}

// fileAt returns a copy of a model file, because a parsed model keeps parts of it.
func fileAt(p unsafe.Pointer, size C.size_t) ([]byte, error) {
	if p == nil || size == 0 || size > 1<<30 {
		return nil, fmt.Errorf("%w: a model of %d bytes", handle.ErrArgument, size)
	}
	return slices.Clone(unsafe.Slice((*byte)(p), size)), nil
}

// copied returns C memory with the values of a slice.
func copied[T any](values []T) unsafe.Pointer {
	p := C.calloc(C.size_t(max(len(values), 1)), C.size_t(unsafe.Sizeof(*new(T))))
	copy(unsafe.Slice((*T)(p), len(values)), values)
	return p
}

// edited calls f with a copy of a model, classes * dim weights and one more number for each class, and sets *out to the file
// that f returns.
func edited[T any](what string, model unsafe.Pointer, size C.size_t, weights *C.float, numbers *T, classes, dim C.size_t,
	out *unsafe.Pointer, outSize *C.size_t, failure **C.char, f func(file []byte, weights []float32, numbers []T) ([]byte, error)) C.int {
	return call(failure, func() error {
		if err := required("file", out != nil, "file_size", outSize != nil); err != nil {
			return err
		}
		file, err := fileAt(model, size)
		if err != nil {
			return err
		}
		rows, err := valuesAt("weights", (*float32)(weights), classes, dim)
		if err != nil {
			return err
		}
		others, err := valuesAt("the numbers of the classes", numbers, classes, 1)
		if err != nil {
			return err
		}
		written, err := f(file, rows, others)
		if err != nil {
			return explained(what, err)
		}
		*out, *outSize = copied(written), C.size_t(len(written))
		return nil
	})
}

// explained says what failed. Weights of the wrong shape are an argument, and not damaged data.
func explained(what string, err error) error {
	if errors.Is(err, classifier.ErrShape) {
		return fmt.Errorf("%w: %s: %w", handle.ErrArgument, what, err)
	}
	return fmt.Errorf("%s: %w", what, err)
}

//export imprintCoralRead
func imprintCoralRead(model unsafe.Pointer, size C.size_t, dim, classes *C.size_t, weights **C.float, norms **C.double,
	extractor *unsafe.Pointer, extractorSize *C.size_t, failure **C.char) C.int {
	return call(failure, func() error {
		if err := required("dim", dim != nil, "classes", classes != nil, "weights", weights != nil, "norms", norms != nil,
			"extractor", extractor != nil, "extractor_size", extractorSize != nil); err != nil {
			return err
		}
		file, err := fileAt(model, size)
		if err != nil {
			return err
		}
		head, cut, err := coral.Read(file)
		if err != nil {
			return explained("read a model for weight imprinting", err)
		}
		*extractor, *extractorSize = copied(cut), C.size_t(len(cut))
		*dim, *classes = C.size_t(head.Dim), C.size_t(len(head.Norms))
		*weights, *norms = (*C.float)(copied(head.Rows)), (*C.double)(copied(head.Norms))
		return nil
	})
}

//export imprintCoralWrite
func imprintCoralWrite(model unsafe.Pointer, size C.size_t, weights *C.float, norms *C.double, classes, dim, kept C.size_t,
	out *unsafe.Pointer, outSize *C.size_t, failure **C.char) C.int {
	return edited("write classes into a model for weight imprinting", model, size, weights, (*float64)(norms), classes, dim, out, outSize, failure,
		func(file []byte, rows []float32, norms []float64) ([]byte, error) {
			return coral.Write(file, rows, norms, int(min(kept, classes)))
		})
}

//export imprintCoralAppend
func imprintCoralAppend(model unsafe.Pointer, size C.size_t, weights, biases *C.float, classes, dim C.size_t, low, high C.double,
	out *unsafe.Pointer, outSize *C.size_t, failure **C.char) C.int {
	return edited("append a last layer to an embedding extractor", model, size, weights, (*float32)(biases), classes, dim, out, outSize, failure,
		func(file []byte, rows, biases []float32) ([]byte, error) {
			return coral.Append(file, rows, biases, float64(low), float64(high))
		})
}
