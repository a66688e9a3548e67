//go:build cgo && linux && (amd64 || arm64 || riscv64)

package main

// #include "capi.h"
import "C"

import (
	"context"
	"encoding/json"
	"fmt"
	"image"
	"unsafe"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/integrations/delegate/handle"
	"github.com/imprintkit/imprint/integrations/delegate/host"
)

// goString copies a string. NULL becomes "".
func goString(s C.const_text) string { return C.GoString((*C.char)(s)) }

// maxList is the maximum length of a list of arguments.
const maxList = 1 << 20

// sliceAt returns the n values at p.
func sliceAt[T any](name string, p *T, n C.size_t) ([]T, error) {
	if n > maxList {
		return nil, fmt.Errorf("%w: %d %s, more than %d", handle.ErrArgument, n, name, maxList)
	}
	if p == nil && n > 0 {
		return nil, fmt.Errorf("%w: %s is NULL", handle.ErrArgument, name)
	}
	return unsafe.Slice(p, n), nil
}

func optionsAt(p C.const_options, n C.size_t) (options []host.Option, err error) {
	list, err := sliceAt("options", (*C.imprint_option)(p), n)
	for _, o := range list {
		if err := required("the name of an option", o.name != nil, "the value of an option", o.value != nil); err != nil {
			return nil, err
		}
		options = append(options, host.Option{Name: C.GoString(o.name), Value: C.GoString(o.value)})
	}
	return options, err
}

func textsAt(p C.const_texts, n C.size_t) (list []string, err error) {
	all, err := sliceAt("paths", (**C.char)(unsafe.Pointer(p)), n)
	for _, s := range all {
		if err := required("a path", s != nil); err != nil {
			return nil, err
		}
		list = append(list, C.GoString(s))
	}
	return list, err
}

func photosAt(p C.const_photos, n C.size_t) ([]handle.Photo, error) {
	list, err := sliceAt("photos", (*C.imprint_photo)(p), n)
	if err != nil {
		return nil, err
	}
	converted := make([]handle.Photo, len(list))
	for i := range list {
		if converted[i], err = newPhoto(&list[i]); err != nil {
			return nil, err
		}
	}
	return converted, nil
}

// newPhoto returns a Photo that refers to the memory of p.
func newPhoto(p *C.imprint_photo) (handle.Photo, error) {
	photo := handle.Photo{Path: goString(C.const_text(p.path)), Label: goString(C.const_text(p.label))}
	switch {
	case p.data != nil && p.pixels != nil:
		return photo, fmt.Errorf("%w: a photo has both data and pixels", handle.ErrArgument)
	case p.data == nil && p.size > 0:
		return photo, fmt.Errorf("%w: the data of a photo is NULL", handle.ErrArgument)
	case p.data != nil: // package dataset rejects one byte too many
		photo.Content = unsafe.Slice((*byte)(p.data), min(p.size, C.size_t(dataset.DefaultLimits().MaxBytes)+1))
	case p.pixels != nil:
		pixels, width, stride := unsafe.Pointer(p.pixels), int(p.width), int(p.stride)
		if stride == 0 {
			stride = 3 * width
		}
		if width > 0 && stride < 3*width && -stride < 3*width {
			return photo, fmt.Errorf("%w: a row of %d pixels has a stride of %d bytes", handle.ErrArgument, width, stride)
		}
		photo.Pixels = &handle.Pixels{Width: width, Height: int(p.height), Row: func(y int) []byte {
			return unsafe.Slice((*byte)(unsafe.Add(pixels, y*stride)), 3*width)
		}}
	}
	return photo, nil
}

// photoAt is like newPhoto, for a photo that is not in a list.
func photoAt(p C.const_photos) (handle.Photo, error) {
	if p == nil {
		return handle.Photo{}, required("photo", false)
	}
	return newPhoto((*C.imprint_photo)(p))
}

// setJSON sets *to, unless to is nil, to the JSON of v. If err is not nil, it only returns err.
func setJSON(to **C.char, v any, err error) error {
	if err != nil || to == nil {
		return err
	}
	b, err := json.Marshal(v)
	if err == nil {
		*to = C.CString(string(b))
	}
	return err
}

// question calls f with what a handle refers to and sets *to to its result. to may be nil unless need is set.
func question[H, R any](h C.uintptr_t, failure **C.char, to *R, need bool, f func(H) (R, error)) C.int {
	return call(failure, func() error {
		v, err := at[H](h)
		if err != nil {
			return err
		}
		if err := required("the result", to != nil || !need); err != nil {
			return err
		}
		r, err := f(v)
		if err == nil && to != nil {
			*to = r
		}
		return err
	})
}

func lengthOf[H any](h C.uintptr_t, length *C.size_t, failure **C.char, ask func(H) (int, error)) C.int {
	return question(h, failure, length, true, func(v H) (C.size_t, error) {
		n, err := ask(v)
		return C.size_t(n), err
	})
}

func sizeOf[H any](h C.uintptr_t, width, height *C.int, failure **C.char, ask func(H) (image.Point, error)) C.int {
	return question(h, failure, width, true, func(v H) (C.int, error) {
		if err := required("height", height != nil); err != nil {
			return 0, err
		}
		size, err := ask(v)
		if err == nil {
			*height = C.int(size.Y)
		}
		return C.int(size.X), err
	})
}

func labelsOf[H any](h C.uintptr_t, labels ***C.char, n *C.size_t, failure **C.char, ask func(H) ([]string, error)) C.int {
	return question(h, failure, labels, true, func(v H) (**C.char, error) {
		if err := required("num_labels", n != nil); err != nil {
			return nil, err
		}
		list, err := ask(v)
		if err != nil {
			return nil, err
		}
		b := newBlock(len(list)*pointerSize + textSize(list...))
		all := b.texts(list)
		*n = C.size_t(len(list))
		return all, nil
	})
}

func embedded[H any](h C.uintptr_t, photo C.const_photos, to *C.float, length C.size_t, failure **C.char,
	lengthOf func(H) (int, error), embed func(H, context.Context, *handle.Photo) ([]float64, error)) C.int {
	return question(h, failure, to, true, func(v H) (first C.float, err error) {
		p, err := photoAt(photo)
		if err != nil {
			return 0, err
		}
		n, err := lengthOf(v)
		if err == nil && C.size_t(n) != length {
			err = fmt.Errorf("%w: an embedding has %d values, not %d", handle.ErrArgument, n, length)
		}
		if err != nil {
			return 0, err
		}
		values, err := embed(v, context.Background(), &p)
		if err != nil {
			return 0, err
		}
		embedding := unsafe.Slice(to, length)
		for i, x := range values {
			embedding[i] = C.float(x)
		}
		return embedding[0], nil
	})
}

func classified[H any](h C.uintptr_t, photo C.const_photos, to **C.imprint_result, failure **C.char,
	classify func(H, context.Context, *handle.Photo) (handle.Result, error)) C.int {
	return question(h, failure, to, true, func(v H) (*C.imprint_result, error) {
		p, err := photoAt(photo)
		if err != nil {
			return nil, err
		}
		r, err := classify(v, context.Background(), &p)
		if err != nil {
			return nil, err
		}
		return newResult(&r), nil
	})
}

func newResult(r *handle.Result) *C.imprint_result {
	labels := make([]string, len(r.Top))
	for i, s := range r.Top {
		labels[i] = s.Label
	}
	b := newBlock(C.sizeof_imprint_result + len(labels)*(pointerSize+C.sizeof_double) + textSize(labels...) + textSize(r.Label, r.Nearest, r.Device))
	c := (*C.imprint_result)(b.take(C.sizeof_imprint_result))
	scores := (*C.double)(b.take(len(labels) * C.sizeof_double))
	for i, s := range r.Top {
		unsafe.Slice(scores, len(labels))[i] = C.double(s.Score)
	}
	ranked := b.texts(labels) // before other texts, because pointers must be aligned
	*c = C.imprint_result{
		score: C.double(r.Score), num_labels: C.size_t(len(labels)), scores: scores, labels: ranked,
		label: b.text(r.Label), nearest: b.text(r.Nearest), device: b.text(r.Device),
		milliseconds: C.double(outcome.Milliseconds(r.Elapsed)), generation: C.uint64_t(r.Generation),
	}
	if r.Unknown {
		c.unknown = 1
	}
	return c
}

const pointerSize = int(unsafe.Sizeof(uintptr(0)))

// A block is C memory that is divided into parts.
type block struct{ rest []byte }

// newBlock allocates a block. The first part that is taken has the address to free.
func newBlock(size int) *block {
	size = max(size, 1)
	return &block{unsafe.Slice((*byte)(C.calloc(1, C.size_t(size))), size)}
}

func (b *block) take(size int) unsafe.Pointer {
	p := unsafe.Pointer(unsafe.SliceData(b.rest))
	b.rest = b.rest[size:]
	return p
}

// textSize returns the size of texts without their pointers.
func textSize(list ...string) (n int) {
	for _, s := range list {
		n += len(s) + 1
	}
	return n
}

func (b *block) text(s string) *C.char {
	p := b.take(len(s) + 1)
	copy(unsafe.Slice((*byte)(p), len(s)), s)
	return (*C.char)(p)
}

// texts returns an array of texts.
func (b *block) texts(list []string) **C.char {
	p := (**C.char)(b.take(len(list) * pointerSize))
	for i, s := range list {
		unsafe.Slice(p, len(list))[i] = b.text(s)
	}
	return p
}
