package store

import (
	"fmt"
	"os"
	"slices"
	"strings"
)

// A PairRef identifies a compiled model that a head is written into, and the model that it was
// compiled from.
type PairRef struct {
	Compiled         string `json:"Name"` // the names are only for messages
	Uncompiled       string `json:"Twin"`
	CompiledSHA256   Digest `json:"SHA256"`
	UncompiledSHA256 Digest `json:"TwinSHA256"`
}

// Same reports whether r and other identify the same models. It ignores their names.
func (r PairRef) Same(other PairRef) bool {
	return r.CompiledSHA256 == other.CompiledSHA256 && r.UncompiledSHA256 == other.UncompiledSHA256
}

// The name of a model file in a workspace is one of these prefixes followed by the digest, so that
// several models can be kept for undo.
const (
	compiledPrefix   = "template-"
	uncompiledPrefix = "twin-"
)

// Files returns the names of both models' files in the workspace.
func (r PairRef) Files() (compiled, uncompiled string) {
	return fmt.Sprintf("%s%x.tflite", compiledPrefix, r.CompiledSHA256[:8]), fmt.Sprintf("%s%x.tflite", uncompiledPrefix, r.UncompiledSHA256[:8])
}

// DropPairs removes the compiled and uncompiled models that none of the given states needs.
func (s Store) DropPairs(states ...*State) {
	var keep []string
	for _, st := range states {
		for _, ref := range st.Pairs() {
			compiled, uncompiled := ref.Files()
			keep = append(keep, compiled, uncompiled)
		}
	}
	entries, _ := os.ReadDir(s.Dir)
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), ".") // the dot marks a temporary file of a killed process
		if (strings.HasPrefix(name, compiledPrefix) || strings.HasPrefix(name, uncompiledPrefix)) && !slices.Contains(keep, e.Name()) {
			os.Remove(s.Path(e.Name()))
		}
	}
}
