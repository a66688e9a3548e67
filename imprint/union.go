package imprint

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"

	"golang.org/x/text/unicode/norm"

	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// A union holds the photos of several workspaces, each once, with what the workspaces say about it.
type union struct {
	target     string // folder of the workspace that they are merged into
	sources    []source
	examples   []store.Example
	at         map[store.Digest]int // index in examples
	shown      map[string]string    // what conflicts call each source, by its name
	duplicates int                  // photos of a source that an earlier source has too
}

// gather reads the workspaces one after another, without locks. It keeps of each only the photos
// that the earlier ones do not have. It fails unless their embeddings can be mixed.
func gather(ctx context.Context, target string, others []fleet.Source, merged *fleet.Merged) (*union, error) {
	u := &union{target: target, at: make(map[store.Digest]int), shown: make(map[string]string)}
	own, err := fleet.NameOf(target)
	if err != nil {
		return nil, err
	}
	for _, from := range others {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		s, damaged, err := store.Store{Dir: from.Dir}.Newest()
		if err != nil {
			return nil, err
		}
		if s == nil || len(s.Positives()) == 0 {
			return nil, fmt.Errorf("workspace %s: %w", from.Dir, ErrNoClasses)
		}
		merged.Warnings = append(merged.Warnings, store.Warnings(s, damaged)...)
		shown := cmp.Or(from.Name, from.Dir)
		if from.Name == "" {
			if from.Name, err = fleet.NameOf(from.Dir); err != nil {
				return nil, err
			}
		}
		if from.Name == own {
			from.Name = "" // what is merged into itself was added here
		}
		u.shown[from.Name] = shown
		u.sources = append(u.sources, source{from.Dir, shown, s})
		if err := u.sources[0].sameKind(u.sources[len(u.sources)-1]); err != nil {
			return nil, err
		}
		u.add(s, from.Name)
		s.Examples, s.History = nil, nil // to free the memory
	}
	if len(u.sources) == 0 {
		return nil, fmt.Errorf("%w: no workspace given", ErrNoClasses)
	}
	return u, nil
}

// add adds the examples of s, the state of the workspace of that name.
func (u *union) add(s *store.State, name string) {
	var raw []byte // holds the new embeddings, because those of s keep its whole file in memory
	for _, e := range s.Examples {
		e.Label, e.From, e.Also = norm.NFC.String(e.Label), name, nil
		i, ok := u.at[e.Photo]
		if !ok {
			if cap(raw)-len(raw) < len(e.Raw) {
				raw = make([]byte, 0, max(len(e.Raw), min(len(s.Examples)*len(e.Raw), 1<<20)))
			}
			start := len(raw)
			raw = append(raw, e.Raw...)
			e.Raw = raw[start:len(raw):len(raw)]
			u.at[e.Photo] = len(u.examples)
			u.examples = append(u.examples, e)
			continue
		}
		u.duplicates++
		known := &u.examples[i]
		known.Found = known.Found && e.Found // a box that a user gave stays if the detector changes
		if known.Knows(name) {
			continue
		}
		c := e.Claims()[0]
		if c.Raw = nil; !bytes.Equal(e.Raw, known.Raw) {
			c.Raw = bytes.Clone(e.Raw)
		}
		known.Also = append(known.Also, c)
	}
}

// spellLike spells the labels of u as s does.
func (u *union) spellLike(s *store.State) error {
	var labels []string
	seen := make(map[string]bool)
	note := func(label string) {
		if !seen[label] {
			seen[label] = true
			labels = append(labels, label)
		}
	}
	for _, e := range u.examples {
		note(e.Label)
		for _, c := range e.Also {
			note(c.Label)
		}
	}
	slices.Sort(labels)
	resolved, err := s.ResolveLabels(labels)
	if err != nil {
		return err
	}
	for i := range u.examples {
		e := &u.examples[i]
		e.Label = resolved[e.Label]
		for j := range e.Also {
			e.Also[j].Label = resolved[e.Also[j].Label]
		}
	}
	return nil
}

// known returns the number of photos of u that s has.
func (u *union) known(s *store.State) (n int) {
	for _, e := range s.Examples {
		if _, ok := u.at[e.Photo]; ok {
			n++
		}
	}
	return n
}

// change returns the change that adds the photos of u to s, and the photos with several labels,
// sorted by SHA-256. What a workspace said in an earlier merge counts, not what it says now.
func (u *union) change(s *store.State, rule fleet.Rule) (store.Change, []fleet.Conflict) {
	c := store.Change{Verb: "merge", Settings: s.Settings}
	var conflicts []fleet.Conflict
	known := make(map[store.Digest]bool, len(s.Examples))
	settle := func(of store.Example, claims, all []store.Claim) store.Example {
		e := store.Settle(of, claims, rule)
		if slices.ContainsFunc(all, func(c store.Claim) bool { return c.Label != all[0].Label }) {
			conflicts = append(conflicts, u.conflict(e, all, rule))
		}
		return e
	}
	for _, old := range s.Examples {
		known[old.Photo] = true
		i, ok := u.at[old.Photo]
		if !ok && !old.Disputed() {
			continue
		}
		claims, as := old.Claims(), old
		all := claims
		if ok {
			as.Found = as.Found && u.examples[i].Found
			for _, more := range u.examples[i].Claims() {
				if all = append(all, more); !old.Knows(more.From) {
					claims = append(claims, more)
				}
			}
		}
		if e := settle(as, claims, all); len(e.Also) > len(old.Also) || e.From != old.From {
			c.Removed, c.Added = append(c.Removed, old), append(c.Added, e)
		}
	}
	for _, e := range u.examples {
		if !known[e.Photo] {
			claims := e.Claims()
			c.Added = append(c.Added, settle(e, claims, claims))
		}
	}
	slices.SortFunc(c.Added, store.ByLabel)
	slices.SortFunc(conflicts, func(a, b fleet.Conflict) int { return cmp.Compare(a.SHA256, b.SHA256) })
	return c, conflicts
}

// conflict describes a photo to which workspaces give several labels, of which e has the chosen one.
func (u *union) conflict(e store.Example, claims []store.Claim, rule fleet.Rule) fleet.Conflict {
	c := fleet.Conflict{SHA256: e.Photo.String(), Rule: rule}
	if rule != fleet.Refuse {
		c.Label = e.Label
	}
	for i, claim := range claims {
		name, ok := u.shown[claim.From]
		if !ok {
			name = cmp.Or(claim.From, u.target)
		}
		otherwise := func(now store.Claim) bool { return now.From == claim.From && now.Label != claim.Label }
		if slices.ContainsFunc(claims[i:], otherwise) {
			name = u.target // it keeps an earlier label of that workspace
		}
		c.Claims = append(c.Claims, fleet.Claim{Workspace: name, Label: claim.Label, Path: claim.Path, Time: claim.Time})
	}
	slices.SortFunc(c.Claims, func(a, b fleet.Claim) int {
		return cmp.Or(cmp.Compare(a.Label, b.Label), cmp.Compare(a.Workspace, b.Workspace))
	})
	c.Claims = slices.CompactFunc(c.Claims, func(a, b fleet.Claim) bool { return a.Label == b.Label && a.Workspace == b.Workspace })
	return c
}
