package store

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

	"github.com/imprintkit/imprint/backbone/models/filelock"
)

// ErrLocked is wrapped when another process keeps changing the workspace.
var ErrLocked = errors.New("workspace is in use")

// lockPatience is how long a change waits for another process's change.
const LockPatience = 10 * time.Second

// The files of a workspace.
const (
	BackboneFile = "backbone.tflite"
	ModelFile    = "model.tflite"
	LabelsFile   = "labels.txt"
	LockFile     = "lock"
	DamagedDir   = "damaged"
)

// slotFile is where the state of a generation is kept: two slots take turns, so
// that the previous generation is still there when the newest is damaged.
func SlotFile(generation uint64) string { return fmt.Sprintf("state.%d", generation%2) }

// A store is the folder of a workspace.
type Store struct {
	Dir  string
	Disk Disk
}

func (s Store) Path(name string) string { return filepath.Join(s.Dir, name) }

// damage is a state file that can't be used.
type Damage struct {
	file    string
	content []byte // nil if it can't even be read
	err     error
}

// load returns the newest sound state, or nil if there is none yet, and what had
// to be passed over; if every state file is damaged, load fails.
func (s Store) Load() (newest *State, damaged []Damage, err error) {
	for slot := range uint64(2) {
		path := s.Path(SlotFile(slot))
		b, err := ReadFile(path, MaxState)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if errors.Is(err, syscall.EIO) { // a bad block
			err = fmt.Errorf("%w: %w", ErrCorrupt, err)
		}
		var st *State
		if err == nil {
			st, err = Decode(b)
		}
		if errors.Is(err, ErrCorrupt) {
			damaged = append(damaged, Damage{SlotFile(slot), b, fmt.Errorf("read %s: %w", path, err)})
			continue
		}
		if err != nil {
			return nil, nil, fmt.Errorf("read the workspace %s: %w", s.Dir, err)
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
func Warnings(used *State, damaged []Damage) (w []string) {
	for _, d := range damaged {
		w = append(w, d.err.Error(), fmt.Sprintf("using generation %d instead; a change made after it, if there was one, is lost", used.Generation))
	}
	return w
}

// keepDamaged copies unusable state files out of the way of new ones, for somebody
// to look at.
func (s Store) KeepDamaged(damaged []Damage, generation uint64) error {
	for _, d := range damaged {
		if d.content == nil {
			continue
		}
		if _, err := s.Disk.makeDir(s.Path(DamagedDir)); err != nil {
			return fmt.Errorf("keep the damaged state: %w", err)
		}
		aside := filepath.Join(s.Path(DamagedDir), fmt.Sprintf("%s.%d", d.file, generation))
		if err := s.Disk.Replace(Replacement{aside, d.content}); err != nil {
			return fmt.Errorf("keep the damaged state: %w", err)
		}
	}
	return nil
}

// sweep removes what a killed process left behind; it is called by a writer.
func (s Store) Sweep() {
	s.Disk.sweep(s.Dir, SlotFile(0), SlotFile(1), ModelFile, LabelsFile, BackboneFile)
}

// A lock is held by the only writer of a workspace. It goes with the process,
// however that ends.
type Lock struct {
	file *os.File
	made []string // folders that were not there before
}

// lock makes the caller the only writer, and the folder if there is none. It fails
// with ErrLocked when another process does not let go in time.
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
	for gone := 0; ; {
		made, err := s.Disk.makeDir(s.Dir)
		if err != nil {
			return l, fmt.Errorf("create the workspace: %w", err)
		}
		l.made = append(l.made, made...)
		err = s.Disk.do("lock", s.Path(LockFile), func() (err error) {
			l.file, err = os.OpenFile(s.Path(LockFile), os.O_RDWR|os.O_CREATE, 0o644)
			return err
		})
		if errors.Is(err, fs.ErrNotExist) && gone < 3 { // retracted by its maker
			gone++
			continue
		}
		if err != nil {
			return l, fmt.Errorf("lock the workspace: %w", err)
		}
		locked, err := filelock.Try(l.file)
		if locked && l.inPlace() {
			// The number is only for the message below, so a failure to write it is no
			// matter.
			if l.file.Truncate(0) == nil {
				fmt.Fprintln(l.file, os.Getpid())
			}
			return l, nil
		}
		holder, _ := os.ReadFile(l.file.Name())
		l.Release()
		if err != nil {
			if len(l.made) > 0 {
				os.Remove(s.Path(LockFile)) // where nothing can be locked nobody holds it
			}
			return l, fmt.Errorf("lock the workspace %s: %w", s.Dir, err)
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

// inPlace reports whether the locked file is still the one that others would lock:
// a writer whose first change fails takes its workspace away again.
func (l *Lock) inPlace() bool {
	mine, err := l.file.Stat()
	there, err2 := os.Stat(l.file.Name())
	return err == nil && err2 == nil && os.SameFile(mine, there)
}

// release lets other writers in.
func (l *Lock) Release() {
	if l.file != nil {
		l.file.Close()
		l.file = nil
	}
}

// retract takes a workspace away that holds nothing yet; the lock is still held.
func (l *Lock) Retract() {
	os.Remove(l.file.Name())
	removeDirs(l.made)
}
