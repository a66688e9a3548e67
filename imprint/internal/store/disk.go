package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

var ErrNotRegular = errors.New("not a regular file")

// A disk does the file operations of a change. The zero value is ready for use.
type Disk struct {
	// before, if not nil, is called ahead of each operation with its name and its
	// path, and an error of it takes the operation's place: tests fail or end the
	// process there.
	Before func(op, path string) error
}

func (d Disk) do(op, path string, f func() error) error {
	if d.Before != nil {
		if err := d.Before(op, path); err != nil {
			return &fs.PathError{Op: op, Path: path, Err: err}
		}
	}
	return f()
}

// A replacement is what a path shall hold; without content the file is removed.
type Replacement struct {
	Path    string
	Content []byte
}

// WriteFile puts content at path durably: a reader sees the old file or the new one.
func WriteFile(path string, content []byte) error {
	return Disk{}.Replace(Replacement{Path: path, Content: content})
}

// Replace makes replacements durably, in their order. Everything is written beside
// its place and synced before the first file is renamed, so that a reader sees the
// old file or the new one, whatever happens, and a full disk shows before anything
// has changed. If a step fails, the files renamed by then are put back.
func (d Disk) Replace(files ...Replacement) (err error) {
	var staged, dirs []string
	defer func() {
		for _, path := range staged {
			if err != nil && path != "" {
				os.Remove(path)
			}
		}
	}()
	for _, f := range files {
		temporary := ""
		if f.Content != nil {
			temporary, err = d.stage(f)
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
		staged = append(staged, temporary)
	}
	var old []Replacement
	defer func() {
		if err != nil {
			d.putBack(old, dirs)
		}
	}()
	for i, f := range files {
		was, readErr := os.ReadFile(f.Path)
		if f.Content == nil {
			err = d.do("remove", f.Path, func() error { return os.Remove(f.Path) })
		} else {
			err = d.do("rename", f.Path, func() error { return os.Rename(staged[i], f.Path) })
		}
		if f.Content == nil && errors.Is(err, fs.ErrNotExist) {
			err = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
		staged[i] = ""
		// What can't be read can't be put back, and was worth nothing.
		if readErr == nil || errors.Is(readErr, fs.ErrNotExist) {
			old = append(old, Replacement{f.Path, was})
		}
		if dir := filepath.Dir(f.Path); !slices.Contains(dirs, dir) {
			dirs = append(dirs, dir)
		}
	}
	for _, dir := range dirs {
		if err = d.syncDir(dir); err != nil {
			return fmt.Errorf("write to %s: %w", dir, err)
		}
	}
	return nil
}

// putBack undoes replacements as far as the disk still lets it.
func (d Disk) putBack(old []Replacement, dirs []string) {
	for _, f := range slices.Backward(old) {
		if f.Content == nil {
			d.do("remove", f.Path, func() error { return os.Remove(f.Path) })
			continue
		}
		temporary, err := d.stage(f)
		if err == nil && d.do("rename", f.Path, func() error { return os.Rename(temporary, f.Path) }) != nil {
			os.Remove(temporary)
		}
	}
	for _, dir := range dirs {
		d.syncDir(dir)
	}
}

// stage writes the content of f beside its place, and syncs it.
func (d Disk) stage(f Replacement) (temporary string, err error) {
	if info, err := os.Stat(f.Path); err == nil && !info.Mode().IsRegular() {
		return "", ErrNotRegular // a device or a folder is not to be renamed over
	}
	var t *os.File
	err = d.do("create", f.Path, func() (err error) {
		t, err = os.CreateTemp(filepath.Dir(f.Path), temporaryPrefix(f.Path)+"*"+TemporarySuffix)
		return err
	})
	if err != nil {
		return "", err
	}
	defer func() {
		if err != nil {
			t.Close()
			os.Remove(t.Name())
		}
	}()
	if err = d.do("chmod", f.Path, func() error { return t.Chmod(0o644) }); err != nil {
		return "", err
	}
	if err = d.do("write", f.Path, func() error { _, err := t.Write(f.Content); return err }); err != nil {
		return "", err
	}
	// Without this a file of length 0 is a valid outcome after a power cut
	// (google/renameio, citing ext4's maintainer).
	if err = d.do("sync", f.Path, t.Sync); err != nil {
		return "", err
	}
	return t.Name(), d.do("close", f.Path, t.Close)
}

const TemporarySuffix = ".tmp"

func temporaryPrefix(path string) string { return "." + filepath.Base(path) + "." }

// sweep removes temporary files of these names that a killed process left in dir.
func (d Disk) sweep(dir string, names ...string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		ours := func(name string) bool { return strings.HasPrefix(e.Name(), temporaryPrefix(name)) }
		if strings.HasSuffix(e.Name(), TemporarySuffix) && slices.ContainsFunc(names, ours) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// makeDir makes dir and the folders above it, durably, and returns those that were
// not there, the outermost first.
func (d Disk) makeDir(dir string) (made []string, err error) {
	var missing []string
	for at := filepath.Clean(dir); ; at = filepath.Dir(at) {
		if _, err := os.Lstat(at); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		missing = append(missing, at)
	}
	for _, at := range slices.Backward(missing) {
		err := d.do("mkdir", at, func() error { return os.Mkdir(at, 0o755) })
		if errors.Is(err, fs.ErrExist) {
			continue // somebody else was faster
		}
		if err == nil {
			made = append(made, at)
			err = d.syncDir(filepath.Dir(at))
		}
		if err != nil {
			removeDirs(made)
			return nil, err
		}
	}
	return made, nil
}

// removeDirs removes what makeDir made, unless something has been put in there.
func removeDirs(made []string) {
	for _, dir := range slices.Backward(made) {
		os.Remove(dir)
	}
}

// syncDir makes renames in dir durable.
func (d Disk) syncDir(dir string) error {
	return d.do("sync", dir, func() error { return filelock.SyncDir(dir) })
}

// readFile reads a regular file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := statRegular(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: %d bytes, and at most %d are read", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}

func statRegular(path string) (fs.FileInfo, error) {
	info, err := os.Stat(path)
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("read %s: %w", path, ErrNotRegular)
	}
	return info, err
}

// sumFile is the sum of a regular file, which need not fit into memory.
func SumFile(path string) (Digest, error) {
	if _, err := statRegular(path); err != nil {
		return Digest{}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return Digest{}, err
	}
	defer f.Close()
	h := sha256.New()
	_, err = io.Copy(h, f)
	return Digest(h.Sum(nil)), err
}

func Sum(b []byte) Digest {
	if b == nil {
		return Digest{}
	}
	return sha256.Sum256(b)
}
