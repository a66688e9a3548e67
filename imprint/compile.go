package imprint

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Compile writes a model into a compiled one of the same architecture, the file
// templatePath with the uncompiled twin twinPath, and the result to path.
func Compile(ctx context.Context, model, path, templatePath, twinPath string) error {
	fail := func(err error) error { return fmt.Errorf("compile %s: %w", model, err) }
	t, err := readPair(templatePath, twinPath)
	if err != nil {
		return fail(err)
	}
	m, err := tflite.ReadFile(model)
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
	if err := new(store.Disk).Replace(store.Replacement{Path: path, Content: file}); err != nil {
		return fail(err)
	}
	return nil
}
