package store

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// ErrLabel means that a name can't be a label.
var ErrLabel = errors.New("unusable label")

// CheckLabel returns an error that wraps ErrLabel if a name can't be a label. A label must fit on
// one line of labels.txt.
func CheckLabel(label string) error {
	if label == "." || label == ".." {
		return fmt.Errorf("%w: %q means a folder", ErrLabel, label)
	}
	return checkStored(label)
}

// checkStored returns an error if a label read from a workspace is invalid. It allows "." and
// "..", which older versions accepted.
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

// Labels returns the labels of the classes, sorted.
func (s *State) Labels() []string {
	var labels []string
	for _, e := range s.Positives() {
		if n := len(labels); n == 0 || labels[n-1] != e.Label {
			labels = append(labels, e.Label)
		}
	}
	return labels
}

// ResolveLabels checks new labels for examples of s. It maps each label to the spelling to store:
// the spelling of an existing class or, for a new class, Unicode normal form C. It fails with
// ErrLabel if two labels would differ only in case, or if a new label is the answer for unknown
// things.
func (s *State) ResolveLabels(labels []string) (map[string]string, error) {
	written := make(map[string]string) // spelling by normal form
	folded := make(map[string]string)
	for _, l := range s.Labels() {
		written[norm.NFC.String(l)] = l
		folded[fold(l)] = l
	}
	resolved := make(map[string]string)
	for _, l := range labels {
		if l == NegativeLabel {
			resolved[l] = l
			continue
		}
		normal := norm.NFC.String(l)
		if err := CheckLabel(normal); err != nil {
			return nil, err
		}
		if written[normal] == "" {
			if none := s.Settings.NoneLabel(); s.Settings.Unknown > 0 && Spelling([]string{none}, normal) != "" {
				return nil, fmt.Errorf("%w: %q is the answer for things never trained", ErrLabel, none)
			}
			if other := folded[fold(normal)]; other != "" {
				return nil, fmt.Errorf("%w: %q differs from %q only in case", ErrLabel, normal, other)
			}
			written[normal], folded[fold(normal)] = normal, normal
		}
		resolved[l] = written[normal]
	}
	return resolved, nil
}

// Spelling returns the label in labels that differs from label at most in case, or "" if there is
// none.
func Spelling(labels []string, label string) string {
	for _, l := range labels {
		if fold(l) == fold(label) {
			return l
		}
	}
	return ""
}

// fold maps labels that differ only in case to the same text.
func fold(label string) string {
	return strings.ToLower(strings.ToUpper(norm.NFC.String(label)))
}

// LabelLines returns the content of labels.txt for labels. Each line starts with the index. Without
// it, programs that read Coral's label files would take digits at the start of a label ("50 limit")
// for the index.
func LabelLines(labels []string) []byte {
	var b strings.Builder
	for i, l := range labels {
		fmt.Fprintf(&b, "%d  %s\n", i, l)
	}
	return []byte(b.String())
}
