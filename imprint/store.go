package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// ErrLocked is wrapped when another process keeps changing the workspace.
var ErrLocked = errors.New("workspace is in use")

// lockPatience is how long a change waits for another process's change.
const lockPatience = 10 * time.Second

// The files of a workspace.
const (
	backboneFile = "backbone.tflite"
	modelFile    = "model.tflite"
	labelsFile   = "labels.txt"
	lockFile     = "lock"
	damagedDir   = "damaged"
)

// slotFile is where the state of a generation is kept: two slots take turns, so
// that the previous generation is still there when the newest is damaged.
func slotFile(generation uint64) string { return fmt.Sprintf("state.%d", generation%2) }

// A store is the folder of a workspace. What write has returned from is on the
// disk: each file is written beside its place, synced, renamed, and the folder
// synced, so a reader sees the old file or the new one, whatever happens.
type store struct{ dir string }

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

// load returns the newest sound state, or nil if there is none yet. warnings tell
// of damaged files that were passed over; if every state file is damaged, load
// fails.
func (s store) load() (newest *state, warnings []string, err error) {
	var damage error
	for slot := range uint64(2) {
		path := s.path(slotFile(slot))
		b, err := readFile(path, maxState)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var st *state
		if err == nil {
			st, err = decodeState(b)
		}
		if errors.Is(err, ErrCorrupt) {
			damage = fmt.Errorf("read %s: %w", path, err)
			warnings = append(warnings, damage.Error())
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the workspace: %w", err)
		}
		if newest == nil || st.Generation > newest.Generation {
			newest = st
		}
	}
	if newest == nil && damage != nil {
		return nil, nil, damage
	}
	if newest != nil && len(warnings) > 0 {
		warnings = append(warnings, fmt.Sprintf("using generation %d instead; changes made after it are lost", newest.Generation))
	}
	return newest, warnings, nil
}

// setDamagedAside moves unreadable state files out of the way of new ones, for
// somebody to look at; it is called by a writer.
func (s store) setDamagedAside() error {
	for slot := range uint64(2) {
		path := s.path(slotFile(slot))
		b, err := readFile(path, maxState)
		if err != nil {
			continue
		}
		if _, err := decodeState(b); !errors.Is(err, ErrCorrupt) {
			continue
		}
		if err := os.MkdirAll(s.path(damagedDir), 0o755); err != nil {
			return err
		}
		aside := filepath.Join(s.path(damagedDir), fmt.Sprintf("%s.%d", filepath.Base(path), time.Now().UnixNano()))
		if err := os.Rename(path, aside); err != nil {
			return err
		}
	}
	return nil
}

// write puts content under name, durably.
func (s store) write(name string, content []byte) error {
	return writeFile(s.path(name), content)
}

// lock makes the caller the only writer until it calls unlock. The lock goes with
// the process, however it ends.
func (s store) lock(ctx context.Context) (unlock func(), err error) {
	f, err := os.OpenFile(s.path(lockFile), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, fmt.Errorf("lock the workspace: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, lockPatience)
	defer cancel()
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			break
		}
		if err != unix.EWOULDBLOCK && err != unix.EINTR {
			f.Close()
			return nil, fmt.Errorf("lock the workspace %s: %w", s.dir, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			holder, _ := os.ReadFile(f.Name())
			f.Close()
			return nil, fmt.Errorf("change %s: %w by process %s", s.dir, ErrLocked, strings.TrimSpace(string(holder)))
		}
	}
	// The number is only for the message above, so a failure to write it is no matter.
	if f.Truncate(0) == nil {
		fmt.Fprintln(f, os.Getpid())
	}
	return func() { f.Close() }, nil
}

// writeFile writes a file so that its path always holds the old content or the
// new, and returns when the new is on the disk.
func writeFile(path string, content []byte) (err error) {
	dir := filepath.Dir(path)
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.tmp")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	if err = f.Chmod(0o644); err != nil {
		return err
	}
	if _, err = f.Write(content); err != nil {
		return err
	}
	// Without this a file of length 0 is a valid outcome after a power cut
	// (google/renameio, citing ext4's maintainer).
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}

// syncDir makes renames in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// sweep removes temporary files that a killed process left behind.
func (s store) sweep() {
	left, _ := filepath.Glob(filepath.Join(s.dir, ".*.tmp"))
	for _, path := range left {
		os.Remove(path)
	}
}

// readFile reads a regular file of at most limit bytes.
func readFile(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("read %s: not a regular file", path)
	}
	if info.Size() > limit {
		return nil, fmt.Errorf("read %s: %d bytes, and at most %d are read", path, info.Size(), limit)
	}
	return os.ReadFile(path)
}
