// Package evaluate measures the accuracy of heads, and finds the photos that reduce it. Start
// with [ReadSet] for stored embeddings, [Embed] for photos, or the examples of a workspace; then
// call [Set.Evaluate] or [Set.LeaveOneOut].
//
// Evaluating a Set does not change it, except that [Set.LeaveOneOut] samples its episodes. The
// same set gives the same results on every processor.
package evaluate

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/classifier"
)

// ErrProtocol means that a set is not suitable for the requested evaluation.
var ErrProtocol = errors.New("evaluation is not possible")

// A Set holds labeled embeddings and the episodes to evaluate heads with. An episode trains on
// the support photos of each class and classifies the query photos.
type Set struct {
	Name    string
	Classes []string
	Labels  []int       // the class of each embedding, as an index into Classes
	Units   [][]float64 // the embeddings, scaled to length 1
	Norms   []float64   // lengths of the embeddings before scaling

	Support [][][]int // rows to train on, by episode and class; the first k are used for k support photos
	Query   [][]int   // rows to classify, by episode

	Bursts  []string       // each photo's burst, as in [classifier.Example]; nil if unknown
	Photos  []Photo        // the files that the embeddings were made from; nil if unknown
	Hashes  []uint64       // dataset.Hash of each photo; 0 or nil if unknown
	Devices map[string]int // number of embeddings by device; nil if unknown

	stream *Stream // reads the embeddings if they are not in Units; else nil
}

// A Photo identifies the file that an embedding was made from.
type Photo struct {
	Path   string
	SHA256 string // in hexadecimal
}

// check returns an error that wraps ErrProtocol if the fields of s contradict each other.
func (s *Set) check() error {
	if len(s.Units) != len(s.Labels) || len(s.Norms) != len(s.Labels) {
		return fmt.Errorf("%w: %d embeddings for %d photos", ErrProtocol, len(s.Units), len(s.Labels))
	}
	for i, x := range s.Units {
		if len(x) != len(s.Units[0]) {
			return fmt.Errorf("%w: embedding %d has %d values; the first has %d", ErrProtocol, i, len(x), len(s.Units[0]))
		}
	}
	if len(s.Support) == 0 || len(s.Support) != len(s.Query) {
		return fmt.Errorf("%w: %d episodes have support photos and %d have query photos", ErrProtocol, len(s.Support), len(s.Query))
	}
	for i, c := range s.Classes {
		if slices.Contains(s.Classes[:i], c) {
			return fmt.Errorf("%w: class %q occurs twice", ErrProtocol, c)
		}
	}
	for _, c := range s.Labels {
		if c < 0 || c >= len(s.Classes) {
			return fmt.Errorf("%w: class index %d is out of range for %d classes", ErrProtocol, c, len(s.Classes))
		}
	}
	inside := func(rows []int) bool {
		return !slices.ContainsFunc(rows, func(r int) bool { return r < 0 || r >= len(s.Labels) })
	}
	for d := range s.Support {
		if len(s.Support[d]) != len(s.Classes) || !inside(s.Query[d]) || slices.ContainsFunc(s.Support[d], func(r []int) bool { return !inside(r) }) {
			return fmt.Errorf("%w: episode %d does not match %d classes and %d photos", ErrProtocol, d, len(s.Classes), len(s.Labels))
		}
	}
	return nil
}

// roots reports whether square roots of the embeddings can be features, which requires that no
// value is negative.
func (s *Set) roots() bool {
	return !slices.ContainsFunc(s.Units, func(x []float64) bool { return slices.Min(x) < 0 })
}

// rows returns the row numbers of each class.
func (s *Set) rows() [][]int {
	rows := make([][]int, len(s.Classes))
	for i, c := range s.Labels {
		rows[c] = append(rows[c], i)
	}
	return rows
}

// examples returns all embeddings of the set as examples, with their bursts.
func (s *Set) examples() []classifier.Example {
	examples := make([]classifier.Example, len(s.Units))
	for i := range s.Units {
		examples[i] = s.example(i, s.Labels[i])
		if s.Bursts != nil {
			examples[i].Burst = s.Bursts[i]
		}
	}
	return examples
}

// pick returns the examples of the given rows, without bursts.
func (s *Set) pick(rows []int) ([]classifier.Example, error) {
	if s.stream != nil {
		return s.stream.pick(rows)
	}
	examples := make([]classifier.Example, len(rows))
	for k, row := range rows {
		examples[k] = s.example(row, s.Labels[row])
	}
	return examples, nil
}

func (s *Set) example(row, class int) classifier.Example {
	return classifier.Example{Label: s.Classes[class], Unit: s.Units[row], Norm: s.Norms[row]}
}

// supportOf returns the support photos of one episode. It takes the first k photos of each class
// for which wanted returns true, or all if the class has fewer.
func (s *Set) supportOf(episode, k int, wanted func(class int) bool) []classifier.Example {
	var examples []classifier.Example
	for c, rows := range s.Support[episode] {
		if !wanted(c) {
			continue
		}
		for _, row := range rows[:min(k, len(rows))] {
			examples = append(examples, s.example(row, c))
		}
	}
	return examples
}
