package imprint

import (
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/predict"
)

// Settings are the choices that determine how a workspace's model is made.
type Settings struct {
	Resize      dataset.Resize
	Layout      classifier.Layout
	KeepClasses bool // keep the backbone's own classes
	Head        classifier.Method
	Unknown     float64 // target false-accept rate, 0…1; 0 turns off the answer "unknown"
	UnknownOff  string  // why that answer is off although the user did not turn it off, or ""
	Detector    *predict.DetectorChoice
}

// Settings returns the settings of the published model. With the backbone's own classes or in
// the Coral layout, Head is always Mean.
func (w *Workspace) Settings() Settings {
	s := w.state.Settings
	now := Settings{Resize: s.Resize, Layout: s.Layout, KeepClasses: s.KeepClasses, Head: s.Method(), Unknown: w.unknownRate(w.state)}
	if d := s.Detector; d != nil {
		now.Detector = &predict.DetectorChoice{Model: d.Name, Only: d.Only, Min: d.Min}
	}
	switch {
	case s.UnknownRule == store.ByDefault:
		now.UnknownOff = w.unknownOff(w.state)
	case now.Unknown > 0 && !w.state.Rejects():
		now.UnknownOff = w.needsBackground(w.state)
	}
	return now
}

// Written describes a head inside a compiled model.
type Written = store.Written

// Written describes the head in a compiled model. Other layouts return nil.
func (w *Workspace) Written() *Written { return w.state.Written }
