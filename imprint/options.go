package imprint

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/tpu/pool"
)

// AutoResize lets the first Add to a new workspace choose the resize mode: dataset.Squash if its
// log loss is lower by more than one standard error, else dataset.Crop.
const AutoResize = infer.Auto

// Options configure [Open]. The zero value opens an existing workspace, or a new one with the
// defaults. A model is given by the path of its file or by the name of a pulled model.
type Options struct {
	Backbone   string              // "" means the workspace's backbone, or the built-in one
	Embedding  string              // tensor of the backbone that is the embedding; "" finds it
	Resize     dataset.Resize      // resize mode of a new workspace, or AutoResize; "" means dataset.Crop
	Devices    *pool.Pool          // devices that run models, closed by the caller; nil means the CPU
	Arithmetic backbone.Arithmetic // how the CPU computes
	Threads    int                 // maximum number of cores to use; 0 means all
	Existing   bool                // fail with ErrNoClasses if there is no workspace yet
	// Compiled is a model compiled for the Edge TPU, and Uncompiled is the model that it was
	// compiled from. The trained last layer is written into Compiled. Both imply the layout TPU;
	// Uncompiled is also the backbone of a new workspace. Backbone may name the compiled classifier
	// instead of Compiled.
	Compiled, Uncompiled string
	// Layout, KeepClasses, Unknown and Head become settings with the next change, unless they are
	// "" or nil. Unknown is the target false-accept rate, 0 ≤ Unknown < 1: the share of photos of
	// other things that may get a label. 0 turns off the answer "unknown".
	Layout      classifier.Layout
	KeepClasses *bool
	Unknown     *float64
	Head        classifier.Method
	// Reuse is a snapshot of the workspace. Open reuses the snapshot's backbone if the workspace
	// still has that backbone. The snapshot's options replace all other fields.
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
