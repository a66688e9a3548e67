package imprint

import (
	"fmt"
	"path/filepath"

	"github.com/imprintkit/imprint/imprint/evaluate"
)

// Examples returns the embeddings of the training photos, or ErrNoClasses.
func (w *Workspace) Examples() (*evaluate.Set, error) {
	positives := w.state.Positives()
	if len(positives) == 0 {
		return nil, fmt.Errorf("workspace %s: %w", w.store.Dir, ErrNoClasses)
	}
	dir, err := filepath.Abs(w.store.Dir)
	if err != nil {
		dir = w.store.Dir
	}
	s := &evaluate.Set{Name: filepath.Base(dir)}
	units := w.unitsOf(positives)
	for i, e := range positives {
		if n := len(s.Classes); n == 0 || s.Classes[n-1] != e.Label {
			s.Classes = append(s.Classes, e.Label)
		}
		s.Labels, s.Units, s.Norms = append(s.Labels, len(s.Classes)-1), append(s.Units, units[i].Unit), append(s.Norms, units[i].Norm)
		s.Bursts, s.Hashes = append(s.Bursts, units[i].Burst), append(s.Hashes, e.Hash)
		s.Photos = append(s.Photos, evaluate.Photo{Path: e.Path, SHA256: e.Photo.String()})
	}
	return s, nil
}
