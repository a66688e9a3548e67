package dataset

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Skipped is something in a folder that looked like a photo, or a folder that
// may hold photos, and was not taken.
type Skipped struct {
	Path string
	Err  error
}

var (
	errSymlink    = errors.New("symbolic link inside a folder")
	errNotRegular = errors.New("not a regular file")
)

// Walk finds the photos in paths. Files are taken as they are named; folders are
// searched with all their folders.
//
// With a label every photo gets it. Without one, each path must be a folder of
// folders, DIR/<label>/…, and the label is the name of the first-level folder;
// ErrNoLabel is returned for a file, and for a folder with photos directly in it.
//
// Inside folders, names starting with a dot and names without the extension of a
// photo are passed over in silence. HEIC and AVIF count as photos, so that
// reading them tells the user what to do. Symbolic links and special files with a
// photo's name, and folders that cannot be read, are reported as skipped.
//
// Items come in the order of paths, within a folder sorted by name byte for byte.
// Finding none is no error.
func Walk(paths []string, label string) ([]Item, []Skipped, error) {
	var w walker
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, nil, fmt.Errorf("find photos: %w", err)
		}
		switch {
		case info.IsDir() && label != "":
			w.folder(path, label)
		case info.IsDir():
			if err := w.labelled(path); err != nil {
				return nil, nil, err
			}
		case label == "":
			return nil, nil, fmt.Errorf("photo %s: %w: name a label, or a folder that holds one folder of photos for each label", path, ErrNoLabel)
		default:
			w.items = append(w.items, Item{Path: path, Label: label})
		}
	}
	return w.items, w.skipped, nil
}

type walker struct {
	items   []Item
	skipped []Skipped
}

func (w *walker) skip(path string, err error) {
	w.skipped = append(w.skipped, Skipped{path, err})
}

// labelled takes the photos of dir/<label>/….
func (w *walker) labelled(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("find photos: %w", err)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case hidden(e.Name()):
		case e.IsDir():
			w.folder(path, e.Name())
		case hasPhotoName(e.Name()):
			return fmt.Errorf("folder %s holds photos directly (%s): %w: name one label for all of them, or put each in a folder named after its label", dir, e.Name(), ErrNoLabel)
		case e.Type()&os.ModeSymlink != 0:
			// Perhaps a folder of photos; say that it was not entered.
			if info, err := os.Stat(path); err == nil && info.IsDir() {
				w.skip(path, errSymlink)
			}
		}
	}
	return nil
}

// folder takes all photos in and below dir.
func (w *walker) folder(dir, label string) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.skip(dir, err)
		return
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case hidden(e.Name()):
		case e.IsDir():
			w.folder(path, label)
		case !hasPhotoName(e.Name()):
		case e.Type().IsRegular():
			w.items = append(w.items, Item{Path: path, Label: label})
		case e.Type()&os.ModeSymlink != 0:
			w.skip(path, errSymlink)
		default:
			w.skip(path, errNotRegular)
		}
	}
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// hasPhotoName tells whether name has the extension of a photo, one we read or
// one we can say something useful about.
func hasPhotoName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp",
		".heic", ".heif", ".hif", ".avif":
		return true
	}
	return false
}
