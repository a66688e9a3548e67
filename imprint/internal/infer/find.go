package infer

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// ErrNoBackbone means that a name is neither a file nor a pulled model.
var ErrNoBackbone = errors.New("no such backbone")

// Auto means that the resize mode is chosen when the first photos are added.
const Auto dataset.Resize = "auto"

// Locate returns the path of a model: name itself if it is a file, else the path of the pulled
// model with that name. It fails with ErrNoBackbone if there is neither.
func Locate(name string) (string, error) {
	path, err := models.Store{}.Locate(name)
	if err != nil {
		return "", noBackboneError{err}
	}
	return path, nil
}

// A noBackboneError explains why a model file was not found. It matches ErrNoBackbone.
type noBackboneError struct{ error }

func (e noBackboneError) Is(target error) bool { return target == ErrNoBackbone }

func (e noBackboneError) Unwrap() error { return e.error }

// ReadBackbone reads the backbone that [Locate] finds, or the built-in one if name is "". It
// returns the content of the file and its base name.
func ReadBackbone(name string) ([]byte, string, error) {
	if name == "" {
		return builtin.Model(), builtin.Name, nil
	}
	path, err := Locate(name)
	if err != nil {
		if name == builtin.Name {
			return builtin.Model(), builtin.Name, nil
		}
		return nil, "", err
	}
	file, err := tflite.ReadModel(path)
	if err != nil {
		return nil, "", fmt.Errorf("load backbone: %w", err)
	}
	return file.Model, filepath.Base(path), nil
}

// ResizeFor returns mode unless mode is "" or Auto. In that case it returns the mode in b's
// metadata, or dataset.Crop if the metadata has none.
func ResizeFor(b *backbone.Backbone, mode dataset.Resize) dataset.Resize {
	if mode == "" || mode == Auto {
		mode = dataset.Crop
		if own, err := dataset.ParseResize(classifier.ReadMetadata(b.Model()).Resize); err == nil {
			mode = own
		}
	}
	return mode
}
