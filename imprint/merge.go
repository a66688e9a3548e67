package imprint

import (
	"cmp"
	"context"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Merged is the result of [Merge].
type Merged struct {
	Photos     int                 `json:"photos"`  // new photos in classes
	Classes    map[string]int      `json:"classes"` // new photos by label
	Negatives  int                 `json:"negatives,omitempty"`
	Duplicates int                 `json:"duplicates"` // photos that several workspaces have
	Warnings   []string            `json:"-"`          // damage found in the workspaces
	Estimate   classifier.Estimate `json:"estimate"`   // leave-one-out accuracy after the merge
}

// Merge adds the examples of other workspaces to the one in dir, in one change. The model is the
// same as if all photos had been added to one workspace. All need the same backbone, embedding and
// resize mode and, unless o gives them, settings. It fails with ErrConflict if a photo has two labels.
func Merge(ctx context.Context, dir string, others []string, o Options) (*Workspace, *Merged, error) {
	fail := func(err error) (*Workspace, *Merged, error) { return nil, nil, fmt.Errorf("merge: %w", err) }
	merged := &Merged{Classes: make(map[string]int)}
	sources, err := loadSources(others, merged)
	if err != nil {
		return fail(err)
	}
	w, err := openTarget(dir, sources, o)
	if err != nil {
		return fail(err)
	}
	if err := w.merge(ctx, sources, merged); err != nil {
		w.Close()
		return fail(err)
	}
	merged.Estimate = w.estimate()
	return w, merged, nil
}

// merge adds the examples of sources, in one change, and counts them in merged.
func (w *Workspace) merge(ctx context.Context, sources []source, merged *Merged) error {
	return w.commit(ctx, func(s *store.State) error {
		spelled, err := spellAlike(s, sources)
		if err != nil {
			return err
		}
		union, err := unite(append([]source{{w.store.Dir, s}}, spelled...))
		if err != nil {
			return err
		}
		c := union.change(s)
		merged.count(union, c)
		if len(c.Added) == 0 {
			return errUnchanged
		}
		if err := w.choose(&s.Settings); err != nil {
			return err
		}
		s.Apply(c)
		return nil
	})
}

func (m *Merged) count(u union, c store.Change) {
	m.Duplicates = u.duplicates
	for _, e := range c.Added {
		m.Classes[e.Label]++
	}
	for _, e := range c.Removed { // the merge replaces it with an earlier example of the same photo
		if m.Classes[e.Label]--; m.Classes[e.Label] == 0 {
			delete(m.Classes, e.Label)
		}
	}
	m.Negatives = m.Classes[store.NegativeLabel]
	delete(m.Classes, store.NegativeLabel)
	m.Photos = len(c.Added) - len(c.Removed) - m.Negatives
}

// A source is a workspace that is merged into another.
type source struct {
	dir   string
	state *store.State
}

// loadSources reads the states of workspaces, and fails unless their embeddings can be mixed.
func loadSources(dirs []string, merged *Merged) ([]source, error) {
	var sources []source
	for _, dir := range dirs {
		s, damaged, err := store.Store{Dir: dir}.Load()
		if err != nil {
			return nil, err
		}
		if s == nil || len(s.Positives()) == 0 {
			return nil, fmt.Errorf("workspace %s: %w", dir, ErrNoClasses)
		}
		merged.Warnings = append(merged.Warnings, store.Warnings(s, damaged)...)
		sources = append(sources, source{dir, s})
	}
	if len(sources) == 0 {
		return nil, fmt.Errorf("%w: no workspace given", ErrNoClasses)
	}
	for _, s := range sources[1:] {
		if err := sources[0].sameKind(s); err != nil {
			return nil, err
		}
	}
	return sources, nil
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
		w.state.Backbone.Name = sources[0].state.Backbone.Name
		w.backbone.Name = w.state.Backbone.Name
		err = w.takeSettings(sources)
	}
	if err == nil {
		err = source{dir, w.state}.sameKind(sources[0])
	}
	if err != nil {
		w.Close()
		return nil, err
	}
	return w, nil
}

// sameKind returns an error unless the embeddings of s and other can be mixed.
func (s source) sameKind(other source) error {
	a, b := s.state.Backbone, other.state.Backbone
	mine, its := s.state.Settings.Resize, other.state.Settings.Resize
	switch {
	case a.SHA256 != b.SHA256:
		return fmt.Errorf("%w: %s has %s, %s has %s", ErrOtherBackbone, other.dir, b.Name, s.dir, a.Name)
	case !a.Same(b):
		return fmt.Errorf("%w tensor: %s has tensor %d of %s, %s has tensor %d", ErrOtherBackbone, other.dir, b.Embedding, b.Name, s.dir, a.Embedding)
	case mine != its:
		return fmt.Errorf("%w: %s has %s, %s has %s", ErrOtherResize, other.dir, its, s.dir, mine)
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
		if settings.UnknownRule == store.ClassesLeftOut && settings.Unknown == 0 && byDefault {
			settings.UnknownRule = store.ByDefault // an older version made the workspace
		}
		if err := w.choose(&settings); err != nil {
			return err
		}
		if settings.Layout != classifier.TPU {
			settings.Pair = store.PairRef{}
		}
		if n > 0 {
			if settings.Pair.Same(taken.Pair) {
				settings.Pair = taken.Pair // the names may differ
			}
			if settings != taken {
				return fmt.Errorf("%w: %s has %v, %s has %v", ErrOtherSettings, sources[0].dir, taken, s.dir, settings)
			}
		}
		taken = settings
	}
	if taken.Layout == classifier.TPU {
		from := &Workspace{store: store.Store{Dir: sources[0].dir}, pair: w.pair}
		var err error
		if w.pair, err = from.pairOf(taken.Pair); err != nil {
			return err
		}
	}
	w.state.Settings = taken
	return nil
}

// spellAlike returns sources with labels spelled as in s.
func spellAlike(s *store.State, sources []source) ([]source, error) {
	var labels []string
	for _, from := range sources {
		labels = append(labels, from.state.Labels()...)
	}
	resolved, err := s.ResolveLabels(labels)
	if err != nil {
		return nil, err
	}
	spelled := make([]source, len(sources))
	for i, from := range sources {
		state := *from.state
		state.Examples = slices.Clone(state.Examples)
		for j := range state.Examples {
			if e := &state.Examples[j]; e.Label != store.NegativeLabel {
				e.Label = resolved[e.Label]
			}
		}
		spelled[i] = source{from.dir, &state}
	}
	return spelled, nil
}

// A union holds the examples of several workspaces.
type union struct {
	examples   []store.Example
	duplicates int
}

// unite returns the examples of all sources. If several sources have a photo, it keeps the example
// that was added first. The result does not depend on the order of sources.
func unite(sources []source) (union, error) {
	var u union
	at := make(map[store.Digest]int)
	from := make(map[store.Digest]string)
	var first error
	conflicts := 0
	for _, s := range sources {
		for _, e := range s.state.Examples {
			i, ok := at[e.Photo]
			if !ok {
				at[e.Photo], from[e.Photo] = len(u.examples), s.dir
				u.examples = append(u.examples, e)
				continue
			}
			known := &u.examples[i]
			if known.Label != e.Label {
				if conflicts++; first == nil {
					first = fmt.Errorf("%w: %s is %s in %s and %s in %s", ErrConflict, e.Path, labelOf(*known), from[e.Photo], labelOf(e), s.dir)
				}
				continue
			}
			u.duplicates++
			if earlier(e, *known) {
				*known = e
			}
		}
	}
	if conflicts > 1 {
		first = fmt.Errorf("%w, and %d more photos have two labels", first, conflicts-1)
	}
	return u, first
}

func labelOf(e store.Example) string {
	if e.Label == store.NegativeLabel {
		return "a negative"
	}
	return fmt.Sprintf("%q", e.Label)
}

// earlier reports whether a was added before b. Both are examples of the same photo.
func earlier(a, b store.Example) bool {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Source, b.Source), a.Taken.Compare(b.Taken)) < 0
}

// change returns the change that turns the examples of s into the union.
func (u union) change(s *store.State) store.Change {
	c := store.Change{Verb: "merge", Settings: s.Settings}
	known := make(map[store.Digest]store.Example, len(s.Examples))
	for _, e := range s.Examples {
		known[e.Photo] = e
	}
	for _, e := range u.examples {
		old, ok := known[e.Photo]
		switch {
		case !ok:
			c.Added = append(c.Added, e)
		case earlier(e, old):
			c.Added, c.Removed = append(c.Added, e), append(c.Removed, old)
		}
	}
	slices.SortFunc(c.Added, store.ByLabel)
	return c
}
