//go:build cgo && linux && (amd64 || arm64 || riscv64)

package main

// #include "capi.h"
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime/cgo"

	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/integrations/delegate/handle"
	"github.com/imprintkit/imprint/integrations/delegate/host"
)

// call calls f and returns its status. If f fails, call sets *failure, unless failure is nil, to the error.
func call(failure **C.char, f func() error) C.int {
	err := attempt(f)
	if err == nil {
		return C.IMPRINT_OK
	}
	if failure != nil {
		*failure = C.CString(err.Error())
	}
	return statusOf(err)
}

// The statuses of errors. The first match counts.
var statuses = []struct {
	status C.int
	errors []error
}{
	{C.IMPRINT_CANCELED, []error{context.Canceled}},
	{C.IMPRINT_UNKNOWN_LABEL, []error{imprint.ErrUnknownLabel}},
	{C.IMPRINT_NO_CLASSES, []error{imprint.ErrNoClasses}},
	{C.IMPRINT_NO_PHOTOS, []error{imprint.ErrNoPhotos}},
	{C.IMPRINT_NOTHING_TO_UNDO, []error{imprint.ErrNothingToUndo}},
	{C.IMPRINT_OTHER_SETTINGS, []error{imprint.ErrOtherBackbone, imprint.ErrOtherResize, imprint.ErrOtherDetector}},
	{C.IMPRINT_LOCKED, []error{imprint.ErrLocked}},
	{C.IMPRINT_BAD_ARGUMENT, []error{handle.ErrArgument, handle.ErrClosed, host.ErrOption, imprint.ErrLabel, imprint.ErrUnknown, imprint.ErrNoOwnClasses, dataset.ErrNoLabel}},
}

// statusOf returns the status of an error.
func statusOf(err error) C.int {
	var internal internalError
	if errors.As(err, &internal) {
		return C.IMPRINT_INTERNAL
	}
	for _, s := range statuses {
		if isAny(err, s.errors...) {
			return s.status
		}
	}
	switch outcome.CauseOf(err) {
	case outcome.Usage:
		return C.IMPRINT_BAD_ARGUMENT
	case outcome.Device:
		return C.IMPRINT_DEVICE
	case outcome.Data:
		return C.IMPRINT_DATA
	}
	if isAny(err, imprint.ErrNoBackbone, models.ErrUnknown, models.ErrNotPulled, fs.ErrNotExist) {
		return C.IMPRINT_NOT_FOUND
	}
	return C.IMPRINT_ERROR
}

func isAny(err error, list ...error) bool {
	for _, e := range list {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// required returns an error that names an argument that is NULL. It takes names of arguments, each followed by whether
// the argument is there.
func required(arguments ...any) error {
	for i := 0; i < len(arguments); i += 2 {
		if !arguments[i+1].(bool) {
			return fmt.Errorf("%w: %s is NULL", handle.ErrArgument, arguments[i])
		}
	}
	return nil
}

// at returns what a handle refers to.
func at[T any](h C.uintptr_t) (v T, err error) {
	if h == 0 {
		return v, fmt.Errorf("%w: the handle is NULL", handle.ErrArgument)
	}
	defer func() {
		if recover() != nil { // cgo.Handle.Value panics
			err = fmt.Errorf("%w: the handle is closed", handle.ErrArgument)
		}
	}()
	v, ok := cgo.Handle(h).Value().(T)
	if !ok {
		return v, fmt.Errorf("%w: the handle is of another type", handle.ErrArgument)
	}
	return v, nil
}

// closeHandle closes a handle unless it is NULL. C has no use for an error, so it is logged.
func closeHandle[T interface{ Close() error }](h C.uintptr_t) {
	if h == 0 {
		return
	}
	err := attempt(func() error {
		v, err := at[T](h)
		if err != nil {
			return err
		}
		cgo.Handle(h).Delete()
		return v.Close()
	})
	if err != nil {
		logger.Error(err.Error())
	}
}
