package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/imprint"
)

// skippedLines returns one line per reason for skipping photos or, if all is true, one per photo.
func skippedLines(skipped []imprint.Skipped, all bool) []string {
	return skippedFor(nil, skipped, all)
}

// skippedFor is like skippedLines, but also says how to move photos that are in another class.
// wanted maps each path to its label.
func skippedFor(wanted map[string]string, skipped []imprint.Skipped, all bool) []string {
	var lines []string
	for _, group := range groupSkipped(wanted, skipped, all) {
		first, reason := group[0], skipReason(group[0])
		if slices.ContainsFunc(group, func(s imprint.Skipped) bool { return skipReason(s) != reason }) {
			reason, _, _ = strings.Cut(reason, ": ")
		}
		known := fmt.Sprintf("already in %q", first.Label)
		if first.Label == "" {
			known = "already among the negatives"
		}
		if to := wanted[first.Path]; !all && to != "" && first.Label != "" && to != first.Label {
			known += fmt.Sprintf(". To move %s: imprint move --to %s %s", itOrThem(group), shellQuote(to), placeOf(group))
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

// groupSkipped groups photos whose reasons are the same up to the first colon, in order of first
// appearance. If all is true, each photo is its own group.
func groupSkipped(wanted map[string]string, skipped []imprint.Skipped, all bool) [][]imprint.Skipped {
	var groups [][]imprint.Skipped
	at := make(map[string]int)
	for _, s := range skipped {
		kind, _, _ := strings.Cut(skipReason(s), ": ")
		if s.Duplicate {
			kind = "duplicate of " + s.Label + "\x00" + wanted[s.Path]
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

func itOrThem(group []imprint.Skipped) string {
	if len(group) == 1 {
		return "it"
	}
	return "them"
}

// placeOf returns an argument that names all photos of a group on a command line.
func placeOf(group []imprint.Skipped) string {
	if len(group) == 1 {
		return shellQuote(group[0].Path)
	}
	dir := filepath.Dir(group[0].Path)
	if slices.ContainsFunc(group, func(s imprint.Skipped) bool { return filepath.Dir(s.Path) != dir }) {
		return "PHOTO…"
	}
	return shellQuote(dir)
}

// skipReason returns the reason without the photo's path.
func skipReason(s imprint.Skipped) string {
	if s.Path == "" {
		return s.Reason
	}
	if _, after, ok := strings.Cut(s.Reason, s.Path+": "); ok {
		return after
	}
	if after, ok := strings.CutPrefix(s.Reason, s.Path+" "); ok {
		return "it " + after // "does not exist"
	}
	return s.Reason
}
