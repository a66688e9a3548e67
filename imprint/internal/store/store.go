// Package store keeps the state of a workspace in a folder: examples, settings and the history of
// changes. Start with [Store.Load]. To write, take the lock with [Store.Lock], change the state,
// and put [State.Encode] into its slot with [Disk.Replace].
//
// New states are written to two state files in turn, so that the previous state survives damage to
// the newest. All writes are durable, and a reader sees either the old file or the new one. Only
// one process can write at a time; readers take no lock. The package does not interpret embeddings.
package store

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"syscall"
)

// Names of files and folders in a workspace.
const (
	BackboneFile = "backbone.tflite"
	ModelFile    = "model.tflite"
	LabelsFile   = "labels.txt"
	LockFile     = "lock"
	SumsFile     = "sums.cache" // see Store.ReadSums
	DamagedDir   = "damaged"    // copies of damaged state files
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

// Load returns the newest undamaged state, or nil if there is none yet. It also returns the damaged
// state files. It fails with ErrCorrupt if all state files are damaged, except if the first change
// was interrupted.
func (s Store) Load() (newest *State, damaged []Damage, err error) { return s.load(nil, true) }

// Reload is like Load. If the newest state file still contains last, it returns a copy of last,
// which takes less time than decoding the file.
func (s Store) Reload(last *State) (newest *State, damaged []Damage, err error) {
	return s.load(last, true)
}

// Newest is like Load, but does not look for damage in the older state file. It reads half as much,
// which matters on a network.
func (s Store) Newest() (newest *State, damaged []Damage, err error) { return s.load(nil, false) }

func (s Store) load(last *State, checkOlder bool) (newest *State, damaged []Damage, err error) {
	slots, known := []uint64{0, 1}, false // known is true if the newest comes first
	if a, b := s.SlotGeneration(0), s.SlotGeneration(1); a > 0 && b > 0 {
		known = true
		if b > a {
			slots = []uint64{1, 0}
		}
	}
	for _, slot := range slots {
		path := s.Path(SlotFile(slot))
		if newest != nil && known {
			// Decoding a large state takes longer than checking it.
			if !checkOlder || newest.Before != 0 && crcOf(path) == newest.Before || checked(path) {
				continue
			}
		}
		if last != nil && last.file != (checksums{}) && s.SlotGeneration(slot) == last.Generation && last.file.match(path) {
			if newest == nil || last.Generation > newest.Generation {
				newest = last.copy()
			}
			continue
		}
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
	slices.SortFunc(damaged, func(a, b Damage) int { return cmp.Compare(a.file, b.file) })
	if newest == nil && len(damaged) > 0 && !interrupted(damaged) {
		return nil, nil, damaged[0].err
	}
	return newest, damaged, nil
}

// SlotGeneration returns the generation that the state file of a slot begins with, or 0 if this
// version may not be able to read the file. The slot may be the number of a generation.
func (s Store) SlotGeneration(slot uint64) uint64 {
	f, err := openRegular(s.Path(SlotFile(slot)))
	if err != nil {
		return 0
	}
	defer f.Close()
	begin := make([]byte, 100)
	n, _ := io.ReadFull(f, begin)
	var length [4]byte
	var version int
	var generation uint64
	_, err = fmt.Sscanf(string(begin[min(n, len(stateMagic)+len(length)):n]), `{"Version":%d,"Generation":%d,`, &version, &generation)
	if err != nil || version < 1 || version > Version {
		return 0
	}
	return generation
}

// interrupted reports whether the only state file is the empty file of generation 1. On FAT, power
// loss during the first change leaves it behind: its name is on the disk, but its size is not. It
// contains nothing to keep, and the change was not acknowledged.
func interrupted(damaged []Damage) bool {
	d := damaged[0]
	return len(damaged) == 1 && d.file == SlotFile(1) && d.content != nil && len(d.content) == 0
}

// Warnings describes the damage that Load found, given the state that it returned.
func Warnings(used *State, damaged []Damage) (w []string) {
	for _, d := range damaged {
		instead := "the first change was interrupted; starting a new workspace"
		if used != nil {
			instead = fmt.Sprintf("using generation %d instead; any later change is lost", used.Generation)
		}
		w = append(w, d.err.Error(), instead)
	}
	return w
}

// KeepDamaged copies damaged state files to DamagedDir before the state of generation
// overwrites them.
func (s Store) KeepDamaged(damaged []Damage, generation uint64) error {
	for _, d := range damaged {
		inTheWay := errors.Is(d.err, ErrNotRegular) || errors.Is(d.err, errTooLarge)
		if len(d.content) == 0 && !inTheWay {
			continue
		}
		if _, err := s.Disk.makeDir(s.Path(DamagedDir)); err != nil {
			return fmt.Errorf("keep a copy of the damaged state: %w", err)
		}
		aside := filepath.Join(s.Path(DamagedDir), fmt.Sprintf("%s.%d", d.file, generation))
		if inTheWay {
			// An interrupted change may have moved an earlier one there.
			for i := 2; exists(aside); i++ {
				aside = filepath.Join(s.Path(DamagedDir), fmt.Sprintf("%s.%d-%d", d.file, generation, i))
			}
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

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// Sweep removes the temporary files of killed processes. The caller must hold the lock.
func (s Store) Sweep() {
	s.Disk.sweep(s.Dir, SlotFile(0), SlotFile(1), ModelFile, LabelsFile, BackboneFile, SumsFile)
}
