package outcome

import (
	"errors"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/dataset/annotations"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/detector"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/pool"
)

// A Cause says in general what an error is about.
type Cause int

const (
	Other  Cause = iota // anything else, such as a full disk
	Usage               // options that can't be used together
	Device              // a device is missing or failed
	Data                // a file is damaged or of the wrong kind
)

// dataErrors lists the errors for files that are damaged or of the wrong kind.
var dataErrors = []error{
	imprint.ErrCorrupt, pool.ErrInput, pool.ErrNotCompiled,
	tflite.ErrCorrupt, tflite.ErrTooLarge, tflite.ErrUnsupported, tflite.ErrNoModel, predict.ErrLabels, predict.ErrNotClassifier, predict.ErrDetector,
	detect.ErrNoDetector, backbone.ErrNoEmbedding, backbone.ErrInput, backbone.ErrUnsupportedOperator, kernels.ErrInvalid,
	classifier.ErrShape, classifier.ErrExamples, classifier.ErrRate, classifier.ErrNoHead, models.ErrContent, compiled.ErrCompiled, compiled.ErrUncompiled, modelfile.ErrNoTemplate,
	executable.ErrCorrupt, executable.ErrTooLarge, executable.ErrUnsupported,
	annotations.ErrFormat, detector.ErrPredictors,
	dataset.ErrDamaged, dataset.ErrEmpty, dataset.ErrFormat, dataset.ErrHEIC, dataset.ErrTooLarge, dataset.ErrTub,
}

// usageErrors lists the errors for options that can't be used together.
var usageErrors = []error{pool.ErrDevice, imprint.ErrNeedsCompiled, imprint.ErrKeepClasses}

// CauseOf returns the cause of an error of this module's packages.
func CauseOf(err error) Cause {
	isAny := func(list []error) bool {
		for _, e := range list {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case isAny(usageErrors):
		return Usage
	case tpu.IsDeviceError(err):
		return Device
	case isAny(dataErrors):
		return Data
	}
	return Other
}
