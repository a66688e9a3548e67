package imprint

import (
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// Written says what became of a head in a compiled model.
type Written struct {
	// Sharpened is the factor by which logits were multiplied to make use of the
	// layer's output.
	LogitScale float64 `json:"sharpened"`
	// Differ is the number of the photos taught, of Examples, whose winner is another
	// than the head's.
	Disagreements int `json:"differ"`
	Examples      int `json:"examples"`
}

// Settings are the choices a workspace's model is made with.
type Settings struct {
	Resize      dataset.Resize    // how photos are resized for the backbone
	Layout      classifier.Layout // of the published model
	KeepClasses bool              // the backbone's own classes are kept
	Head        classifier.Method
	// Unknown is the target false-accept rate, 0…1; 0 is no answer "unknown".
	Unknown float64
}

// Settings returns the choices that the published model was made with.
func (k *Workspace) Settings() Settings {
	s := k.state.Settings
	return Settings{Resize: s.Resize, Layout: s.Layout, KeepClasses: s.KeepClasses, Head: s.Head, Unknown: s.Unknown}
}
