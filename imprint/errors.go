package imprint

import (
	"errors"

	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Errors for errors.Is. Methods wrap them with the operation and the cause.
var (
	ErrNoBackbone    = infer.ErrNoBackbone                                  // neither a file nor a pulled model
	ErrOtherBackbone = errors.New("the workspace uses another backbone")    // embeddings of two backbones can't be mixed
	ErrOtherResize   = errors.New("the workspace uses another resize mode") // embeddings of two resize modes can't be mixed
	ErrOtherDetector = errors.New("the workspace uses another detector")    // crops of two detectors can't be mixed
	ErrLabel         = store.ErrLabel                                       // the name can't be a label
	ErrUnknownLabel  = errors.New("no such label")                          // no photo has the label
	ErrNoPhotos      = errors.New("no photos")                              // there are no photos to add or remove
	ErrMissing       = errors.New("photos are missing or have changed")     // to embed them again
	ErrNoClasses     = errors.New("no class yet")                           // the workspace has no classes
	ErrNoOwnClasses  = errors.New("the backbone has no classes of its own") // only a classifier has classes to keep
	ErrUnknown       = errors.New(`the answer "unknown" is not possible`)   // the settings rule it out
	ErrNothingToUndo = errors.New("nothing to undo")
	ErrConflict      = fleet.ErrConflict                                                  // the same photo has different labels in two merged workspaces
	ErrOtherSettings = errors.New("the workspaces have different settings")               // the options must choose one
	ErrKeepClasses   = errors.New("the tpu layout can't keep the backbone's own classes") // the trained classes replace them
	ErrNeedsCompiled = errors.New("the tpu layout needs a compiled model and its uncompiled model")
	ErrUnpublished   = errors.New("the model is not published") // model.tflite does not belong to the state
	ErrCorrupt       = store.ErrCorrupt                         // a file of the workspace is damaged
	ErrFull          = store.ErrFull                            // the state file would become too large
	ErrVersion       = store.ErrVersion                         // a newer version of imprint wrote the workspace
	ErrLocked        = store.ErrLocked                          // another process keeps changing the workspace
)
