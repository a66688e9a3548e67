package imprint

import (
	"errors"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Errors that callers branch on. They are wrapped with what was tried on what.
var (
	// ErrNoBackbone means that no backbone has the given name.
	ErrNoBackbone = errors.New("no such backbone")
	// ErrOtherBackbone means that another backbone made the workspace's embeddings.
	ErrOtherBackbone = errors.New("the workspace uses another backbone")
	// ErrOtherResize means that the workspace's photos have another resize mode.
	ErrOtherResize = errors.New("the workspace uses another resize mode")
	// ErrLabel means that a name can't be a label.
	ErrLabel = store.ErrLabel
	// ErrUnknownLabel means that no photo has the label.
	ErrUnknownLabel = errors.New("no such label")
	// ErrNoPhotos means that none of the photos can be added or removed.
	ErrNoPhotos = errors.New("no photos")
	// ErrNoClasses means that the workspace has no class yet.
	ErrNoClasses = errors.New("no class yet")
	// ErrNoOwnClasses means that the backbone's own classes can't be kept: it has none.
	ErrNoOwnClasses = errors.New("the backbone has no classes of its own")
	// ErrUnknown means that a head can't answer "unknown".
	ErrUnknown = errors.New(`the answer "unknown" is not possible`)
	// ErrNothingToUndo means that no change is left to undo.
	ErrNothingToUndo = errors.New("nothing to undo")
	// ErrConflict means that merged workspaces have the same photo under different labels.
	ErrConflict = errors.New("the same photo has different labels")
	// ErrOtherSettings means that merged workspaces differ in their settings and the
	// options don't decide.
	ErrOtherSettings = errors.New("the workspaces have different settings")
	// ErrNeedsCompiled means that the layout TPU lacks a compiled model or the model that
	// it was compiled from.
	ErrNeedsCompiled = errors.New("the layout tpu needs a compiled model and the model it was compiled from")
	// ErrKeepClasses means that the layout TPU can't keep the backbone's own classes: the
	// trained ones take their place.
	ErrKeepClasses = errors.New("the layout tpu can't keep the backbone's own classes")
	// ErrUnpublished means that model.tflite is missing or belongs to another generation.
	ErrUnpublished = errors.New("the model is not published")
	// ErrCorrupt means that a file of the workspace is damaged.
	ErrCorrupt = store.ErrCorrupt
	// ErrFull means that the workspace would become too large for its state file.
	ErrFull = store.ErrFull
	// ErrVersion means that a newer version of imprint wrote the workspace.
	ErrVersion = store.ErrVersion
	// ErrLocked means that another process keeps changing the workspace.
	ErrLocked = store.ErrLocked
)
