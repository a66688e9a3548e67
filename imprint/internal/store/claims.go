package store

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/imprintkit/imprint/imprint/fleet"
)

// A Claim is what a workspace says about a photo that another workspace has too. Its fields are
// those of an Example.
type Claim struct {
	From   string `json:",omitempty"` // name of the workspace; "" is the one that holds the state
	Label  string
	Path   string
	Time   time.Time
	Source string    `json:",omitempty"`
	Taken  time.Time `json:",omitzero"`
	Hash   uint64    `json:",omitempty"`
	Raw    []byte    `json:",omitempty"` // nil if the example has the same embedding
}

// Claims returns what all workspaces say about the photo of e. The first is what e itself says.
func (e *Example) Claims() []Claim {
	claims := append([]Claim{{e.From, e.Label, e.Path, e.Time, e.Source, e.Taken, e.Hash, e.Raw}}, e.Also...)
	for i := range claims {
		if claims[i].Raw == nil {
			claims[i].Raw = e.Raw
		}
	}
	return claims
}

// Knows reports whether the workspace of that name has the photo of e.
func (e *Example) Knows(from string) bool {
	return e.From == from || slices.ContainsFunc(e.Also, func(c Claim) bool { return c.From == from })
}

// Relabel gives the label to the photo of e, in the name of all workspaces that have it.
func (e *Example) Relabel(label string) {
	e.Label, e.Also = label, slices.Clone(e.Also)
	for i := range e.Also {
		e.Also[i].Label = label
	}
}

// Embed replaces the embedding of the photo of e, in the name of all workspaces that have it.
func (e *Example) Embed(raw []byte) {
	e.Raw, e.Also = raw, slices.Clone(e.Also)
	for i := range e.Also {
		e.Also[i].Raw = nil
	}
}

// checkClaims returns an error if the claims of other workspaces can't be in a state with embeddings
// of that size.
func (e *Example) checkClaims(size int) error {
	last := e.From
	for i, c := range e.Also {
		switch {
		case c.From == e.From || i > 0 && c.From <= last:
			return fmt.Errorf("the workspaces with photo %s are out of order", e.Photo)
		case c.Raw != nil && len(c.Raw) != size:
			return fmt.Errorf("an embedding of photo %s has %d bytes, not %d", e.Photo, len(c.Raw), size)
		case c.Label != NegativeLabel:
			if err := checkStored(c.Label); err != nil {
				return err
			}
		}
		last = c.From
	}
	return nil
}

// Disputed reports whether workspaces give different labels to the photo of e.
func (e *Example) Disputed() bool {
	return slices.ContainsFunc(e.Also, func(c Claim) bool { return c.Label != e.Label })
}

// Settle returns the example of the photo or crop of e of which workspaces make these claims: the
// oldest of those with the label that the rule chooses. Refuse chooses like Oldest. The result does not depend on
// the order of the claims, each of which is of another workspace.
func Settle(of Example, claims []Claim, rule fleet.Rule) Example {
	label := chosenLabel(claims, rule)
	first := -1
	for i, c := range claims {
		if c.Label == label && (first < 0 || c.compare(claims[first]) < 0) {
			first = i
		}
	}
	c := claims[first]
	e := Example{Label: c.Label, Photo: of.Photo, Path: c.Path, Time: c.Time, Source: c.Source, Taken: c.Taken, Hash: c.Hash, From: c.From, Raw: c.Raw, Of: of.Of, Box: of.Box, Found: of.Found}
	for i, c := range claims {
		if i == first {
			continue
		}
		if bytes.Equal(c.Raw, e.Raw) {
			c.Raw = nil
		}
		e.Also = append(e.Also, c)
	}
	slices.SortFunc(e.Also, func(a, b Claim) int { return cmp.Compare(a.From, b.From) })
	return e
}

func chosenLabel(claims []Claim, rule fleet.Rule) string {
	votes := make(map[string]int)
	for _, c := range claims {
		votes[c.Label]++
	}
	best := claims[0]
	for _, c := range claims[1:] {
		better := c.compare(best) < 0
		switch rule {
		case fleet.Newest:
			better = c.compare(best) > 0
		case fleet.Majority:
			if a, b := votes[c.Label], votes[best.Label]; a != b {
				better = a > b
			}
		}
		if better {
			best = c
		}
	}
	return best.Label
}

// compare orders claims about a photo by the time when it was added, and then by everything else.
func (c Claim) compare(other Claim) int {
	return cmp.Or(c.Time.Compare(other.Time), cmp.Compare(c.Path, other.Path), cmp.Compare(c.Source, other.Source), c.Taken.Compare(other.Taken),
		cmp.Compare(c.Label, other.Label), cmp.Compare(c.Hash, other.Hash), bytes.Compare(c.Raw, other.Raw), cmp.Compare(c.From, other.From))
}

// renameLabel renames a label.
func (e *Example) renameLabel(from, to string) {
	if e.Label == from {
		e.Label = to
	}
	e.Also = slices.Clone(e.Also)
	for i := range e.Also {
		if c := &e.Also[i]; c.Label == from {
			c.Label = to
		}
	}
}
