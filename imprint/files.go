package imprint

import "github.com/imprintkit/imprint/imprint/internal/store"

// WriteFile puts content at path, durably: a reader sees the old file or the new one.
func WriteFile(path string, content []byte) error {
	return store.Disk{}.Replace(store.Replacement{Path: path, Content: content})
}

// CheckLabel says why a name can't be a label, with an error that wraps ErrLabel.
func CheckLabel(label string) error { return store.CheckLabel(label) }
