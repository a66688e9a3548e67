package embeddings

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/classifier"
)

// ErrUnfinished means that a folder has no complete set of embeddings.
var ErrUnfinished = errors.New("the photos are not all embedded yet")

// A Set is a folder with the embeddings of photos, sorted by class and unit vector: emb.u8 (emb.crop.u8
// for the resize mode crop) has a row for each photo, labels.json its class and photos.tsv its SHA-256,
// hash and path. A Set holds only the number of photos of each class. It is safe for concurrent use.
type Set struct {
	*Job
	Counts []int // number of photos of each class
	First  []int // first row of each class, then the number of rows
	file   *os.File
}

// Open opens a set. The caller must call Close. An error wraps [ErrUnfinished] if there is none.
func Open(dir string) (*Set, error) {
	j, err := OpenJob(dir)
	if err != nil {
		return nil, err
	}
	b, err := os.ReadFile(j.path(countsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open %s: %w", dir, ErrUnfinished)
	} else if err != nil {
		return nil, err
	}
	s := &Set{Job: j}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, countsFile), err)
	}
	if s.file, err = os.Open(j.path(setFile(j.Resize))); err != nil {
		return nil, err
	}
	rows := 0
	for _, n := range s.Counts {
		s.First = append(s.First, rows)
		rows += n
	}
	s.First = append(s.First, rows)
	info, err := s.file.Stat()
	if err == nil && (len(s.Counts) != len(j.Classes) || info.Size() != int64(rows)*int64(j.Size)) {
		err = fmt.Errorf("open %s: %s has %d bytes for %d photos", dir, s.file.Name(), info.Size(), rows)
	}
	if err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// Close closes the set's file.
func (s *Set) Close() error { return s.file.Close() }

// Rows returns the number of photos.
func (s *Set) Rows() int { return s.First[len(s.First)-1] }

// Class returns the class of a row.
func (s *Set) Class(row int) int {
	low, high := 0, len(s.Counts)
	for high-low > 1 {
		if middle := (low + high) / 2; s.First[middle] <= row {
			low = middle
		} else {
			high = middle
		}
	}
	return low
}

// Read returns the examples of rows from ≤ i < to.
func (s *Set) Read(u *Units, from, to int) ([]classifier.Example, error) {
	raw := make([]byte, (to-from)*s.Size)
	if _, err := s.file.ReadAt(raw, int64(from)*int64(s.Size)); err != nil {
		return nil, fmt.Errorf("read rows %d to %d of %s: %w", from, to, s.file.Name(), err)
	}
	examples, values := make([]classifier.Example, to-from), make([]float64, (to-from)*u.dim)
	class := s.Class(from)
	for i := range examples {
		for from+i >= s.First[class+1] {
			class++
		}
		unit := values[i*u.dim:][:u.dim:u.dim]
		examples[i] = classifier.Example{Label: s.Classes[class], Unit: unit, Norm: u.engine.Unit(unit, raw[i*s.Size:][:s.Size])}
	}
	return examples, nil
}

// Pick returns the examples of the given rows.
func (s *Set) Pick(u *Units, rows []int) ([]classifier.Example, error) {
	examples := make([]classifier.Example, 0, len(rows))
	for _, row := range rows {
		e, err := s.Read(u, row, row+1)
		if err != nil {
			return nil, err
		}
		examples = append(examples, e...)
	}
	return examples, nil
}

// Photos calls f with each photo of the set, in order.
func (s *Set) Photos(f func(class int, sha256 string, hash uint64, path string)) error {
	file, err := os.Open(s.path(photosFile))
	if err != nil {
		return err
	}
	defer file.Close()
	lines, row := bufio.NewScanner(file), 0
	for ; lines.Scan(); row++ {
		column := strings.SplitN(lines.Text(), "\t", 3)
		if len(column) < 3 || row >= s.Rows() {
			return fmt.Errorf("read %s: got line %q for row %d of %d", file.Name(), lines.Text(), row, s.Rows())
		}
		hash, err := strconv.ParseUint(column[1], 16, 64)
		if err != nil {
			return fmt.Errorf("read %s: %w", file.Name(), err)
		}
		f(s.Class(row), column[0], hash, column[2])
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read %s: %w", file.Name(), err)
	}
	if row < s.Rows() {
		return fmt.Errorf("read %s: it has %d photos, want %d", file.Name(), row, s.Rows())
	}
	return nil
}
