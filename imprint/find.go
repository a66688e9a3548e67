package imprint

import (
	"fmt"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
)

// readBackbone returns the model file of a backbone and its name. The backbone is
// named by its path or by the name of a published model that has been pulled; with
// no name it is the one that the program carries.
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
	file, err := readFile(path, tflite.MaxFileSize)
	if err != nil {
		return nil, "", fmt.Errorf("load backbone: %w", err)
	}
	return file, filepath.Base(path), nil
}

// FindBackbone returns the file of a backbone that is named by its path or by the name
// of a published model that has been pulled.
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

// LoadBackbone loads the backbone of o, or that of the workspace in dir if o names
// none, and says how photos are fitted to it: as o says, or as the workspace or the
// model's metadata does, or by dataset.Crop.
func LoadBackbone(dir string, o Options) (*backbone.Backbone, dataset.Resize, error) {
	if o.Backbone == "" {
		way := o.Resize
		o.Resize = ""
		k, err := Open(dir, o)
		if err != nil {
			return nil, "", err
		}
		if way == "" {
			way = k.Settings().Resize
		}
		return k.backbone, way, k.Close()
	}
	file, name, err := readBackbone(o.Backbone)
	if err != nil {
		return nil, "", err
	}
	b, err := o.Devices.backbone(file, backbone.Options{Name: name, Embedding: o.Embedding, Arithmetic: o.Arithmetic})
	if err != nil {
		return nil, "", err
	}
	return b, resizeFor(b, o.Resize), nil
}

// fitFor is way, or if that names none what b's metadata says, or dataset.Crop.
func resizeFor(b *backbone.Backbone, way dataset.Resize) dataset.Resize {
	if way == "" || way == AutoResize {
		way = dataset.Crop
		if own, ok := modelResize(b.Model()); ok {
			way = own
		}
	}
	return way
}
