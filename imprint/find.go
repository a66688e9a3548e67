package imprint

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
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
	file, err := tflite.ReadFile(path)
	if err != nil {
		return nil, "", fmt.Errorf("load backbone: %w", err)
	}
	return file, filepath.Base(path), nil
}

// FindBackbone returns the file of a backbone that is named by its path or by the name
// of a published model that has been pulled.
func FindBackbone(name string) (string, error) {
	path, err := findModel(name)
	if err != nil {
		return "", fmt.Errorf("load backbone %s: %w", name, err)
	}
	return path, nil
}

func findModel(name string) (string, error) {
	if _, err := os.Stat(name); err == nil {
		return name, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if strings.ContainsRune(name, filepath.Separator) {
		return "", fmt.Errorf("%w: no such file", ErrNoBackbone)
	}
	published, err := models.Find(name)
	if err != nil {
		return "", fmt.Errorf("%w: no such file, and %w", ErrNoBackbone, err)
	}
	path, err := models.Store{}.Path(published.Name)
	if err != nil {
		return "", fmt.Errorf("%w: it has not been pulled: imprint models pull %s", ErrNoBackbone, published.Name)
	}
	return path, nil
}

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
	b, err := o.Devices.Backbone(file, backbone.Options{Name: name, Embedding: o.Embedding, Arithmetic: o.Arithmetic})
	if err != nil {
		return nil, "", err
	}
	return b, resizeFor(b, o.Resize), nil
}

// fitFor is way, or if that names none what b's metadata says, or dataset.Crop.
func resizeFor(b *backbone.Backbone, way dataset.Resize) dataset.Resize {
	if way == "" || way == AutoResize {
		way = dataset.Crop
		if own, err := dataset.ParseResize(classifier.ReadMetadata(b.Model()).Resize); err == nil {
			way = own
		}
	}
	return way
}
