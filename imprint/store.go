package imprint

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
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

// A store is the folder of a workspace.
type store struct {
	dir  string
	disk disk
}

func (s store) path(name string) string { return filepath.Join(s.dir, name) }

// damage is a state file that can't be used.
type damage struct {
	file    string
	content []byte // nil if it can't even be read
	err     error
}

// load returns the newest sound state, or nil if there is none yet, and what had
// to be passed over; if every state file is damaged, load fails.
func (s store) load() (newest *state, damaged []damage, err error) {
	for slot := range uint64(2) {
		path := s.path(slotFile(slot))
		b, err := readFile(path, maxState)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, syscall.EIO) { // a bad block
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		var st *state
		if err == nil {
			st, err = decodeState(b)
		}
		if errors.Is(err, ErrCorrupt) {
			damaged = append(damaged, damage{slotFile(slot), b, fmt.Errorf("read %s: %w", path, err)})
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the workspace %s: %w", s.dir, err)
		}
		if newest == nil || st.Generation > newest.Generation {
			newest = st
		}
	}
	if newest == nil && len(damaged) > 0 {
		return nil, nil, damaged[0].err
	}
	return newest, damaged, nil
}

// warnings tell of damage in words.
func warnings(used *state, damaged []damage) (w []string) {
	for _, d := range damaged {
		w = append(w, d.err.Error(), fmt.Sprintf("using generation %d instead; a change made after it, if there was one, is lost", used.Generation))
	}
	return w
}

// keepDamaged copies unusable state files out of the way of new ones, for somebody
// to look at.
func (s store) keepDamaged(damaged []damage, generation uint64) error {
	for _, d := range damaged {
		if d.content == nil {
			continue
		}
		if _, err := s.disk.makeDir(s.path(damagedDir)); err != nil {
			return fmt.Errorf("keep the damaged state: %w", err)
		}
		aside := filepath.Join(s.path(damagedDir), fmt.Sprintf("%s.%d", d.file, generation))
		if err := s.disk.replace(replacement{aside, d.content}); err != nil {
			return fmt.Errorf("keep the damaged state: %w", err)
		}
	}
	return nil
}

// sweep removes what a killed process left behind; it is called by a writer.
func (s store) sweep() {
	s.disk.sweep(s.dir, slotFile(0), slotFile(1), modelFile, labelsFile, backboneFile)
}

// A lock is held by the only writer of a workspace. It goes with the process,
// however that ends.
type lock struct {
	file *os.File
	made []string // folders that were not there before
}

// lock makes the caller the only writer, and the folder if there is none. It fails
// with ErrLocked when another process does not let go in time.
func (s store) lock(ctx context.Context, patience time.Duration) (l *lock, err error) {
	patient, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l = new(lock)
	defer func() {
		if err != nil {
			l.release()
			removeDirs(l.made)
			l = nil
		}
	}()
	for gone := 0; ; {
		made, err := s.disk.makeDir(s.dir)
		if err != nil {
			return l, fmt.Errorf("create the workspace: %w", err)
		}
		l.made = append(l.made, made...)
		err = s.disk.do("lock", s.path(lockFile), func() (err error) {
			l.file, err = os.OpenFile(s.path(lockFile), os.O_RDWR|os.O_CREATE, 0o644)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) && gone < 3 { // retracted by its maker
			gone++
			continue
		}
		if err != nil {
			return l, fmt.Errorf("lock the workspace: %w", err)
		}
		err = unix.Flock(int(l.file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil && l.inPlace() {
			// The number is only for the message below, so a failure to write it is no
			// matter.
			if l.file.Truncate(0) == nil {
				fmt.Fprintln(l.file, os.Getpid())
			}
			return l, nil
		}
		holder, _ := os.ReadFile(l.file.Name())
		l.release()
		if err != nil && err != unix.EWOULDBLOCK && err != unix.EINTR {
			if len(l.made) > 0 {
				os.Remove(s.path(lockFile)) // where nothing can be locked nobody holds it
			}
			return l, fmt.Errorf("lock the workspace %s: %w", s.dir, err)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-patient.Done():
			err := fmt.Errorf("change %s: %w by process %s", s.dir, ErrLocked, strings.TrimSpace(string(holder)))
			if ctx.Err() != nil {
				err = fmt.Errorf("%w: %w", err, ctx.Err())
			}
			return l, err
		}
	}
}

// inPlace reports whether the locked file is still the one that others would lock:
// a writer whose first change fails takes its workspace away again.
func (l *lock) inPlace() bool {
	mine, err := l.file.Stat()
	there, err2 := os.Stat(l.file.Name())
	return err == nil && err2 == nil && os.SameFile(mine, there)
}

// release lets other writers in.
func (l *lock) release() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// retract takes a workspace away that holds nothing yet; the lock is still held.
func (l *lock) retract() {
	os.Remove(l.file.Name())
	removeDirs(l.made)
}
