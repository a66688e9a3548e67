package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/dataset/annotations"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/detector"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/fleet/mirror"
	"github.com/imprintkit/imprint/imprint/modelfile"
	"github.com/imprintkit/imprint/imprint/outcome"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/pool"
)

// These are the exit statuses.
const (
	exitUser        = 1 // the command is valid but failed
	exitUsage       = 2 // the command line is wrong
	exitDevice      = 3 // a device is missing or failed
	exitData        = 4 // a file is damaged or of the wrong kind
	exitInterrupted = 130
)

// usageError reports an invalid command line.
type usageError struct{ error }

func usagef(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// dataError reports a file that is damaged or of the wrong kind.
type dataError struct{ error }

func (e dataError) Unwrap() error { return e.error }

// deviceError reports a problem with a device.
type deviceError struct{ error }

func (e deviceError) Unwrap() error { return e.error }

// hinted is an error with a hint from the command that returned it.
type hinted struct {
	error
	hint string
}

func (e hinted) Unwrap() error { return e.error }

// errReported means that the failure has already been printed.
var errReported = errors.New("failed")

// errInterrupted means that Ctrl-C or SIGTERM interrupted the command.
var errInterrupted = errors.New("interrupted")

func exitStatus(err error) int {
	var usage usageError
	var data dataError
	var device deviceError
	cause := outcome.CauseOf(err)
	switch {
	case err == nil:
		return 0
	case errors.Is(err, errInterrupted):
		return exitInterrupted
	case errors.As(err, &usage), cause == outcome.Usage:
		return exitUsage
	case errors.As(err, &data):
		return exitData
	case errors.As(err, &device), cause == outcome.Device:
		return exitDevice
	case cause == outcome.Data:
		return exitData
	}
	return exitUser
}

// hints lists what the user can do about each kind of error. hint returns the first match.
var hints = []struct {
	match func(error) bool
	hint  string
}{
	{lostModel("regions.json"), "remove the file to start without regions, or restore it"},
	{lostModel("backbone.tflite", "backbone-"), "name the model again with --backbone MODEL"},
	{lostModel("template-", "twin-"), "name both models again with --compiled MODEL --uncompiled MODEL"},
	{lostModel("detector-"), "copy the detector there again, or imprint retrain --detector MODEL"},
	{lostModel("state.0", "state.1"), "imprint doctor shows the damage; if no copy of the folder is left, start again: imprint --workspace NEW add PHOTOS"},
	{is(tpu.ErrFirmware), "fetch it with imprint models pull firmware; an installed libedgetpu includes it too"},
	{is(imprint.ErrNeedsCompiled), "name both models with --compiled MODEL --uncompiled MODEL; the workspace keeps copies"},
	{is(pool.ErrNotCompiled), "use the compiled model, whose name usually ends in _edgetpu, or --device cpu"},
	{func(err error) bool { return onDevice(err) && errors.Is(err, backbone.ErrCompiled) }, "imprint doctor finds the problem; --uncompiled FILE runs the uncompiled model on the CPU"},
	{onDevice, "imprint doctor finds the problem"},
	{is(models.ErrUnknown), "see imprint models list"},
	{is(imprint.ErrNoBackbone), pullHint},
	{is(imprint.ErrOtherBackbone), otherHint + "; imprint retrain --backbone MODEL moves this one to another backbone"},
	{is(imprint.ErrOtherResize), otherHint},
	{is(imprint.ErrConflict), "remove the photo from one of them with imprint --workspace DIR remove PHOTO, or rename one of the classes; imprint merge --conflicts oldest chooses for you"},
	{is(mirror.ErrToken), "the URL that imprint serve prints contains the token; give that URL, or --token TOKEN"},
	{is(mirror.ErrNotTrained), "train a class there first, or leave the server out"},
	{isCertificateError, "SSL_CERT_FILE=ca.pem imprint … trusts a certificate of your own"},
	{is(fleet.ErrAmbiguous), "give more of its path; imprint list -v shows the merged workspaces"},
	{is(imprint.ErrOtherDetector), otherHint + "; imprint retrain --detector MODEL moves this one to another detector"},
	{is(imprint.ErrNoOwnClasses), "--keep-classes needs a classifier, such as --backbone mobilenet_v2_1.0_224_quant"},
	{is(imprint.ErrOtherSettings), "choose how to write the new model with --head, --layout, --unknown, --none or --keep-classes"},
	{is(imprint.ErrNoClasses), "add photos first: imprint add --label NAME PHOTOS; if you did so elsewhere, name that workspace with --workspace DIR"},
	{is(imprint.ErrUnknownLabel), "imprint list shows the classes"},
	{is(imprint.ErrUnknown), "turn it off with --unknown off"},
	{is(imprint.ErrLocked), "wait for that process, or end it"},
	{is(dataset.ErrHEIC), heicHint},
	{is(imprint.ErrNoPhotos), "photos are JPEG, PNG, WebP, GIF, BMP, TIFF or PNM files, or folders of them"},
	{is(dataset.ErrTub), "a tub is a folder with manifest.json, catalog_0.catalog and images/, such as the car's data folder"},
	{is(dataset.ErrNoLabel), "name the class with --label NAME, or give a folder that holds one folder of photos per class"},
	{is(backbone.ErrNoEmbedding), "imprint inspect -v FILE lists the tensors; choose one with --embedding TENSOR"},
	{is(detect.ErrNoDetector), "a detector ends in the operator TFLite_Detection_PostProcess; imprint classify --model MODEL runs a classifier"},
	{is(detector.ErrPredictors), "docs/detector.md says which detectors can be retrained"},
	{is(detector.ErrNoBoxes), "photos and annotations are matched by file name; imprint detector --help shows examples"},
	{is(annotations.ErrFormat), "boxes come as Pascal VOC XML, COCO or Label Studio JSON, CSV, or YOLO text with the classes' names next to it"},
	{is(predict.ErrDetector), "imprint detect MODEL PHOTO finds the objects"},
	{is(predict.ErrNotClassifier), "a workspace's classifier is its model.tflite; imprint add --backbone FILE trains classes on an embedding extractor"},
	{is(backbone.ErrUnsupportedOperator), "imprint inspect -v FILE lists the operators; for a compiled model, use the file that it was compiled from, without _edgetpu"},
	{is(modelfile.ErrNoTemplate), "pull one: imprint models list; or name one with --compiled MODEL"},
	{is(compiled.ErrUncompiled), "--uncompiled is the file that --compiled was made from, usually with the same name without _edgetpu"},
	{is(compiled.ErrCompiled), "imprint inspect -v --uncompiled UNCOMPILED COMPILED shows the layers of the compiled model"},
	{is(pool.ErrInput), "imprint inspect -v MODEL shows the inputs; give one --input FILE for each, in that order"},
	{is(tflite.ErrCorrupt), "the file is truncated, changed or not a TensorFlow Lite model: copy it again, or see imprint models list"},
	{is(fs.ErrPermission), "you can't read or write there; --workspace DIR puts the workspace elsewhere"},
}

const (
	heicHint  = "convert it: heif-convert IN.heic OUT.jpg (on Debian: apt install libheif-examples); iPhones save JPEG with Settings > Camera > Formats > Most Compatible"
	pullHint  = "use a file with --backbone FILE, or download a model: imprint models pull mobilenet_v1_1.0_224_quant_embedding_extractor"
	otherHint = "leave the option out, or start another workspace with --workspace DIR"
)

func is(target error) func(error) bool {
	return func(err error) bool { return errors.Is(err, target) }
}

func isCertificateError(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError))
}

func onDevice(err error) bool { return tpu.IsDeviceError(err) }

// lostModel returns a function that reports whether an error means that a workspace's copy of a
// model is missing or has changed. The copy's file name begins with one of the prefixes.
func lostModel(prefixes ...string) func(error) bool {
	return func(err error) bool {
		return (errors.Is(err, imprint.ErrCorrupt) || errors.Is(err, imprint.ErrNoBackbone)) &&
			slices.ContainsFunc(prefixes, func(p string) bool { return strings.Contains(err.Error(), "/"+p) })
	}
}

// hint returns what the user can do about a command's error, or "".
func hint(err error, command string) string {
	var own hinted
	var usage usageError
	switch {
	case errors.As(err, &own):
		return own.hint
	case errors.As(err, &usage):
		return "see " + strings.TrimSpace("imprint help "+command)
	}
	var taken interface{ TakenLabel() string }
	if errors.As(err, &taken) {
		off := "turn the answer off with --unknown off, or call it something else with --none LABEL"
		if taken.TakenLabel() == "" { // a class of the backbone
			return off
		}
		return fmt.Sprintf("give that class another name: imprint rename %s NAME; or %s", shellQuote(taken.TakenLabel()), off)
	}
	var name *models.NameError
	if errors.As(err, &name) && name.Err == models.ErrNotPulled {
		return "download it: imprint models pull " + name.Name
	}
	if errors.Is(err, fs.ErrPermission) && command == "export" {
		return "you can't write there; choose another file with -o FILE"
	}
	for _, h := range hints {
		if h.match(err) {
			return h.hint
		}
	}
	return ""
}
