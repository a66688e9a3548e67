package imprint

import (
	"fmt"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// readBackbone returns the file and the name of a backbone: at a path, pulled under a name
// of package models, or built in if name is "".
func readBackbone(name string) ([]byte, string, error) {
	if name == "" {
		return builtin.Model(), builtin.Name, nil
	}
	path, err := FindBackbone(name)
	if err != nil {
		if name == builtin.Name {
			return builtin.Model(), builtin.Name, nil
		}
		return nil, "", err
	}
	file, err := tflite.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("load backbone: %w", err)
	}
	return file, filepath.Base(path), nil
}

// FindBackbone returns the file of a backbone: name itself if that is a file, or the file
// pulled under that name of package models. It fails with ErrNoBackbone.
func FindBackbone(name string) (string, error) {
	return findModel(name)
}

func findModel(name string) (string, error) {
	path, err := models.Store{}.Locate(name)
	if err != nil {
		return "", noBackboneError{err}
	}
	return path, nil
}

// A noBackboneError is an error of finding a model file. It matches ErrNoBackbone.
type noBackboneError struct{ error }

func (e noBackboneError) Is(target error) bool { return target == ErrNoBackbone }

func (e noBackboneError) Unwrap() error { return e.error }

// LoadBackbone loads the backbone of o, or if o names none, of the workspace in dir. It
// also returns the resize mode: that of o, else of the workspace or of the model's
// metadata, else dataset.Crop.
func LoadBackbone(dir string, o Options) (*backbone.Backbone, dataset.Resize, error) {
	if o.Backbone == "" {
		mode := o.Resize
		o.Resize = ""
		w, err := Open(dir, o)
		if err != nil {
			return nil, "", err
		}
		if mode == "" {
			mode = w.Settings().Resize
		}
		return w.backbone, mode, w.Close()
	}
	file, name, err := readBackbone(o.Backbone)
	if err != nil {
		return nil, "", err
	}
	b, err := o.Devices.Backbone(file, backbone.Options{Name: name, Embedding: o.Embedding, Arithmetic: o.Arithmetic})
	if err != nil {
		return nil, "", err
	}
	return b, resizeFor(b, o.Resize), nil
}

// resizeFor returns mode, or if that names none the mode in b's metadata, or dataset.Crop.
func resizeFor(b *backbone.Backbone, mode dataset.Resize) dataset.Resize {
	if mode == "" || mode == AutoResize {
		mode = dataset.Crop
		if own, err := dataset.ParseResize(classifier.ReadMetadata(b.Model()).Resize); err == nil {
			mode = own
		}
	}
	return mode
}
