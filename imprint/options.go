package imprint

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu/pool"
)

// AutoResize lets the first Add choose between Crop and Squash by log loss.
const AutoResize = infer.Auto

// Options configure [Open]. The zero value has the defaults. A model is given by the path of its file or
// by the name of a pulled model.
type Options struct {
	Backbone   string                  // "" means the workspace's backbone, or the built-in one
	Embedding  string                  // tensor of the backbone that is the embedding; "" finds it
	Resize     dataset.Resize          // resize mode of a new workspace, or AutoResize; "" means dataset.Crop
	Devices    *pool.Pool              // devices that run models, closed by the caller; nil means the CPU
	Arithmetic backbone.Arithmetic     // how the CPU computes
	Threads    int                     // maximum number of cores to use; 0 means all
	Detector   *predict.DetectorChoice // crops photos; nil means the workspace's; without a Model, none
	Existing   bool                    // fail with ErrNoClasses if there is no workspace yet
	// Compiled is the compiled model to write the last layer into; Backbone may name it instead.
	// Uncompiled is what it was compiled from, a new workspace's backbone. Both imply the TPU layout.
	Compiled, Uncompiled string
	// These become settings with the next change, unless they are "" or nil.
	Layout      classifier.Layout
	KeepClasses *bool
	Unknown     *float64 // target false-accept rate; 0 turns the answer "unknown" off
	None        string   // label of that answer
	Head        classifier.Method
	Conflicts   *fleet.Rule // decides the label of a photo to which merged workspaces give several
	// Reuse replaces all other fields by the options of a snapshot, and uses its backbone again if possible.
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
	if d := o.Detector; d != nil && !(d.Min >= 0 && d.Min <= 1) && err == nil {
		err = fmt.Errorf("the detector's minimum score is %v; it must be 0 to 1", d.Min)
	}
	return err
}
