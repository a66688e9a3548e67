package imprint

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tpu/pool"
)

// AutoResize in Options.Resize lets the first Add to a new workspace choose the resize
// mode: dataset.Squash if it makes the photos left out more likely by over one standard
// error, else dataset.Crop. With fewer than ten photos to leave out it is dataset.Crop.
const AutoResize dataset.Resize = "auto"

// Options say how to open a workspace. The zero value opens one that exists.
type Options struct {
	// Backbone is the file of the model that embeds photos, or the name of a pulled model.
	// "" is the workspace's own copy, and for a new workspace the built-in backbone.
	Backbone  string
	Embedding string         // the tensor to use as the embedding; "" finds it
	Resize    dataset.Resize // of a new workspace, or AutoResize; "" is dataset.Crop
	// Devices run the backbone; nil is the CPU, which can't run compiled models. The
	// caller closes them.
	Devices    *pool.Pool
	Arithmetic backbone.Arithmetic // of the CPU
	// Compiled is the file or pulled name of a model compiled for the Edge TPU that takes
	// the last layer, and Uncompiled that of the model it was compiled from. They imply the
	// layout TPU unless another is named. Uncompiled is also the backbone of a new
	// workspace that names none. A compiled classifier as Backbone, with Uncompiled, serves
	// as both.
	Compiled, Uncompiled string
	// Layout, KeepClasses, Unknown and Head change the settings with the next change; ""
	// and nil leave them.
	Layout      classifier.Layout
	KeepClasses *bool
	// Unknown is the target false-accept rate, 0 ≤ Unknown < 1: the share of photos of
	// other things that may get a label. 0 turns the answer "unknown" off.
	Unknown  *float64
	Head     classifier.Method
	Threads  int  // the most cores to use; 0 is all
	Existing bool // fail with ErrNoClasses if there is no workspace yet
	// Reuse is a snapshot whose backbone is taken if the workspace has the same; nil
	// loads it.
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
