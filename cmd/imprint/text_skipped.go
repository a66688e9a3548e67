package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/imprint"
)

// skippedLines sum up skipped photos by reason; all names each photo.
func skippedLines(skipped []imprint.Skipped, all bool) []string {
	var lines []string
	for _, group := range groupSkipped(skipped, all) {
		first, reason := group[0], skipReason(group[0])
		if slices.ContainsFunc(group, func(s imprint.Skipped) bool { return skipReason(s) != reason }) {
			reason, _, _ = strings.Cut(reason, ": ")
		}
		known := fmt.Sprintf("already in %q", first.Label)
		if first.Label == "" {
			known = "already among the negatives"
		}
		switch {
		case first.Duplicate && len(group) == 1:
			lines = append(lines, fmt.Sprintf("%s is %s", first.Path, known))
		case first.Duplicate:
			lines = append(lines, fmt.Sprintf("%s are %s", count(len(group), "photo"), known))
		case len(group) == 1:
			lines = append(lines, fmt.Sprintf("skipped %s: %s", first.Path, reason))
		default:
			lines = append(lines, fmt.Sprintf("skipped %s, first %s: %s", count(len(group), "photo"), first.Path, reason))
		}
	}
	return lines
}

// groupSkipped groups photos whose reasons begin alike, in the order of their first
// ones. With all each photo is a group.
func groupSkipped(skipped []imprint.Skipped, all bool) [][]imprint.Skipped {
	var groups [][]imprint.Skipped
	at := make(map[string]int)
	for _, s := range skipped {
		kind, _, _ := strings.Cut(skipReason(s), ": ")
		if s.Duplicate {
			kind = "duplicate of " + s.Label
		}
		i, ok := at[kind]
		if !ok || all {
			i = len(groups)
			at[kind] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], s)
	}
	return groups
}

// skipReason is the reason without the path, if it leads with that.
func skipReason(s imprint.Skipped) string {
	if _, after, ok := strings.Cut(s.Reason, s.Path+": "); ok && s.Path != "" {
		return after
	}
	return s.Reason
}
