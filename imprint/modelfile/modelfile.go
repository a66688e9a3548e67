// Package modelfile finds models by name, loads them and compiles them without Google's compiler.
// Start with [Backbone], which loads a model that embeds photos, or with [Compile]. The name of a
// model is a path or the name of a pulled model.
package modelfile

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/pool"
)

// Locate returns the path of a model's file. It fails with imprint.ErrNoBackbone if name is
// neither a file nor a pulled model.
func Locate(name string) (string, error) { return infer.Locate(name) }

// Backbone loads a model that embeds photos. An empty name means the built-in backbone; o.Name is
// ignored. Backbone also returns the resize mode in the model's metadata, or dataset.Crop.
func Backbone(name string, devices *pool.Pool, o backbone.Options) (*backbone.Backbone, dataset.Resize, error) {
	file, base, err := infer.ReadBackbone(name)
	if err != nil {
		return nil, "", err
	}
	o.Name = base
	b, err := devices.Backbone(file, o)
	if err != nil {
		return nil, "", err
	}
	return b, infer.ResizeFor(b, ""), nil
}

// Compile compiles model without Google's compiler. It writes the weights of model into a copy
// of a compiled model of the same architecture, and saves the copy at path. uncompiledName is
// the model that compiledName was compiled from.
func Compile(ctx context.Context, model, path, compiledName, uncompiledName string) error {
	fail := func(err error) error { return fmt.Errorf("compile %s: %w", model, err) }
	var files [3][]byte
	for i, f := range []struct{ what, name string }{{"compiled model", compiledName}, {"uncompiled model", uncompiledName}, {"model", model}} {
		at, err := infer.Locate(f.name)
		if err == nil {
			var file *tflite.ModelFile
			if file, err = tflite.ReadModel(at); err == nil {
				files[i] = file.Model
			}
		}
		if err != nil {
			return fail(fmt.Errorf("read the %s %s: %w", f.what, f.name, err))
		}
	}
	p, err := compiled.Open(files[0], files[1])
	if err != nil {
		return fail(err)
	}
	file, err := p.Retarget(files[2])
	if err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := store.WriteFile(path, file); err != nil {
		return fail(err)
	}
	return nil
}
