package imprint

import (
	"errors"
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// loadOrRestoreBackbone is like loadBackbone, but if the workspace's copy of the built-in backbone
// is damaged or missing, it loads the program's own copy. The next change writes that copy to the
// workspace.
func (w *Workspace) loadOrRestoreBackbone(fresh bool) error {
	err := w.loadBackbone(fresh)
	if fresh || !errors.Is(err, ErrCorrupt) || w.options.Backbone != "" || w.options.Embedding != "" {
		return err
	}
	file, _, builtinErr := infer.ReadBackbone("")
	if want := w.state.Backbone; builtinErr != nil || store.Sum(file) != want.SHA256 {
		return err
	}
	b, builtinErr := w.parseBackbone(file, backbone.Options{
		Name: w.state.Backbone.Name, Embedding: fmt.Sprint("#", w.state.Backbone.Embedding), Arithmetic: w.options.Arithmetic,
	})
	if builtinErr != nil {
		return err
	}
	w.backbone, w.file = b, file
	w.warnings = append(w.warnings, fmt.Sprintf("%v; using the same backbone from the program", err))
	return nil
}
