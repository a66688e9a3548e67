package imprint

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/tpu/pool"
)

// AutoResize lets the first Add to a new workspace choose dataset.Squash if that has a lower
// log loss by over one standard error, else dataset.Crop.
const AutoResize = infer.Auto

// Options say how to open a workspace. The zero value opens one that exists. Models are
// named by their file or the name of a pulled model.
type Options struct {
	Backbone   string              // "" is the workspace's own, or the built-in one
	Embedding  string              // the backbone's tensor to use; "" finds it
	Resize     dataset.Resize      // of a new workspace, or AutoResize; "" is dataset.Crop
	Devices    *pool.Pool          // to run models on, the caller's to close; nil is the CPU
	Arithmetic backbone.Arithmetic // of the CPU
	Threads    int                 // the most cores to use; 0 is all
	Existing   bool                // fail with ErrNoClasses if there is no workspace yet
	// Compiled is a model compiled for the Edge TPU that takes the last layer, Uncompiled the
	// model it was compiled from. They imply the layout TPU; Uncompiled is also the backbone
	// of a new workspace. A compiled classifier as Backbone, with Uncompiled, means the same.
	Compiled, Uncompiled string
	// Layout, KeepClasses, Unknown and Head become settings with the next change, unless ""
	// or nil. Unknown is the target false-accept rate, 0 ≤ Unknown < 1: the share of photos of
	// other things that may get a label. 0 turns the answer "unknown" off.
	Layout      classifier.Layout
	KeepClasses *bool
	Unknown     *float64
	Head        classifier.Method
	// Reuse is a snapshot of the workspace. Its backbone is used if it is still the same, and
	// its options replace all others here.
	Reuse *Snapshot
}

func (o Options) check() (err error) {
	if o.Layout != "" {
		_, err = classifier.ParseLayout(string(o.Layout))
	}
	if o.Resize != "" && o.Resize != AutoResize && err == nil {
		_, err = dataset.ParseResize(string(o.Resize))
	}
	if u := o.Unknown; u != nil && !(*u >= 0 && *u < 1) && err == nil {
		err = fmt.Errorf("%w: the target false-accept rate is %v; it must be at least 0 and less than 1", ErrUnknown, *u)
	}
	return err
}
