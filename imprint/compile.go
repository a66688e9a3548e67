package imprint

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/template"
)

// ExportTPU writes the workspace's head into the last layer of a model compiled for
// the Edge TPU, the file templatePath, whose uncompiled twin is the file twinPath,
// and the result to path, with its labels to a file of their own if labels is not "".
// The workspace's backbone is the twin, or has its architecture up to the embedding.
func (k *Kit) ExportTPU(path, labels, templatePath, twinPath string) (*template.Written, error) {
	fail := func(err error) (*template.Written, error) {
		return nil, fmt.Errorf("export into %s: %w", templatePath, err)
	}
	t, err := openTemplate(templatePath, twinPath)
	if err != nil {
		return fail(err)
	}
	s := *k.state
	if len(s.Examples) == 0 {
		return fail(ErrNothingTaught)
	}
	s.Settings.KeepClasses, s.Settings.Layout = false, classifier.Float
	units := k.units(s.Examples, make([]float64, len(s.Examples)*k.backbone.Dim()))
	method := s.Settings.method()
	fitted, err := classifier.Fit(units, method, false)
	if err != nil {
		return fail(err)
	}
	file, written, err := t.WriteHead(fitted.Head, units, k.backbone.Model())
	if err != nil {
		return fail(err)
	}
	files := []replacement{{path, file}}
	if labels != "" {
		files = append(files, replacement{labels, labelLines(fitted.Head.Labels)})
	}
	if err := k.store.disk.replace(files...); err != nil {
		return fail(err)
	}
	return written, nil
}

// Compile writes a model into a compiled one of the same architecture, the file
// templatePath with the uncompiled twin twinPath, and the result to path.
func Compile(ctx context.Context, model, path, templatePath, twinPath string) error {
	fail := func(err error) error { return fmt.Errorf("compile %s: %w", model, err) }
	t, err := openTemplate(templatePath, twinPath)
	if err != nil {
		return fail(err)
	}
	m, err := readFile(model, tflite.MaxFileSize)
	if err != nil {
		return fail(err)
	}
	file, err := t.Retarget(m)
	if err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := new(disk).replace(replacement{path, file}); err != nil {
		return fail(err)
	}
	return nil
}

func openTemplate(templatePath, twinPath string) (*template.Template, error) {
	compiled, err := readFile(templatePath, tflite.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	twin, err := readFile(twinPath, tflite.MaxFileSize)
	if err != nil {
		return nil, fmt.Errorf("read the uncompiled model: %w", err)
	}
	return template.Open(compiled, twin)
}
