package store

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

// ErrNotRegular means that a path names a folder or a device, not a regular file.
var ErrNotRegular = errors.New("not a regular file")

var errTooLarge = errors.New("too large")

// A Disk performs the file operations of a change. The zero value is ready for use.
type Disk struct {
	// Before, if not nil, is called before each operation with its name and path. If it returns an
	// error, the operation fails with that error. Tests use it to inject faults, or to kill the
	// process in the middle of a change.
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

// A Replacement is the new content of the file at Path. A nil Content removes the file.
type Replacement struct {
	Path    string
	Content []byte
}

// WriteFile writes content to path durably. A reader sees either the old file or the new one.
func WriteFile(path string, content []byte) error {
	return Disk{}.Replace(Replacement{Path: path, Content: content})
}

// Replace makes the replacements durably and in order. It writes and syncs all temporary files,
// next to their targets, before it renames the first. So a reader always sees either the old file
// or the new one, and a full disk is noticed before any file changes. If a step fails, the files
// already renamed get their old content back.
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
	var old []oldFile
	var renamed []string
	defer func() {
		if err != nil {
			d.restore(old, dirs)
		}
		for _, f := range old {
			f.close()
		}
	}()
	for i, f := range files {
		before, readErr := openOld(f.Path)
		if f.Content == nil {
			err = d.do("remove", f.Path, func() error { return os.Remove(f.Path) })
		} else {
			err = d.do("rename", f.Path, func() error { return os.Rename(staged[i], f.Path) })
		}
		if err != nil {
			before.close()
		}
		if f.Content == nil && errors.Is(err, fs.ErrNotExist) {
			err = nil
			continue
		}
		if err != nil {
			return fmt.Errorf("write %s: %w", f.Path, err)
		}
		staged[i] = ""
		if f.Content != nil {
			renamed = append(renamed, f.Path)
		}
		// A file that could not be read was useless before, and can't be restored.
		if readErr == nil || errors.Is(readErr, fs.ErrNotExist) {
			old = append(old, before)
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
	return d.syncRenamed(renamed)
}

// syncRenamed syncs files again under their new names. On FAT, a rename makes a folder entry of
// size 0, and only a later sync of the file writes the size. Without that sync, power loss leaves
// empty files.
func (d Disk) syncRenamed(paths []string) error {
	for _, path := range paths {
		if err := d.do("sync", path, func() error { return syncFile(path) }); err != nil {
			return fmt.Errorf("write %s: %w", path, err)
		}
	}
	return nil
}

func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

// An oldFile is a file that has been replaced.
type oldFile struct {
	path    string
	file    *os.File // nil if there was none, or if content is set
	content []byte
}

// openOld opens a file before it is replaced. Its content can be read afterwards, which is rarely
// necessary.
func openOld(path string) (f oldFile, err error) {
	f.path = path
	if runtime.GOOS == "windows" { // which does not replace open files
		f.content, err = os.ReadFile(path)
	} else {
		f.file, err = openRegular(path)
	}
	return f, err
}

func (f *oldFile) close() {
	if f.file != nil {
		f.file.Close()
	}
}

// restore undoes replacements as far as the disk allows.
func (d Disk) restore(old []oldFile, dirs []string) {
	var renamed []string
	for _, f := range slices.Backward(old) {
		content := f.content
		if f.file != nil {
			var err error
			if content, err = io.ReadAll(f.file); err != nil {
				continue
			}
		}
		if content == nil {
			d.do("remove", f.path, func() error { return os.Remove(f.path) })
			continue
		}
		temporary, err := d.stage(Replacement{f.path, content})
		if err == nil && d.do("rename", f.path, func() error { return os.Rename(temporary, f.path) }) != nil {
			os.Remove(temporary)
			continue
		}
		renamed = append(renamed, f.path)
	}
	for _, dir := range dirs {
		d.syncDir(dir)
	}
	d.syncRenamed(renamed)
}

// stage writes the content of f to a temporary file next to its target and syncs it.
func (d Disk) stage(f Replacement) (temporary string, err error) {
	if info, err := os.Stat(f.Path); err == nil && !info.Mode().IsRegular() {
		return "", ErrNotRegular // a rename would replace the device or folder
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
	if err = d.do("chmod", f.Path, func() error { return t.Chmod(0o644) }); err != nil && !unsupported(err) {
		return "", err
	}
	if err = d.do("write", f.Path, func() error { _, err := t.Write(f.Content); return err }); err != nil {
		return "", err
	}
	// Without the sync, power loss may leave a file of length 0 (google/renameio, citing the
	// maintainer of ext4).
	if err = d.do("sync", f.Path, t.Sync); err != nil {
		return "", err
	}
	return t.Name(), d.do("close", f.Path, t.Close)
}

// TemporarySuffix is the suffix of temporary files, which are renamed to their targets once they
// are complete.
const TemporarySuffix = ".tmp"

func temporaryPrefix(path string) string { return "." + filepath.Base(path) + "." }

// sweep removes the temporary files that killed processes left behind in dir. names lists the
// target files.
func (d Disk) sweep(dir string, names ...string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		ours := func(name string) bool { return strings.HasPrefix(e.Name(), temporaryPrefix(name)) }
		if strings.HasSuffix(e.Name(), TemporarySuffix) && slices.ContainsFunc(names, ours) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// sweepAge is the age from which a temporary file counts as abandoned.
const sweepAge = time.Minute

// SweepOld removes the temporary files that killed processes left behind for path. It keeps
// recent ones, which may belong to a running process.
func (d Disk) SweepOld(path string) {
	dir := filepath.Dir(path)
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), temporaryPrefix(path)) || !strings.HasSuffix(e.Name(), TemporarySuffix) {
			continue
		}
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && time.Since(info.ModTime()) > sweepAge {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}

// makeDir creates dir and its missing parents durably. It returns the folders that it created,
// outermost first.
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
			continue // another process has just made it
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

// removeDirs removes the folders made by makeDir that are empty.
func removeDirs(made []string) {
	for _, dir := range slices.Backward(made) {
		os.Remove(dir)
	}
}

// syncDir syncs dir, which makes renames in it durable.
func (d Disk) syncDir(dir string) error {
	err := d.do("sync", dir, func() error { return filelock.SyncDir(dir) })
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, syscall.ENOTSUP) {
		return nil // some file systems, such as FUSE, can't sync folders (fsync(2))
	}
	return err
}

// unsupported reports whether changing permissions failed because the file system has none. On vfat
// and exfat mounted for another user, it fails with EPERM even for a file that this process has
// just created.
func unsupported(err error) bool {
	return errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS)
}

// ReadFile reads a regular file of at most limit bytes.
func ReadFile(path string, limit int64) ([]byte, error) {
	info, err := statRegular(path)
	if err != nil {
		return nil, err
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: %w: the file has %d bytes, more than the limit of %d", path, errTooLarge, info.Size(), limit)
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

func openRegular(path string) (*os.File, error) {
	if _, err := statRegular(path); err != nil {
		return nil, err
	}
	return os.Open(path)
}
