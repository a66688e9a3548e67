package dataset

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/text/unicode/norm"
)

// A Skipped describes a photo or folder that was skipped, and why.
type Skipped struct {
	Path string
	Err  error // does not name the path
}

var (
	errSymlink    = errors.New("symbolic links in tubs are not followed")
	errBrokenLink = errors.New("broken symbolic link")
	errLinkUp     = errors.New("symbolic link to a folder above")
	errNotRegular = errors.New("not a regular file")
	errThumbnails = errors.New("a folder that computers make, not photos of yours")
)

// Walk finds the photos in paths, which are files and folders. It searches folders
// recursively.
//
// If label is not empty, every photo gets that label. Otherwise each path must be a folder with
// one subfolder per label, DIR/<label>/…. If instead a path is a file, or a folder that
// contains photos directly, the error wraps ErrNoLabel. If a path does not exist, the error is
// a *NotExistError.
//
// A file listed in paths may have any name. Inside folders, Walk ignores names that start with a
// dot, and skips folders that computers make, such as __MACOSX. It recognizes photos by their extension or, without one, by their first bytes, and
// ignores other files. It includes HEIC, AVIF and camera raw files, because reading them returns
// an error with a remedy. Walk follows symbolic links, but does not visit a folder twice for the
// same label. Walk skips and returns folders that it cannot read, special files with the
// extension of a photo, and links that are broken or lead to a folder above them. Labels are in
// Unicode's normal form C.
//
// Items are in the order of paths, and inside a folder in the byte order of their names.
// If there are no photos, Walk returns no items and no error.
func Walk(paths []string, label string) ([]Item, []Skipped, error) {
	return WalkContext(context.Background(), paths, label)
}

// WalkContext is like [Walk], but ends with the error of ctx when ctx is done.
func WalkContext(ctx context.Context, paths []string, label string) ([]Item, []Skipped, error) {
	w := walker{ctx: ctx}
	label = norm.NFC.String(label)
	for _, path := range paths {
		info, err := os.Stat(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil, nil, notExist(path)
		case err != nil:
			return nil, nil, inFile(path, cause(err))
		case info.IsDir() && label != "":
			w.tree(path, label)
		case info.IsDir():
			if err := w.labeled(path); err != nil {
				return nil, nil, err
			}
		case label == "":
			return nil, nil, inFile(path, ErrNoLabel)
		default:
			w.items = append(w.items, Item{Path: path, Label: label})
		}
		if err := ctx.Err(); err != nil {
			return nil, nil, err
		}
	}
	return w.items, w.skipped, nil
}

// Subfolders returns the names of the folders in dir that contain photos, directly or in
// subfolders. The names are in byte order. Walk uses them as labels if it is called without a
// label.
func Subfolders(ctx context.Context, dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, inFile(dir, cause(err))
	}
	var names []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if mode, err := entryType(path, e); hidden(e.Name()) || thumbnails(e.Name()) || err != nil || !mode.IsDir() {
			continue
		}
		w := walker{ctx: ctx}
		if w.tree(path, e.Name()); len(w.items) > 0 {
			names = append(names, e.Name())
		}
	}
	return names, ctx.Err()
}

type walker struct {
	ctx     context.Context // when it is done, the walk ends
	items   []Item
	skipped []Skipped
	root    string          // root of the current tree, with symbolic links resolved
	visited map[string]bool // folders of the current tree, with symbolic links resolved
}

func (w *walker) skip(path string, err error) {
	w.skipped = append(w.skipped, Skipped{path, cause(err)})
}

// labeled collects the photos in dir/<label>/….
func (w *walker) labeled(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return inFile(dir, cause(err))
	}
	for _, e := range entries {
		if hidden(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		mode, err := entryType(path, e)
		switch {
		case err != nil && hasPhotoName(e.Name()):
			w.skip(path, err)
		case err != nil:
		case mode.IsDir() && thumbnails(e.Name()):
			w.skip(path, errThumbnails)
		case mode.IsDir():
			w.tree(path, norm.NFC.String(e.Name()))
		case isPhotoFile(path, mode):
			return fmt.Errorf("%s: %w for photos directly in the folder, such as %s", dir, ErrNoLabel, e.Name())
		}
	}
	return nil
}

// tree collects all photos in dir and its subfolders.
func (w *walker) tree(dir, label string) {
	w.root, _ = filepath.EvalSymlinks(dir)
	w.visited = make(map[string]bool)
	w.folder(dir, label)
}

func (w *walker) folder(dir, label string) {
	resolved, err := filepath.EvalSymlinks(dir)
	switch {
	case err != nil:
		w.skip(dir, err)
		return
	case w.visited[resolved]:
		return
	case resolved != w.root && strings.HasPrefix(w.root+"/", strings.TrimSuffix(resolved, "/")+"/"):
		w.skip(dir, errLinkUp) // that folder contains photos of other labels
		return
	}
	w.visited[resolved] = true
	entries, err := os.ReadDir(dir)
	if err != nil {
		w.skip(dir, err)
		return
	}
	for _, e := range entries {
		if w.ctx.Err() != nil {
			return
		}
		if hidden(e.Name()) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		mode, err := entryType(path, e)
		switch {
		case err != nil && hasPhotoName(e.Name()):
			w.skip(path, err)
		case err != nil:
		case mode.IsDir() && thumbnails(e.Name()):
			w.skip(path, errThumbnails)
		case mode.IsDir():
			w.folder(path, label)
		case !isPhotoFile(path, mode):
		case mode.IsRegular():
			w.items = append(w.items, Item{Path: path, Label: label})
		default:
			w.skip(path, errNotRegular)
		}
	}
}

// entryType returns the type of a folder entry. For a symbolic link it returns the type of the
// target.
func entryType(path string, e fs.DirEntry) (fs.FileMode, error) {
	if e.Type()&fs.ModeSymlink == 0 {
		return e.Type(), nil
	}
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, errBrokenLink
	}
	if err != nil {
		return 0, err
	}
	return info.Mode().Type(), nil
}

// thumbnails reports whether a folder has the name of one that macOS adds to archives, or that the
// network storage of Synology and QNAP adds for thumbnails and deleted files.
func thumbnails(name string) bool {
	switch name {
	case "__MACOSX", "@eaDir", "@__thumb", "#recycle", "@Recycle":
		return true
	}
	return false
}

func hidden(name string) bool { return strings.HasPrefix(name, ".") }

// isPhotoFile reports whether a file has the extension of a photo. A regular file without an
// extension counts if it begins like a photo.
func isPhotoFile(path string, mode fs.FileMode) bool {
	if hasPhotoName(path) {
		return true
	}
	if filepath.Ext(path) != "" || !mode.IsRegular() {
		return false
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // it may be a FIFO by now
	if err != nil {
		return false
	}
	defer f.Close()
	head := make([]byte, sniffLen)
	n, _ := io.ReadFull(f, head)
	_, err = sniff(head[:n])
	return err == nil || errors.Is(err, ErrHEIC)
}

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
