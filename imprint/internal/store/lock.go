package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

// ErrLocked means that another process keeps changing the workspace.
var ErrLocked = errors.New("workspace is in use")

// LockPatience is how long a change waits for another process to finish its change.
const LockPatience = 10 * time.Second

// A Lock is held by the only writer of a workspace. The system releases it when the process ends,
// even if the process is killed.
type Lock struct {
	file *os.File
	made []string // folders that Store.Lock created
}

// Lock makes the caller the only writer, and creates the folder if necessary. It fails with
// ErrLocked if another process holds the lock for longer than patience.
func (s Store) Lock(ctx context.Context, patience time.Duration) (l *Lock, err error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l = new(Lock)
	defer func() {
		if err != nil {
			l.Release()
			removeDirs(l.made)
			l = nil
		}
	}()
	for {
		if err := s.openLock(l); err != nil {
			return l, err
		}
		locked, err := filelock.Try(l.file)
		if locked && l.inPlace() {
			// The process ID only appears in error messages, so failing to write it does no harm.
			if l.file.Truncate(0) == nil {
				fmt.Fprintln(l.file, os.Getpid())
			}
			return l, nil
		}
		holder, _ := os.ReadFile(l.file.Name())
		l.Release()
		if err != nil {
			if len(l.made) > 0 {
				os.Remove(s.Path(LockFile)) // the file system has no locks, so no process holds this lock
			}
			return l, fmt.Errorf("lock workspace %s: %w", s.Dir, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-patient.Done():
			err := fmt.Errorf("change %s: %w by process %s", s.Dir, ErrLocked, strings.TrimSpace(string(holder)))
			if ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", err, ctx.Err())
			}
			return l, err
		}
	}
}

// openLock opens the lock file, and creates the workspace's folder if necessary.
func (s Store) openLock(l *Lock) error {
	for attempt := 0; ; attempt++ {
		made, err := s.Disk.makeDir(s.Dir)
		if err != nil {
			return fmt.Errorf("create the workspace: %w", err)
		}
		l.made = append(l.made, made...)
		err = s.Disk.do("lock", s.Path(LockFile), func() (err error) {
			l.file, err = os.OpenFile(s.Path(LockFile), os.O_RDWR|os.O_CREATE, 0o644)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) && attempt < 3 {
			continue // another process has just removed the folder
		}
		if err != nil {
			return fmt.Errorf("lock the workspace: %w", err)
		}
		return nil
	}
}

// SyncPath makes the name of the workspace's folder durable, unless Lock created the folder and
// has done so. A folder that another program has just created may be lost in a power cut, with all
// that was synced in it. The caller must hold the lock.
func (s Store) SyncPath(l *Lock) error {
	dir, err := filepath.Abs(s.Dir)
	if err != nil || len(l.made) > 0 {
		return err
	}
	for only := true; only && dir != filepath.Dir(dir); {
		dir = filepath.Dir(dir)
		if err := s.Disk.syncDir(dir); err != nil && !errors.Is(err, fs.ErrPermission) {
			return fmt.Errorf("create the workspace: %w", err)
		}
		// If there is nothing else in the parent, it may be as new as the folder.
		entries, err := os.ReadDir(dir)
		only = err == nil && len(entries) == 1
	}
	return nil
}

// inPlace reports whether the locked file is still at its path. Another writer may have removed the
// file and its folder because its first change failed.
func (l *Lock) inPlace() bool {
	mine, err := l.file.Stat()
	there, err2 := os.Stat(l.file.Name())
	return err == nil && err2 == nil && os.SameFile(mine, there)
}

// Release releases the lock, if it is held.
func (l *Lock) Release() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// Retract removes the lock file and any empty folders that Store.Lock created. The caller must hold
// the lock.
func (l *Lock) Retract() {
	os.Remove(l.file.Name())
	removeDirs(l.made)
}
