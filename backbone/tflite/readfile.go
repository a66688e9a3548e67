package tflite

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

var (
	// ErrNotRegular means that a path does not lead to a regular file.
	ErrNotRegular = errors.New("not a regular file")
	// ErrNoModel means that a zip archive contains no model, or more than one.
	ErrNoModel = errors.New("the zip archive does not contain exactly one model")
)

// ReadFile reads the model file at path without parsing it. It returns an error if the
// file is not a regular file or is larger than MaxFileSize.
func ReadFile(path string) ([]byte, error) { return readLimited(path, MaxFileSize) }

// readLimited reads a regular file of at most the given number of bytes.
func readLimited(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: %w", path, ErrNotRegular)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: the file has %d bytes, more than %d: %w", path, info.Size(), limit, ErrTooLarge)
	}
	return os.ReadFile(path)
}

// A ModelFile is a model as users have it: a model file, perhaps with a label file next
// to it, or a zip archive of both, as Teachable Machine exports it.
type ModelFile struct {
	Model []byte // content of the model file, for Parse
	// Labels are the labels that came with the model, or nil. They come from the archive,
	// or from the file MODEL.txt or labels.txt next to the model. They may belong to
	// another model, so compare their number with the number of classes.
	Labels []string
	// LabelsFrom is the name of the file with the labels.
	LabelsFrom string
}

// ReadModel reads the model at path, which is a model file or a zip archive with one. The
// limits of ReadFile also apply to the model in an archive. ReadModel unpacks only the
// model and the labels, in memory.
func ReadModel(path string) (*ModelFile, error) {
	b, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	if bytes.HasPrefix(b, []byte(localHeader)) {
		f, err := readZip(b)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return f, nil
	}
	f := &ModelFile{Model: b}
	stem := strings.TrimSuffix(path, filepath.Ext(path))
	for _, name := range []string{stem + ".txt", strings.TrimSuffix(stem, "_edgetpu") + ".txt", filepath.Join(filepath.Dir(path), labelsFile)} {
		if labels, err := ReadLabels(name); err == nil {
			f.Labels, f.LabelsFrom = labels, name
			break
		}
	}
	return f, nil
}

// readZip reads a zip archive with one model.
func readZip(b []byte) (*ModelFile, error) {
	archive, err := zip.NewReader(bytes.NewReader(b), int64(len(b)))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	var models, texts []*zip.File
	for _, f := range archive.File {
		base := path.Base(f.Name)
		switch {
		case strings.HasPrefix(base, "._"): // a resource fork that macOS added
		case strings.EqualFold(path.Ext(base), ".tflite"):
			models = append(models, f)
		case strings.EqualFold(path.Ext(base), ".txt"):
			texts = append(texts, f)
		}
	}
	if len(models) == 0 {
		return nil, fmt.Errorf("%w: no file ends in .tflite; export the model as TensorFlow Lite", ErrNoModel)
	}
	if len(models) > 1 {
		return nil, fmt.Errorf("%w: it has %d, such as %q and %q; unzip it and name one", ErrNoModel, len(models), models[0].Name, models[1].Name)
	}
	model, err := unzip(models[0], MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("unzip %q: %w", models[0].Name, err)
	}
	f := &ModelFile{Model: model}
	name := likelyLabels(texts)
	for _, text := range texts {
		if text.Name != name {
			continue
		}
		content, err := unpack(text)
		if err != nil {
			continue // the model has no labels then
		}
		if labels, err := parseLabels(content); err == nil {
			f.Labels, f.LabelsFrom = labels, text.Name
		}
	}
	return f, nil
}

// unzip returns the content of f, which may have at most limit bytes.
func unzip(f *zip.File, limit int64) ([]byte, error) {
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	defer r.Close()
	content, err := io.ReadAll(io.LimitReader(r, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%v: %w", err, ErrCorrupt)
	}
	if int64(len(content)) > limit {
		return nil, fmt.Errorf("more than %d bytes: %w", limit, ErrTooLarge)
	}
	return content, nil
}
