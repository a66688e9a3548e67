package store

import (
	"fmt"
	"os"
	"slices"
	"strings"
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

// A templateRef says which compiled model a head is written into, and which model that
// was compiled from.
type PairRef struct {
	Compiled         string `json:"Name"` // both names are for messages
	Uncompiled       string `json:"Twin"`
	CompiledSHA256   Digest `json:"SHA256"`
	UncompiledSHA256 Digest `json:"TwinSHA256"`
}

func (r PairRef) Same(other PairRef) bool {
	return r.CompiledSHA256 == other.CompiledSHA256 && r.UncompiledSHA256 == other.UncompiledSHA256
}

// Prefixes of the files of templates in a workspace. Their content is in their names,
// because an earlier one may be gone back to.
const (
	templatePrefix = "template-"
	twinPrefix     = "twin-"
)

// files are where the workspace keeps the two.
func (r PairRef) Files() (compiled, twin string) {
	return fmt.Sprintf("%s%x.tflite", templatePrefix, r.CompiledSHA256[:8]), fmt.Sprintf("%s%x.tflite", twinPrefix, r.UncompiledSHA256[:8])
}

// dropTemplates removes the files of templates that neither of two generations needs.
func (s Store) DropPairs(states ...*State) {
	var keep []string
	for _, st := range states {
		for _, ref := range st.Pairs() {
			compiled, twin := ref.Files()
			keep = append(keep, compiled, twin)
		}
	}
	entries, _ := os.ReadDir(s.Dir)
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), ".") // what a killed process left
		if (strings.HasPrefix(name, templatePrefix) || strings.HasPrefix(name, twinPrefix)) && !slices.Contains(keep, e.Name()) {
			os.Remove(s.Path(e.Name()))
		}
	}
}
