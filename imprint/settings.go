package imprint

import (
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Settings are the choices that determine how a workspace's model is made.
type Settings struct {
	Resize      dataset.Resize
	Layout      classifier.Layout
	KeepClasses bool // keep the backbone's own classes
	Head        classifier.Method
	Unknown     float64 // target false-accept rate, 0…1; 0 turns off the answer "unknown"
	UnknownOff  string  // why that answer is off by default, or ""
}

// Settings returns the settings of the published model. With the backbone's own classes or in
// the Coral layout, Head is always Mean.
func (w *Workspace) Settings() Settings {
	s := w.state.Settings
	now := Settings{Resize: s.Resize, Layout: s.Layout, KeepClasses: s.KeepClasses, Head: s.Method(), Unknown: w.unknownRate(w.state)}
	if s.UnknownRule == store.ByDefault {
		now.UnknownOff = w.unknownOff(w.state)
	}
	return now
}

// Written describes a head inside a compiled model.
type Written struct {
	LogitScale    float64 `json:"sharpened"` // factor by which logits were multiplied to use the full range of the output
	Disagreements int     `json:"differ"`    // number of predictions that quantization changes
	Examples      int     `json:"examples"`  // number of training photos
}

// Written describes the head in a compiled model. Other layouts return nil.
func (w *Workspace) Written() *Written { return (*Written)(w.state.Written) }
