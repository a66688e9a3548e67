package classifier

import (
	"encoding/json"
	"fmt"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// metadataName is the name of imprint's own entry in a model's metadata.
const metadataName = "IMPRINT"

// Metadata is imprint's own entry in the metadata of a model that it wrote. It is stored
// as JSON under the name IMPRINT.
type Metadata struct {
	Version int `json:"version"` // always 1
	// Resize is the resize mode for this model's input photos.
	Resize string `json:"fit"`
	Layout Layout `json:"layout"`
	// Normalized reports whether pixels must be normalized as the model's metadata says. It is
	// false in models written by older versions of imprint, which expect pixels from −1 to 1.
	Normalized bool `json:"normalized,omitempty"`
	// None is the label of the row for unknown things, unless that is [UnknownLabel].
	None string `json:"none,omitempty"`
}

// ReadMetadata returns imprint's entry in m, or the zero value for a model that imprint
// did not write.
func ReadMetadata(m *tflite.Model) Metadata {
	var meta Metadata
	if b, ok := m.MetadataEntry(metadataName); !ok || json.Unmarshal(b, &meta) != nil {
		return Metadata{}
	}
	return meta
}

// Store writes d to the metadata of m.
func (d Metadata) Store(m *tflite.Model) error {
	b, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("encode the model's metadata: %w", err)
	}
	m.SetMetadataEntry(metadataName, b)
	return nil
}
