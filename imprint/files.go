package imprint

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// WriteFile puts content at path durably: a reader sees the old file or the new one.
func WriteFile(path string, content []byte) error {
	return store.Disk{}.Replace(store.Replacement{Path: path, Content: content})
}

// CheckLabel returns an error that wraps ErrLabel if a name can't be a label.
func CheckLabel(label string) error { return store.CheckLabel(label) }

// Compile writes the weights of model into a copy of a compiled model of the same
// architecture, at path. uncompiledName is the model that compiledName was compiled from.
func Compile(ctx context.Context, model, path, compiledName, uncompiledName string) error {
	fail := func(err error) error { return fmt.Errorf("compile %s: %w", model, err) }
	p, err := readPair(compiledName, uncompiledName)
	if err != nil {
		return fail(err)
	}
	m, err := tflite.ReadFile(model)
	if err != nil {
		return fail(err)
	}
	file, err := p.Retarget(m)
	if err != nil {
		return fail(err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := WriteFile(path, file); err != nil {
		return fail(err)
	}
	return nil
}
