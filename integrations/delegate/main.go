//go:build cgo && linux && (amd64 || arm64 || riscv64)

// The command delegate is a shared library, libimprint_edgetpu.so, with two interfaces. It is a TensorFlow Lite delegate
// that runs compiled operators on the Edge TPU, with the C interface of Google's libedgetpu; the project's docs/delegate.md
// describes it. And it has the C interface imprint.h, which trains and classifies; docs/c.md describes that.
//
// tflite.h and delegate.c contain the delegate, and this file the functions that they call. Package host does the work.
// capi.c declares the functions of imprint.h, and capi.go contains them. Package handle does the work.
package main

/*
#cgo CFLAGS: -Wall -Wextra
#include <stdlib.h>
#include "delegate.h"
*/
import "C"

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/cgo"
	"runtime/debug"
	"strings"
	"unsafe"

	"github.com/imprintkit/imprint/integrations/delegate/host"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/executable"
)

// version is set by the linker.
var version = "unknown"

// emulatorVariable holds the default of the option "emulator", for programs that pass no options.
const emulatorVariable = "IMPRINT_EDGETPU_EMULATOR"

// The C interfaces have no handle for what belongs to the whole process, so it is global.
var (
	logLevel = new(slog.LevelVar)
	logger   = newLogger()
	devices  = host.New(host.Config{TPU: tpu.Options{Log: logger}})
	label    = C.CString(fmt.Sprintf("BuildLabel(imprint %s), RuntimeVersion(%d)", version, executable.MaxRuntimeVersion))
)

func newLogger() *slog.Logger {
	logLevel.Set(slog.LevelError + 1)
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: logLevel}))
}

func main() {}

// attempt calls f and turns a panic, which must not unwind into C, into an error.
func attempt(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = internalError(fmt.Sprintf("internal error in the Edge TPU library: %v\n%s", r, debug.Stack()))
		}
	}()
	return f()
}

// internalError is a panic.
type internalError string

func (e internalError) Error() string { return string(e) }

// guard calls f and returns its error as a C string, or nil.
func guard(f func() error) *C.char {
	if err := attempt(f); err != nil {
		return C.CString(err.Error())
	}
	return nil
}

// delegate is what a TfLiteDelegate refers to.
type delegate struct {
	device   *host.Device
	emulator []string
}

// imprintOpen opens the device that the options choose. If device is not nil, it replaces the option "device".
//
//export imprintOpen
func imprintOpen(device *C.char, names, values **C.char, n C.size_t, handle *C.uintptr_t) *C.char {
	return guard(func() error {
		var given []host.Option
		for i, name := range unsafe.Slice(names, n) {
			given = append(given, host.Option{Name: C.GoString(name), Value: C.GoString(unsafe.Slice(values, n)[i])})
		}
		if device != nil {
			given = append(given, host.Option{Name: "device", Value: C.GoString(device)})
		}
		o, warnings, err := host.ParseOptions(given, os.Getenv(emulatorVariable))
		for _, w := range warnings {
			fmt.Fprintln(os.Stderr, "imprint: warning:", w)
		}
		if err != nil {
			return err
		}
		d, err := devices.Open(context.Background(), o)
		if err == nil {
			*handle = C.uintptr_t(cgo.NewHandle(&delegate{d, o.Emulator}))
		}
		return err
	})
}

// report prints the text of guard where C can't return it.
func report(text *C.char) {
	if text != nil {
		fmt.Fprintln(os.Stderr, "imprint: error:", C.GoString(text))
		C.free(unsafe.Pointer(text))
	}
}

//export imprintClose
func imprintClose(handle C.uintptr_t) {
	report(guard(func() error {
		h := cgo.Handle(handle)
		h.Value().(*delegate).device.Close()
		h.Delete()
		return nil
	}))
}

// operator is a loaded operator. Its runs never overlap, because they belong to one interpreter.
type operator struct {
	*host.Operator
	inputs, outputs tensors
}

// tensors are the inputs or the outputs of an operator.
type tensors struct {
	sizes []int
	bytes [][]byte // set for each run
}

func newTensors(sizes []int) tensors { return tensors{sizes, make([][]byte, len(sizes))} }

// at returns the tensors at the given addresses.
func (t tensors) at(addresses *unsafe.Pointer) [][]byte {
	for i, address := range unsafe.Slice(addresses, len(t.sizes)) {
		t.bytes[i] = unsafe.Slice((*byte)(address), t.sizes[i])
	}
	return t.bytes
}

// imprintLoad loads an operator with the given custom options.
//
//export imprintLoad
func imprintLoad(delegateHandle C.uintptr_t, options unsafe.Pointer, size C.int, handle *C.uintptr_t) *C.char {
	return guard(func() error {
		d := cgo.Handle(delegateHandle).Value().(*delegate)
		if options == nil || size < 0 {
			return errors.New("the compiled operator has no program")
		}
		loaded, err := d.device.Load(context.Background(), unsafe.Slice((*byte)(options), size), d.emulator)
		if err != nil {
			return fmt.Errorf("load a compiled operator: %w", err)
		}
		inputs, outputs := loaded.Sizes()
		*handle = C.uintptr_t(cgo.NewHandle(&operator{loaded, newTensors(inputs), newTensors(outputs)}))
		return nil
	})
}

//export imprintUnload
func imprintUnload(handle C.uintptr_t) {
	report(guard(func() error {
		h := cgo.Handle(handle)
		h.Value().(*operator).Close()
		h.Delete()
		return nil
	}))
}

// imprintCheck returns an error unless the operator's tensors have the given sizes.
//
//export imprintCheck
func imprintCheck(handle C.uintptr_t, inputs *C.size_t, numInputs C.int, outputs *C.size_t, numOutputs C.int) *C.char {
	return guard(func() error {
		list := func(sizes *C.size_t, n C.int) (ints []int) {
			for _, size := range unsafe.Slice(sizes, n) {
				ints = append(ints, int(size))
			}
			return ints
		}
		return cgo.Handle(handle).Value().(*operator).Check(list(inputs, numInputs), list(outputs, numOutputs))
	})
}

// imprintRun runs an operator on tensors at the given addresses, without copying them.
//
//export imprintRun
func imprintRun(handle C.uintptr_t, inputs, outputs *unsafe.Pointer) *C.char {
	return guard(func() error {
		o := cgo.Handle(handle).Value().(*operator)
		return o.Run(context.Background(), o.inputs.at(inputs), o.outputs.at(outputs))
	})
}

// imprintList returns the paths of the devices, each with a newline behind it. If they can't be listed, it returns nil.
//
//export imprintList
func imprintList() (list *C.char) {
	report(guard(func() error {
		ports, err := devices.List(context.Background(), os.Getenv(emulatorVariable) != "")
		var text strings.Builder
		for _, port := range ports {
			fmt.Fprintln(&text, host.Path(port))
		}
		if err == nil {
			list = C.CString(text.String())
		}
		return err
	}))
	return list
}

//export imprintVerbosity
func imprintVerbosity(verbosity C.int) {
	switch {
	case verbosity >= 10:
		logLevel.Set(slog.LevelDebug)
	case verbosity >= 1:
		logLevel.Set(slog.LevelInfo)
	default:
		logLevel.Set(slog.LevelError + 1)
	}
}

//export imprintVersion
func imprintVersion() *C.char { return label }

// emulated calls f with an emulated device. It returns -1 if there is none, or if f fails.
func emulated(index C.int, f func(*emulator.Device) error) (result C.int) {
	result = -1
	report(guard(func() error {
		d := devices.Emulated(int(index))
		if d == nil {
			return nil
		}
		err := f(d)
		if err == nil {
			result = 0
		}
		return err
	}))
	return result
}

//export imprintPlug
func imprintPlug(device, plugged C.int) C.int {
	return emulated(device, func(d *emulator.Device) error {
		if plugged != 0 {
			d.Plug()
		} else {
			d.Unplug()
		}
		return nil
	})
}

//export imprintFail
func imprintFail(device, endpoint, transfer C.int, kind *C.char) C.int {
	return emulated(device, func(d *emulator.Device) error {
		if kind == nil {
			d.Script()
			return nil
		}
		for k := emulator.Fail; k <= emulator.Hang; k++ {
			if k.String() == C.GoString(kind) {
				d.Script(emulator.Fault{At: int(transfer), Endpoint: uint8(endpoint), Kind: k})
				return nil
			}
		}
		return fmt.Errorf("the emulator has no failure %q", C.GoString(kind))
	})
}
