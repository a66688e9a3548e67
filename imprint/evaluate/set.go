// Package evaluate measures how accurate heads are, and which photos stand in the way of
// better ones. Start with [ReadSet] for stored embeddings, [Embed] for photos, or the
// examples of a workspace; then call [Set.Evaluate] or [Set.LeaveOneOut].
//
// A Set is not changed by evaluating it, except that [Set.LeaveOneOut] samples its
// episodes. The same set gives the same numbers on every processor.
package evaluate

import (
	"errors"
	"fmt"
	"slices"
)

// ErrProtocol is wrapped when a set does not allow the evaluation asked for.
var ErrProtocol = errors.New("evaluation is not possible")

// A Set is a set of labelled embeddings and the draws to evaluate.
type Set struct {
	Name    string
	Classes []string
	Labels  []int       // class of each embedding
	Units   [][]float64 // the embeddings, of length 1
	Norms   []float64   // the lengths they had
	// Shots has for each draw and class the embeddings to teach; k photos are the
	// first k. Test has for each draw the embeddings to classify.
	Support [][][]int
	Query   [][]int
	// Bursts names photos that were taken together, as [classifier.Example] does; nil when
	// that is not known.
	Bursts []string
	// Photos and Hashes are what the embeddings are of; nil when that is not known.
	Photos []Photo
	Hashes []uint64 // by dataset.Hash; 0 is not known
	// Devices counts the embeddings that each device made; nil when that is not known.
	Devices map[string]int
}

// A Photo is the file that an embedding was made of.
type Photo struct {
	Path   string
	SHA256 string // in hexadecimal
}

// check says whether all rows of the draws exist.
func (s *Set) check() error {
	if len(s.Units) != len(s.Labels) || len(s.Norms) != len(s.Labels) {
		return fmt.Errorf("%w: %d embeddings for %d photos", ErrProtocol, len(s.Units), len(s.Labels))
	}
	for i, x := range s.Units {
		if len(x) != len(s.Units[0]) {
			return fmt.Errorf("%w: embedding %d has %d values, and the first %d", ErrProtocol, i, len(x), len(s.Units[0]))
		}
	}
	inside := func(rows []int) bool {
		return !slices.ContainsFunc(rows, func(r int) bool { return r < 0 || r >= len(s.Labels) })
	}
	if len(s.Support) == 0 || len(s.Support) != len(s.Query) {
		return fmt.Errorf("%w: %d draws to teach and %d to classify", ErrProtocol, len(s.Support), len(s.Query))
	}
	for i, c := range s.Classes {
		if slices.Contains(s.Classes[:i], c) {
			return fmt.Errorf("%w: class %q is there twice", ErrProtocol, c)
		}
	}
	for _, c := range s.Labels {
		if c < 0 || c >= len(s.Classes) {
			return fmt.Errorf("%w: class %d of %d", ErrProtocol, c, len(s.Classes))
		}
	}
	for d := range s.Support {
		if len(s.Support[d]) != len(s.Classes) || !inside(s.Query[d]) || slices.ContainsFunc(s.Support[d], func(r []int) bool { return !inside(r) }) {
			return fmt.Errorf("%w: draw %d does not fit %d classes and %d photos", ErrProtocol, d, len(s.Classes), len(s.Labels))
		}
	}
	return nil
}

// roots reports whether no embedding has a value below 0, so that square roots may
// serve as features.
func (s *Set) roots() bool {
	return !slices.ContainsFunc(s.Units, func(x []float64) bool { return slices.Min(x) < 0 })
}

// rows are those of each class.
func (s *Set) rows() [][]int {
	rows := make([][]int, len(s.Classes))
	for i, c := range s.Labels {
		rows[c] = append(rows[c], i)
	}
	return rows
}
