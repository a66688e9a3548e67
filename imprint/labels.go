package imprint

import "github.com/imprintkit/imprint/imprint/internal/store"

// CheckLabel returns an error that wraps ErrLabel if a name can't be a label.
func CheckLabel(label string) error { return store.CheckLabel(label) }
