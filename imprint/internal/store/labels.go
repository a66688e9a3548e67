package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// ErrLabel is wrapped when a name can't be a label.
var ErrLabel = errors.New("unusable label")

// CheckLabel returns an error that wraps ErrLabel if a name can't be a label. A label is one
// line of labels.txt.
func CheckLabel(label string) error {
	if label == "." || label == ".." {
		return fmt.Errorf("%w: %q means a folder", ErrLabel, label)
	}
	return checkStored(label)
}

// checkStored returns what is wrong with a label that a workspace holds already. Older
// versions took "." and "..".
func checkStored(label string) error {
	switch {
	case label == "":
		return fmt.Errorf("%w: it is empty", ErrLabel)
	case len(label) > 200:
		return fmt.Errorf("%w: %.20q… has more than 200 bytes", ErrLabel, label)
	case !utf8.ValidString(label):
		return fmt.Errorf("%w: %q is not UTF-8", ErrLabel, label)
	case strings.TrimSpace(label) != label:
		return fmt.Errorf("%w: %q begins or ends with a space", ErrLabel, label)
	case strings.Contains(label, "\ufeff"):
		return fmt.Errorf("%w: %q has a byte order mark", ErrLabel, label)
	case strings.ContainsFunc(label, unicode.IsControl):
		return fmt.Errorf("%w: %q has a control character", ErrLabel, label)
	}
	return nil
}

// LabelLines returns the content of labels.txt for labels. Each line starts with the index,
// because readers of Coral's files take a name that starts with digits ("50 limit") for a
// number.
func LabelLines(labels []string) []byte {
	var b strings.Builder
	for i, l := range labels {
		fmt.Fprintf(&b, "%d  %s\n", i, l)
	}
	return []byte(b.String())
}
