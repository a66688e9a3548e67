package imprint

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

var (
	// ErrConflict is wrapped when workspaces that shall be merged have the same photo
	// under different labels.
	ErrConflict = errors.New("the same photo under different labels")
	// ErrOtherSettings is wrapped when workspaces that shall be merged write their
	// models differently, and nothing says which way to take.
	ErrOtherSettings = errors.New("the workspaces write their models differently")
)

// Merged tells what Merge did.
type Merged struct {
	Photos     int            `json:"photos"` // that were not known
	Classes    map[string]int `json:"classes"`
	Negatives  int            `json:"negatives,omitempty"` // of nothing taught, not in Photos
	Duplicates int            `json:"duplicates"`          // photos there more than once, counted once
	// Warnings tell of damage to the workspaces that was worked around.
	Warnings []string `json:"-"`
	// Estimate is the leave-one-out accuracy over all classes afterwards.
	Estimate classifier.Estimate `json:"estimate"`
}

// Merge teaches the workspace in dir, in one change, everything that the workspaces in
// others have been taught, without a photo being read, and returns it opened. The model
// is the same bytes as if all photos had been taught in one workspace, whatever the
// order of others. They must have the same backbone, embedding and way of fitting photos.
//
// A workspace that is there keeps its settings. A new one gets the backbone of the
// others and their settings, which must be the same as far as o does not name them.
// Photos under two labels fail the merge with ErrConflict; nothing has been changed then.
func Merge(ctx context.Context, dir string, others []string, o Options) (*Workspace, *Merged, error) {
	merged := &Merged{Classes: make(map[string]int)}
	fail := func(err error) (*Workspace, *Merged, error) { return nil, nil, fmt.Errorf("merge: %w", err) }
	var sources []source
	for _, other := range others {
		s, damaged, err := store.Store{Dir: other}.Load()
		if err != nil {
			return fail(err)
		}
		if s == nil || len(s.Positives()) == 0 {
			return fail(fmt.Errorf("workspace %s: %w", other, ErrNothingTaught))
		}
		merged.Warnings = append(merged.Warnings, store.Warnings(s, damaged)...)
		sources = append(sources, source{other, s})
	}
	if len(sources) == 0 {
		return fail(fmt.Errorf("%w: no workspace is named", ErrNothingTaught))
	}
	for _, s := range sources[1:] {
		if err := sources[0].sameKind(s); err != nil {
			return fail(err)
		}
	}
	now, _, err := store.Store{Dir: dir}.Load()
	if err != nil {
		return fail(err)
	}
	fresh := now == nil
	if fresh {
		o = sources[0].options(o)
	}
	k, err := Open(dir, o)
	if err != nil {
		return fail(err)
	}
	if fresh {
		k.state.Backbone.Name = sources[0].state.Backbone.Name
		k.backbone.Name = k.state.Backbone.Name
		err = k.takeSettings(sources)
	}
	if err == nil {
		err = source{dir, k.state}.sameKind(sources[0])
	}
	if err == nil {
		err = k.commit(ctx, func(s *store.State) error {
			union, err := unite(append([]source{{dir, s}}, sources...))
			if err != nil {
				return err
			}
			c := union.change(s)
			merged.Duplicates = union.duplicates
			for _, e := range c.Added {
				merged.Classes[e.Label]++
			}
			for _, e := range c.Removed { // only to be known better
				if merged.Classes[e.Label]--; merged.Classes[e.Label] == 0 {
					delete(merged.Classes, e.Label)
				}
			}
			merged.Negatives = merged.Classes[store.NegativeLabel]
			delete(merged.Classes, store.NegativeLabel)
			merged.Photos = len(c.Added) - len(c.Removed) - merged.Negatives
			if len(c.Added) == 0 {
				return errUnchanged
			}
			if err := k.choose(&s.Settings); err != nil {
				return err
			}
			s.Apply(c)
			return nil
		})
	}
	if err != nil {
		k.Close()
		return fail(err)
	}
	merged.Estimate = k.Estimate()
	return k, merged, nil
}

// source is a workspace that is merged into another.
type source struct {
	dir   string
	state *store.State
}

// sameKind says whether embeddings of both may be mixed.
func (s source) sameKind(other source) error {
	a, b := s.state.Backbone, other.state.Backbone
	switch {
	case a.SHA256 != b.SHA256:
		return fmt.Errorf("%w: %s was taught with %s, and %s with %s", ErrOtherBackbone, other.dir, b.Name, s.dir, a.Name)
	case !a.Same(b):
		return fmt.Errorf("%w tensor: %s with %d of %s, and %s with %d", ErrOtherBackbone, other.dir, b.Embedding, b.Name, s.dir, a.Embedding)
	case s.state.Settings.Resize != other.state.Settings.Resize:
		return fmt.Errorf("%w: %s by %s, and %s by %s", ErrOtherResize, other.dir, other.state.Settings.Resize, s.dir, s.state.Settings.Resize)
	}
	return nil
}

// options are o for a new workspace of the kind of s.
func (s source) options(o Options) Options {
	if o.Backbone == "" {
		o.Backbone = filepath.Join(s.dir, store.BackboneFile)
	}
	if o.Embedding == "" {
		o.Embedding = fmt.Sprint("#", s.state.Backbone.Embedding)
	}
	if o.Resize == "" {
		o.Resize = s.state.Settings.Resize
	}
	return o
}

// takeSettings takes those that all sources have.
func (k *Workspace) takeSettings(sources []source) error {
	var taken store.Settings
	for n, s := range sources {
		settings := s.state.Settings
		if err := k.choose(&settings); err != nil {
			return err
		}
		if settings.Layout != classifier.TPU {
			settings.Pair = store.PairRef{}
		}
		if n > 0 {
			if settings.Pair.Same(taken.Pair) {
				settings.Pair = taken.Pair // under whatever name
			}
			if settings != taken {
				return fmt.Errorf("%w: %s by %s, and %s by %s", ErrOtherSettings, sources[0].dir, taken.String(), s.dir, settings.String())
			}
		}
		taken = settings
	}
	if taken.Layout == classifier.TPU {
		from := &Workspace{store: store.Store{Dir: sources[0].dir}, pair: k.pair}
		var err error
		if k.pair, err = from.pairOf(taken.Pair); err != nil {
			return err
		}
	}
	k.state.Settings = taken
	return nil
}

// union is what several workspaces were taught.
type union struct {
	examples   []store.Example
	duplicates int
}

// unite puts the examples of sources together. Of the same photo the example that was
// taught first counts, whatever the order of sources.
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
					first = fmt.Errorf("%w: %s is %s in %s and %s in %s", ErrConflict, e.Path, shows(known), from[e.Photo], shows(&e), s.dir)
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
		first = fmt.Errorf("%w, and %d more photos are under two labels", first, conflicts-1)
	}
	return u, first
}

// shows says what a photo was taught as.
func shows(e *store.Example) string {
	if e.Label == store.NegativeLabel {
		return "nothing taught"
	}
	return fmt.Sprintf("%q", e.Label)
}

// earlier orders what is known of the same photo.
func earlier(a, b store.Example) bool {
	return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Source, b.Source), a.Taken.Compare(b.Taken)) < 0
}

// change is what makes s the union.
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
