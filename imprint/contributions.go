package imprint

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Contributions returns the workspaces that were merged into this one, sorted by name.
func (w *Workspace) Contributions() []fleet.Contribution { return contributions(w.state) }

func contributions(s *store.State) []fleet.Contribution {
	photos := make(map[string]int)
	for _, e := range s.Examples {
		photos[e.From]++
		for _, c := range e.Also {
			photos[c.From]++
		}
	}
	delete(photos, "")
	var list []fleet.Contribution
	for name, n := range photos {
		list = append(list, fleet.Contribution{Workspace: name, Photos: n})
	}
	slices.SortFunc(list, func(a, b fleet.Contribution) int { return strings.Compare(a.Workspace, b.Workspace) })
	return list
}

// RemoveContribution removes what was merged from a workspace, given by its name or the end of it,
// and returns the numbers of photos and of negatives removed. Photos that others have stay.
func (w *Workspace) RemoveContribution(ctx context.Context, workspace string) (photos, negatives int, err error) {
	err = w.commit(ctx, func(s *store.State) error {
		name, err := contributor(s, workspace)
		if err != nil {
			return fmt.Errorf("remove the photos of %s: %w", workspace, err)
		}
		c := store.Change{Verb: "remove", Settings: s.Settings}
		for _, old := range s.Examples {
			if !old.Knows(name) {
				continue
			}
			c.Removed = append(c.Removed, old)
			claims := slices.DeleteFunc(old.Claims(), func(c store.Claim) bool { return c.From == name })
			if len(claims) > 0 {
				c.Added = append(c.Added, store.Settle(old, claims, s.Settings.Conflicts))
			}
		}
		for _, e := range newIn(c.Removed, c.Added) {
			if e.Label == store.NegativeLabel {
				negatives++
			} else {
				photos++
			}
		}
		s.Apply(c)
		return nil
	})
	if err != nil {
		return 0, 0, err
	}
	return photos, negatives, nil
}

// contributor returns the name of the workspace that text means.
func contributor(s *store.State, text string) (string, error) {
	var found []string
	path, _ := fleet.NameOf(text) // "" matches nothing
	for _, c := range contributions(s) {
		if c.Workspace == text || c.Workspace == path {
			return c.Workspace, nil
		}
		if fleet.Matches(c.Workspace, text) {
			found = append(found, c.Workspace)
		}
	}
	switch len(found) {
	case 0:
		return "", fmt.Errorf("%w were merged from such a workspace", ErrNoPhotos)
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("%w: %s", fleet.ErrAmbiguous, strings.Join(found, ", "))
}
