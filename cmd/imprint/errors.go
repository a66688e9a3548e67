package main

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/executable"
)

// The exit statuses.
const (
	exitUser        = 1 // what was asked for can't be done
	exitUsage       = 2 // it was not asked for properly
	exitDevice      = 3 // there is trouble with a device
	exitData        = 4 // a file is damaged or of the wrong kind
	exitInterrupted = 130
)

// usageError is a command line that can't be understood.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// dataError is a file that is damaged or of the wrong kind.
type dataError struct{ error }

func (e dataError) Unwrap() error { return e.error }

// deviceError is trouble with a device.
type deviceError struct{ error }

func (e deviceError) Unwrap() error { return e.error }

// hinted is an error of which the command that met it knows what to do.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// errReported marks a failure that has been told already.
var errReported = errors.New("failed")

// errInterrupted is Ctrl-C, or a request of the system to end.
var errInterrupted = errors.New("interrupted")

// dataErrors are the errors that mean a file is damaged or of the wrong kind.
var dataErrors = []error{
	imprint.ErrCorrupt, imprint.ErrInput, imprint.ErrNotCompiled,
	tflite.ErrCorrupt, tflite.ErrTooLarge, tflite.ErrUnsupported,
	backbone.ErrNoEmbedding, backbone.ErrInput, backbone.ErrUnsupportedOperator,
	classifier.ErrShape, classifier.ErrExamples, classifier.ErrRate, classifier.ErrNoHead, models.ErrContent, compiled.ErrCompiled, compiled.ErrUncompiled,
	executable.ErrCorrupt, executable.ErrTooLarge, executable.ErrUnsupported,
	dataset.ErrDamaged, dataset.ErrEmpty, dataset.ErrFormat, dataset.ErrHEIC, dataset.ErrTooLarge, dataset.ErrTub,
}

// usageErrors are the errors that mean flags do not go together.
var usageErrors = []error{imprint.ErrDeviceChoice, imprint.ErrNeedsCompiled, imprint.ErrKeepClasses}

// deviceErrors are the errors that mean an Edge TPU cannot be used.
var deviceErrors = []error{
	tpu.ErrNoDevice, tpu.ErrPermission, tpu.ErrBusy, tpu.ErrDisconnected, tpu.ErrTimeout, tpu.ErrStall, tpu.ErrTransfer,
	tpu.ErrDevice, tpu.ErrFirmware, tpu.ErrNoUSB, tpu.ErrClosed,
}

func exitStatus(err error) int {
	var usage usageError
	var data dataError
	var device deviceError
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage), isAny(err, usageErrors):
		return exitUsage
	case errors.As(err, &data):
		return exitData
	case errors.As(err, &device), isAny(err, deviceErrors):
		return exitDevice
	case isAny(err, dataErrors):
		return exitData
	}
	return exitUser
}

func isAny(err error, list []error) bool {
	return slices.ContainsFunc(list, func(e error) bool { return errors.Is(err, e) })
}

// hint says what to do about err, or nothing.
func hint(err error) string {
	var own hinted
	var usage usageError
	switch {
	case errors.As(err, &own):
		return own.hint
	case errors.As(err, &usage):
		return "imprint help COMMAND shows how, with examples"
	case errors.Is(err, tpu.ErrFirmware):
		return "imprint models pull firmware fetches it; an installed libedgetpu has it too"
	case errors.Is(err, imprint.ErrNeedsCompiled):
		return "name the two with --template COMPILED --twin UNCOMPILED; the workspace keeps copies"
	case errors.Is(err, imprint.ErrNotCompiled):
		return "take the model's compiled form, which by custom ends in _edgetpu, or --device cpu"
	case isAny(err, deviceErrors) && errors.Is(err, backbone.ErrCompiled):
		return "imprint doctor says what to do; --twin FILE runs the model that it was compiled from on the CPU instead"
	case isAny(err, deviceErrors):
		return "imprint doctor says what to do"
	case errors.Is(err, models.ErrUnknown):
		return "imprint models list shows the models there are"
	case errors.Is(err, models.ErrNotPulled), errors.Is(err, imprint.ErrNoBackbone):
		return "name a model with --backbone FILE, or pull one: imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor"
	case errors.Is(err, imprint.ErrOtherBackbone), errors.Is(err, imprint.ErrOtherResize):
		return "leave the option out, or teach anew in another folder with --workspace DIR"
	case errors.Is(err, imprint.ErrConflict):
		return "take the photo out of one of them: imprint --workspace DIR remove PHOTO; or give both labels the same name with rename"
	case errors.Is(err, imprint.ErrOtherSettings):
		return "say how the new one shall be written with --head, --layout, --unknown or --keep-classes"
	case errors.Is(err, imprint.ErrNothingTaught):
		return "teach first: imprint add --label NAME PHOTOS"
	case errors.Is(err, imprint.ErrUnknownLabel):
		return "imprint list shows the labels"
	case errors.Is(err, imprint.ErrLocked):
		return "wait for that process, or end it; the lock goes with it"
	case errors.Is(err, imprint.ErrNoPhotos):
		return "photos are JPEG, PNG, WebP, GIF or BMP files, or folders of them"
	case errors.Is(err, dataset.ErrTub):
		return "a tub is a folder with manifest.json, catalog_0.catalog and images/, such as the car's data folder"
	case errors.Is(err, dataset.ErrNoLabel):
		return "--label NAME gives all photos one label; without it a folder holds one folder of photos for each label"
	case errors.Is(err, backbone.ErrNoEmbedding):
		return "imprint inspect FILE lists the tensors; name one with --embedding TENSOR"
	case errors.Is(err, backbone.ErrUnsupportedOperator):
		return "imprint inspect FILE shows the operators; of a model compiled for the Edge TPU take the file it was compiled from, without _edgetpu"
	case errors.Is(err, compiled.ErrUncompiled):
		return "--twin is the file that the compiler was given for --template, by custom of its name without _edgetpu"
	case errors.Is(err, compiled.ErrCompiled):
		return "imprint inspect --twin TWIN TEMPLATE shows the template's layers"
	case errors.Is(err, imprint.ErrInput):
		return "imprint inspect MODEL shows the inputs; each is given with --input FILE, in their order"
	case errors.Is(err, tflite.ErrCorrupt):
		return "the file is cut short, changed, or no TensorFlow Lite model: copy it anew, or see imprint models list"
	case errors.Is(err, fs.ErrPermission):
		return "take a folder that you may write to; --workspace DIR names that of what is learned"
	}
	return ""
}
