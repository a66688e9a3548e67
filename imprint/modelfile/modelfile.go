// Package modelfile finds models by name, loads them and compiles them without Google's compiler.
// Start with [Backbone], which loads a model that embeds photos, or with [Compile]. The name of a
// model is a path or the name of a pulled model.
package modelfile

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
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

// Save writes a model file durably. A reader sees either the old file or the new one.
func Save(path string, model []byte) error { return store.WriteFile(path, model) }

// Compile compiles model without Google's compiler, and saves the result at path. It writes the
// weights of model into a copy of a compiled model of the same architecture, the template.
//
// t names the template. If it names none, Compile tries the pulled models, and the error wraps
// ErrNoTemplate if none of them fits. Compile returns the template that it used.
func Compile(ctx context.Context, model, path string, t Template) (Template, error) {
	fail := func(err error) (Template, error) { return Template{}, fmt.Errorf("compile %s: %w", model, err) }
	weights, err := read(model)
	if err != nil {
		return fail(err)
	}
	var file []byte
	if t.Compiled == "" {
		file, t, err = retargetAny(ctx, pulledTemplates(), weights)
	} else {
		file, err = Retarget(t, weights)
	}
	if err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return Template{}, err
	}
	if err := store.WriteFile(path, file); err != nil {
		return fail(err)
	}
	return t, nil
}
