// Package store keeps the state of a workspace in a folder: examples, settings and the history of
// changes. Start with [Store.Load]. To write, take the lock with [Store.Lock], change the state,
// and put [State.Encode] into its slot with [Disk.Replace].
//
// New states are written to two state files in turn, so that the previous state survives damage to
// the newest. All writes are durable, and a reader sees either the old file or the new one. Only
// one process can write at a time; readers take no lock. The package does not interpret embeddings.
package store

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Names of files and folders in a workspace.
const (
	BackboneFile = "backbone.tflite"
	ModelFile    = "model.tflite"
	LabelsFile   = "labels.txt"
	LockFile     = "lock"
	DamagedDir   = "damaged" // copies of damaged state files
)

// SlotFile returns the name of the state file of a generation. Even generations use one file and
// odd generations use another.
func SlotFile(generation uint64) string { return fmt.Sprintf("state.%d", generation%2) }

// A Store gives access to the folder of a workspace.
type Store struct {
	Dir  string
	Disk Disk
}

// Path returns the path of a file in the folder.
func (s Store) Path(name string) string { return filepath.Join(s.Dir, name) }

// Damage describes a state file that can't be used.
type Damage struct {
	file    string
	content []byte // nil if it can't be read
	err     error
}

// Load returns the newest undamaged state, or nil if there is no state file yet. It also returns
// the damaged state files. It fails with ErrCorrupt if all state files are damaged.
func (s Store) Load() (newest *State, damaged []Damage, err error) {
	for slot := range uint64(2) {
		path := s.Path(SlotFile(slot))
		b, err := ReadFile(path, MaxState)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		// The disk has a bad block, or the path can't be a state file.
		if errors.Is(err, syscall.EIO) || errors.Is(err, ErrNotRegular) || errors.Is(err, errTooLarge) {
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
			return nil, nil, fmt.Errorf("read workspace %s: %w", s.Dir, err)
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

// Warnings describes the damage that Load found, given the state that it returned.
func Warnings(used *State, damaged []Damage) (w []string) {
	for _, d := range damaged {
		w = append(w, d.err.Error(), fmt.Sprintf("using generation %d instead; any later change is lost", used.Generation))
	}
	return w
}

// KeepDamaged copies damaged state files to DamagedDir before the state of generation
// overwrites them.
func (s Store) KeepDamaged(damaged []Damage, generation uint64) error {
	for _, d := range damaged {
		inTheWay := errors.Is(d.err, ErrNotRegular) || errors.Is(d.err, errTooLarge)
		if d.content == nil && !inTheWay {
			continue
		}
		if _, err := s.Disk.makeDir(s.Path(DamagedDir)); err != nil {
			return fmt.Errorf("keep a copy of the damaged state: %w", err)
		}
		aside := filepath.Join(s.Path(DamagedDir), fmt.Sprintf("%s.%d", d.file, generation))
		if inTheWay {
			err := s.Disk.do("rename", aside, func() error { return os.Rename(s.Path(d.file), aside) })
			if err != nil {
				return fmt.Errorf("keep a copy of the damaged state: %w", err)
			}
			continue
		}
		if err := s.Disk.Replace(Replacement{aside, d.content}); err != nil {
			return fmt.Errorf("keep a copy of the damaged state: %w", err)
		}
	}
	return nil
}

// Sweep removes the temporary files of killed processes. The caller must hold the lock.
func (s Store) Sweep() {
	s.Disk.sweep(s.Dir, SlotFile(0), SlotFile(1), ModelFile, LabelsFile, BackboneFile)
}
