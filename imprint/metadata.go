package imprint

import (
	"encoding/json"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// metadataName is the entry of a written model's metadata that says how photos
// have to be prepared for it.
const metadataName = "IMPRINT"

// modelMetadata is that entry, as JSON.
type modelMetadata struct {
	Version int               `json:"version"`
	Resize  dataset.Resize    `json:"fit"`
	Layout  classifier.Layout `json:"layout"`
}

// readMetadata returns that entry of m, empty where m was not written here.
func readMetadata(m *tflite.Model) (meta modelMetadata) {
	b, ok := m.MetadataEntry(metadataName)
	if !ok || json.Unmarshal(b, &meta) != nil {
		return modelMetadata{}
	}
	return meta
}

// modelFit returns the way of fitting photos that m was written with.
func modelResize(m *tflite.Model) (dataset.Resize, bool) {
	fit, err := dataset.ParseResize(string(readMetadata(m).Resize))
	return fit, err == nil
}
