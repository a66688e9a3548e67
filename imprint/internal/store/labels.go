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
