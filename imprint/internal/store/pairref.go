package store

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// backbonePrefix is the prefix of the names of backbones other than a workspace's first.
const backbonePrefix = "backbone-"

func backboneFile(sum Digest) string { return fmt.Sprintf("%s%x.tflite", backbonePrefix, sum[:8]) }

// Place sets b.File for a backbone that replaces the backbone of s. Undo needs the old backbone, so
// the new one gets another file, unless s has a file of it.
func (s *State) Place(b *BackboneRef) {
	b.File = backboneFile(b.SHA256)
	for _, has := range s.Backbones() {
		if has.SHA256 == b.SHA256 {
			b.File = has.File
		}
	}
}

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
	detectorPrefix   = "detector-"
)

// File returns the name of the detector's file in the workspace.
func (d *DetectorRef) File() string { return fmt.Sprintf("%s%x.tflite", detectorPrefix, d.SHA256[:8]) }

// Files returns the names of both models' files in the workspace.
func (r PairRef) Files() (compiled, uncompiled string) {
	return fmt.Sprintf("%s%x.tflite", compiledPrefix, r.CompiledSHA256[:8]), fmt.Sprintf("%s%x.tflite", uncompiledPrefix, r.UncompiledSHA256[:8])
}

// DropModels removes the backbones, the detectors and the compiled and uncompiled models that none
// of the given states needs.
func (s Store) DropModels(states ...*State) {
	var keep []string
	for _, st := range states {
		for _, ref := range st.Backbones() {
			keep = append(keep, ref.FileName())
		}
		for _, ref := range st.Pairs() {
			compiled, uncompiled := ref.Files()
			keep = append(keep, compiled, uncompiled)
		}
		for _, ref := range st.Detectors() {
			keep = append(keep, ref.File())
		}
	}
	entries, _ := os.ReadDir(s.Dir)
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), ".") // the dot marks a temporary file of a killed process
		if isModel(name) && !slices.Contains(keep, e.Name()) {
			os.Remove(s.Path(e.Name()))
		}
	}
}

// ModelFiles returns the names of the backbones, the detectors and the compiled and uncompiled models
// in the folder, sorted.
func (s Store) ModelFiles() (names []string) {
	entries, _ := os.ReadDir(s.Dir)
	for _, e := range entries {
		if IsShared(e.Name()) && isModel(e.Name()) {
			names = append(names, e.Name())
		}
	}
	return names
}

// IsShared reports whether a name is that of a state file or of a model of a workspace, in which a
// copy of the workspace consists.
func IsShared(name string) bool {
	return name == SlotFile(0) || name == SlotFile(1) || isModel(name) && strings.HasSuffix(name, ".tflite") && filepath.Base(name) == name
}

func isModel(name string) bool {
	return name == BackboneFile || slices.ContainsFunc([]string{backbonePrefix, compiledPrefix, uncompiledPrefix, detectorPrefix}, func(prefix string) bool {
		return strings.HasPrefix(name, prefix)
	})
}
