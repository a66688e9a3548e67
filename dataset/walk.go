package dataset

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Skipped is a photo or folder that was skipped, with the reason.
type Skipped struct {
	Path string
	Err  error // does not name the path
}

var (
	errSymlink    = errors.New("symbolic links inside folders are not followed")
	errNotRegular = errors.New("not a regular file")
)

// Walk finds the photos in paths, which are files and folders. It searches folders
// recursively.
//
// If label is not empty, every photo gets it. Otherwise each path must be a folder with
// one subfolder per label, DIR/<label>/…. If a path is then a file, or a folder that
// contains photos directly, the error wraps ErrNoLabel. If a path does not exist, the
// error is a *NotExistError.
//
// A file listed in paths may have any name. Inside folders, Walk ignores names that start
// with a dot. It recognizes photos by their extension or, if they have none, by their first
// bytes, and ignores other files. It includes HEIC, AVIF and camera raw files, because
// reading them returns an error with a remedy. As skipped it reports folders that it cannot
// read, and symbolic links and special files with the extension of a photo.
//
// Items are in the order of paths, and inside a folder in the byte order of their names.
// If there are no photos, Walk returns no items and no error.
func Walk(paths []string, label string) ([]Item, []Skipped, error) {
	var w walker
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil, notExist(path)
		case err != nil:
			return nil, nil, inFile(path, cause(err))
		case info.IsDir() && label != "":
			w.folder(path, label)
		case info.IsDir():
			if err := w.labelled(path); err != nil {
				return nil, nil, err
			}
		case label == "":
			return nil, nil, inFile(path, ErrNoLabel)
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
	w.skipped = append(w.skipped, Skipped{path, cause(err)})
}

// labelled collects the photos of dir/<label>/….
func (w *walker) labelled(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return inFile(dir, cause(err))
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		switch {
		case hidden(e.Name()):
		case e.IsDir():
			w.folder(path, e.Name())
		case isPhoto(path, e):
			return fmt.Errorf("%s: %w for photos directly in the folder, such as %s", dir, ErrNoLabel, e.Name())
		case e.Type()&os.ModeSymlink != 0:
			// The link may point to a folder of photos.
			if isDir(path) {
				w.skip(path, errSymlink)
			}
		}
	}
	return nil
}

// folder collects all photos in dir and its subfolders.
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
		case !isPhoto(path, e):
		case e.Type().IsRegular():
			w.items = append(w.items, Item{Path: path, Label: label})
		case e.Type()&os.ModeSymlink != 0:
			w.skip(path, errSymlink)
		default:
			w.skip(path, errNotRegular)
		}
	}
}

// isPhoto reports whether an entry of a folder is a photo, by its extension or, if it has
// none, by its first bytes.
func isPhoto(path string, e fs.DirEntry) bool {
	if filepath.Ext(e.Name()) != "" || !e.Type().IsRegular() {
		return hasPhotoName(e.Name())
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // see readBytes
	if err != nil {
		return false
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, sniffLen))
	if err != nil {
		return false
	}
	_, err = sniff(head)
	return err == nil || errors.Is(err, ErrHEIC)
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// hasPhotoName reports whether name has the extension of a photo. HEIC, AVIF and camera
// raw files count, because reading them returns a helpful error.
func hasPhotoName(name string) bool {
	switch strings.ToLower(filepath.Ext(name)) {
	case ".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp",
		".dib", ".tif", ".tiff", ".ppm", ".pgm", ".pbm", ".pnm",
		".heic", ".heif", ".hif", ".avif",
		".dng", ".arw", ".cr2", ".cr3", ".nef", ".nrw", ".orf", ".pef", ".raf", ".rw2", ".srw":
		return true
	}
	return false
}
