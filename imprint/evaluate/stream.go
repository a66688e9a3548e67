package evaluate

import (
	"context"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/classifier"
)

// A Stream evaluates a set whose embeddings are too many for memory. It keeps about 100 bytes for each
// photo, and reads embeddings when it needs them.
type Stream struct {
	// Set describes the photos. It has no Units, Norms, Bursts and episodes, and its classes are sorted.
	Set      *Set
	Examples *classifier.Stream // the embeddings of the same photos
	Rows     []int              // row in Set of each example
	Sqrt     bool               // as for [classifier.Fit]

	// NearDuplicates returns pairs of indexes of examples, of any class, that connect all
	// near-duplicates, as [classifier.NearDuplicatesBetween] finds them.
	NearDuplicates func(context.Context) ([][2]int, error)
	// Correct returns the sum of [Episode.Correct] over all examples, for each episode.
	Correct func(context.Context, []Episode) ([]int, error)

	indexes []int // index of the example of each row
}

// An Episode is a head trained on a few photos of each class.
type Episode struct {
	Head    *classifier.Head
	Support []int // indexes of the examples that the head was trained on, ascending
}

// Correct returns how many of some examples the head classifies correctly, without those that it was
// trained on. first is the index of the first example; the others follow.
func (e *Episode) Correct(first int, examples []classifier.Example) (correct int) {
	logits := make([]float64, len(e.Head.Labels))
	at, _ := slices.BinarySearch(e.Support, first)
	support := e.Support[at:]
	for i, x := range examples {
		if len(support) > 0 && support[0] == first+i {
			support = support[1:]
			continue
		}
		e.Head.Logits(logits, x.Unit)
		correct += count(e.Head.Labels[classifier.ArgMax(logits)] == x.Label)
	}
	return correct
}

// LeaveOneOut returns the result of [Set.LeaveOneOut] for the same photos, bit for bit. There must be
// as many photos as [classifier.Stream.Fit] needs.
func (s *Stream) LeaveOneOut(ctx context.Context, heads []classifier.Method, support []int, episodes int) (*Evaluation, error) {
	set, stream := *s.Set, *s
	n := len(set.Labels)
	stream.indexes = make([]int, n)
	for i := range stream.indexes {
		stream.indexes[i] = -1
	}
	for i, row := range s.Rows {
		if row < 0 || row >= n || stream.indexes[row] >= 0 || len(s.Rows) != n {
			return nil, fmt.Errorf("evaluate %s: %w: example %d of %d does not match %d photos", set.Name, ErrProtocol, i, len(s.Rows), n)
		}
		stream.indexes[row] = i
	}
	set.stream = &stream
	return set.LeaveOneOut(ctx, heads, support, episodes)
}

// pick returns the examples of the given rows, in this order.
func (s *Stream) pick(rows []int) ([]classifier.Example, error) {
	indexes := make([]int, len(rows))
	for k, row := range rows {
		indexes[k] = s.indexes[row]
	}
	sorted := slices.Sorted(slices.Values(indexes))
	read, err := s.Examples.Read(sorted)
	if err != nil {
		return nil, err
	}
	examples := make([]classifier.Example, len(rows))
	for k, i := range indexes {
		at, _ := slices.BinarySearch(sorted, i)
		examples[k] = read[at]
	}
	return examples, nil
}

// leftOutLogits is like Set.leftOutLogits.
func (s *Stream) leftOutLogits(h classifier.Method) (*classifier.Fitted, [][]float64, error) {
	fitted, indexes, logits, err := s.Examples.LeaveOneOut(h, s.Sqrt)
	if err != nil {
		return nil, nil, err
	}
	byRow := make([][]float64, len(s.Rows))
	for k, i := range indexes {
		byRow[s.Rows[i]] = logits[k]
	}
	return fitted, byRow, nil
}

// pairsByDistance is like Set.pairsByDistance.
func (s *Stream) pairsByDistance(ctx context.Context) ([]nearPair, error) {
	found, err := s.NearDuplicates(ctx)
	pairs := make([]nearPair, len(found))
	for k, p := range found {
		pairs[k] = nearPair{a: s.Rows[p[0]], b: s.Rows[p[1]]}
	}
	return pairs, err
}

// curve is like Set.curve.
func (s *Stream) curve(ctx context.Context, h classifier.Method, k, episodes int) ([]float64, error) {
	rows := s.Set.rows()
	if s.Set.canSample(rows, k, true) != nil {
		return nil, nil
	}
	random, all, queries := newRandom(), make([]Episode, episodes), make([]int, episodes)
	for d := range all {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		train, query := drawEpisode(random, rows, k)
		support := slices.Concat(train...)
		examples, err := s.pick(support)
		if err != nil {
			return nil, err
		}
		fitted, err := classifier.Fit(examples, h, s.Sqrt)
		if err != nil {
			return nil, err
		}
		for i, row := range support {
			support[i] = s.indexes[row]
		}
		slices.Sort(support)
		all[d], queries[d] = Episode{fitted.Head, support}, len(query)
	}
	correct, err := s.Correct(ctx, all)
	if err != nil {
		return nil, err
	}
	percent := make([]float64, episodes)
	for d, n := range correct {
		percent[d] = 100 * float64(n) / float64(queries[d])
	}
	return percent, nil
}
