package imprint

import (
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Settings are the choices that a workspace's model is made with.
type Settings struct {
	Resize      dataset.Resize
	Layout      classifier.Layout
	KeepClasses bool // keep the backbone's own classes
	Head        classifier.Method
	// Unknown is the target false-accept rate, 0…1; 0 turns the answer "unknown" off.
	Unknown float64
}

// Settings returns the choices that the published model was made with.
func (w *Workspace) Settings() Settings {
	s := w.state.Settings
	return Settings{Resize: s.Resize, Layout: s.Layout, KeepClasses: s.KeepClasses, Head: s.Head, Unknown: s.Unknown}
}

// Method returns the head that can be made: the mean head next to the backbone's own
// classes and in the layout Coral, and otherwise Head.
func (s Settings) Method() classifier.Method {
	return store.Settings{KeepClasses: s.KeepClasses, Layout: s.Layout, Head: s.Head}.Method()
}

// Written describes a head inside a compiled model.
type Written struct {
	// LogitScale multiplies the logits, so that they use the range of the layer's output.
	LogitScale float64 `json:"sharpened"`
	// Disagreements counts the training photos, of Examples, for which quantization
	// changes the prediction.
	Disagreements int `json:"differ"`
	Examples      int `json:"examples"`
}
