package main

import (
	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/modelfile"
)

// loadBackbone loads the backbone that o names or, if o names none, the backbone of the workspace
// in dir. It also returns the resize mode from o, or else from the workspace or the model's
// metadata.
func loadBackbone(dir string, o imprint.Options) (b *backbone.Backbone, mode dataset.Resize, err error) {
	want := o.Resize
	if o.Backbone != "" {
		b, mode, err = modelfile.Backbone(o.Backbone, o.Devices, backbone.Options{Embedding: o.Embedding, Arithmetic: o.Arithmetic})
	} else {
		o.Resize = ""
		var w *imprint.Workspace
		if w, err = imprint.Open(dir, o); err == nil {
			defer w.Close()
			b, mode = w.Backbone(), w.Settings().Resize
		}
	}
	if want != "" {
		mode = want
	}
	return b, mode, err
}
