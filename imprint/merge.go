package imprint

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Merge adds the examples of other workspaces to the one in dir, in one change. The model is the
// same as if all photos had been added to one workspace. All need the same backbone, detector and
// resize mode and, unless o gives them, settings. A photo with two labels is a fleet.ConflictError.
func Merge(ctx context.Context, dir string, others []fleet.Source, o Options) (*Workspace, *fleet.Merged, error) {
	fail := func(err error) (*Workspace, *fleet.Merged, error) { return nil, nil, fmt.Errorf("merge: %w", err) }
	merged := &fleet.Merged{Classes: make(map[string]int)}
	u, err := gather(ctx, dir, others, merged)
	if err != nil {
		return fail(err)
	}
	w, err := openTarget(dir, u.sources, o)
	if err != nil {
		return fail(err)
	}
	if err := w.merge(ctx, u, merged); err != nil {
		w.Close()
		return fail(err)
	}
	merged.Estimate = w.estimate()
	return w, merged, nil
}

// merge adds the examples of u, in one change, and counts them in merged.
func (w *Workspace) merge(ctx context.Context, u *union, merged *fleet.Merged) error {
	return w.commit(ctx, func(s *store.State) error {
		settings := s.Settings
		if err := w.choose(&settings); err != nil {
			return err
		}
		if err := u.spellLike(s); err != nil {
			return err
		}
		c, conflicts := u.change(s, settings.Conflicts)
		if len(conflicts) > 0 && settings.Conflicts == fleet.Refuse {
			return &fleet.ConflictError{Conflicts: conflicts}
		}
		merged.Duplicates, merged.Conflicts = u.duplicates+u.known(s), conflicts
		countNew(c, merged)
		if len(c.Added) == 0 {
			return errUnchanged
		}
		s.Settings = settings
		s.Apply(c)
		return nil
	})
}

// countNew counts the photos that c adds.
func countNew(c store.Change, m *fleet.Merged) {
	for _, e := range newIn(c.Added, c.Removed) {
		if e.Label == store.NegativeLabel {
			m.Negatives++
		} else {
			m.Classes[e.Label]++
			m.Photos++
		}
	}
}

// A source is a workspace that is merged into another.
type source struct {
	dir   string
	shown string       // what errors call it
	state *store.State // without examples and history, after they were gathered
}

// openTarget opens the workspace in dir, or a new one with the backbone, embedding and resize
// mode of sources.
func openTarget(dir string, sources []source, o Options) (*Workspace, error) {
	now, _, err := store.Store{Dir: dir}.Load()
	if err != nil {
		return nil, err
	}
	if now == nil {
		o = sources[0].options(o)
	}
	w, err := Open(dir, o)
	if err != nil {
		return nil, err
	}
	if now == nil {
		w.state.Backbone.Name = backboneName(sources)
		w.backbone.Name = w.state.Backbone.Name
		err = w.takeSettings(sources)
	}
	if err == nil {
		err = source{dir, dir, w.state}.sameKind(sources[0])
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// backboneName returns the first of the names that sources have for their backbone, so that it does
// not depend on their order.
func backboneName(sources []source) string {
	name := sources[0].state.Backbone.Name
	for _, s := range sources {
		name = min(name, s.state.Backbone.Name)
	}
	return name
}

// sameKind returns an error unless the embeddings of s and other can be mixed.
func (s source) sameKind(other source) error {
	a, b := s.state.Backbone, other.state.Backbone
	mine, its := s.state.Settings.Resize, other.state.Settings.Resize
	switch {
	case a.SHA256 != b.SHA256:
		return fmt.Errorf("%w: %s has %s, %s has %s", ErrOtherBackbone, other.shown, b.Name, s.shown, a.Name)
	case !a.Same(b):
		return fmt.Errorf("%w tensor: %s has tensor %d of %s, %s has tensor %d", ErrOtherBackbone, other.shown, b.Embedding, b.Name, s.shown, a.Embedding)
	case mine != its:
		return fmt.Errorf("%w: %s has %s, %s has %s", ErrOtherResize, other.shown, its, s.shown, mine)
	case !s.state.Settings.Detector.Same(other.state.Settings.Detector):
		return fmt.Errorf("%w: %s has %s, %s has %s", ErrOtherDetector, other.shown, other.state.Settings.Detector, s.shown, s.state.Settings.Detector)
	}
	return nil
}

// options completes o for a new workspace with the same backbone, embedding and resize mode as
// s.
func (s source) options(o Options) Options {
	if o.Backbone == "" {
		o.Backbone = filepath.Join(s.dir, s.state.Backbone.FileName())
	}
	if o.Embedding == "" {
		o.Embedding = fmt.Sprint("#", s.state.Backbone.Embedding)
	}
	if o.Resize == "" {
		o.Resize = s.state.Settings.Resize
	}
	return o
}

// takeSettings takes over the settings of the sources, and fails unless they are equal.
func (w *Workspace) takeSettings(sources []source) error {
	var taken store.Settings
	byDefault := slices.ContainsFunc(sources, func(s source) bool { return s.state.Settings.UnknownRule == store.ByDefault })
	for n, s := range sources {
		settings := s.state.Settings
		settings.Conflicts = fleet.Refuse // the rule of a merge in the source
		if settings.UnknownRule == store.ClassesLeftOut && settings.Unknown == 0 && byDefault {
			settings.UnknownRule = store.ByDefault // an older version made the workspace
		}
		if err := w.choose(&settings); err != nil {
			return err
		}
		if settings.Layout != classifier.TPU {
			settings.Pair = store.PairRef{}
		}
		if n == 0 {
			taken = settings
		} else if !settings.Same(taken) { // the names of models may differ
			return fmt.Errorf("%w: %s has %v, %s has %v", ErrOtherSettings, sources[0].shown, taken, s.shown, settings)
		}
	}
	from := &Workspace{store: store.Store{Dir: sources[0].dir}, options: w.options, pair: w.pair}
	var err error
	if taken.Layout == classifier.TPU {
		if w.pair, err = from.pairOf(taken.Pair); err != nil {
			return err
		}
	}
	if taken.Detector != nil {
		if w.detector, err = from.detectorOf(taken.Detector); err != nil {
			return err
		}
	}
	w.state.Settings = taken
	return nil
}
