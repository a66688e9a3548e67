package classifier

import (
	"fmt"
	"math"
	"slices"
)

// UnknownLabel names the row of a head that wins where no class is meant.
const UnknownLabel = "unknown"

// A Rejection says how well photos of other things are told from taught classes.
type Rejection struct {
	// Threshold is the logit that the best class must reach.
	Threshold float64
	// Asked is the share of photos of other things that may be taken for a class.
	Asked float64
	// Impostors is the number of examples that stood for other things: each with a head
	// that has not seen its class, and the negatives. Accepted of them reach the
	// threshold.
	Impostors, Accepted int
	// Rejected is the number of examples, of Known left out, that miss the threshold.
	Rejected, Known int
}

// folds is into how many groups classes are put, each to stand once for other things.
const folds = 5

// Reject adds a row to f's head that wins where no class's logit reaches a threshold,
// chosen so that a share rate of other things is taken for a class. What other things
// look like is learned from the classes themselves, of which a fifth at a time is
// taken for unknown by a head of the others, and from negatives, examples of no class.
// It needs four classes, or negatives.
//
// The largest logit tells known from unknown as well as anything tried (largest
// cosine, margin, share of the winner, distance to the nearest example, Mahalanobis
// distance: areas under the curve of 0.61 to 0.64 on clothing, 5 photos a class).
func Reject(f *Fitted, examples, negatives []Example, rate float64) (*Head, *Rejection, error) {
	if !(rate > 0) || rate >= 1 {
		return nil, nil, fmt.Errorf("a false accept rate of %v is not between 0 and 1: %w", rate, ErrShape)
	}
	if slices.Contains(f.Head.Labels, UnknownLabel) {
		return nil, nil, fmt.Errorf("a class is called %q already: %w", UnknownLabel, ErrShape)
	}
	examples = sorted(examples)
	r := &Rejection{Asked: rate}
	var others []float64
	labels := f.Head.Labels
	if len(labels) >= 4 {
		n := min(folds, len(labels))
		for k := range n {
			var rest, out []Example
			for _, e := range examples {
				if c, _ := slices.BinarySearch(labels, e.Label); c%n == k {
					out = append(out, e)
				} else {
					rest = append(rest, e)
				}
			}
			t, err := f.Recipe.training(rest)
			if err != nil {
				return nil, nil, err
			}
			l, _, err := t.layer(f.Recipe)
			if err != nil {
				return nil, nil, err
			}
			for _, e := range out {
				others = append(others, f.scale*l.largest(features(e.Unit, f.Recipe.Root)))
			}
		}
	}
	t, err := f.Recipe.training(examples)
	if err != nil {
		return nil, nil, err
	}
	l, left, err := t.layer(f.Recipe)
	if err != nil {
		return nil, nil, err
	}
	for _, e := range negatives {
		others = append(others, f.scale*l.largest(features(e.Unit, f.Recipe.Root)))
	}
	if len(others) == 0 {
		return nil, nil, fmt.Errorf("to know what is unknown takes four classes or photos of other things: %w", ErrShape)
	}
	slices.Sort(others)
	r.Impostors = len(others)
	r.Accepted = int(rate * float64(len(others)))
	at := len(others) - r.Accepted // the first that is accepted
	r.Threshold = math.Nextafter(others[at-1], math.Inf(1))
	if at < len(others) {
		r.Threshold = (others[at-1] + others[at]) / 2
	}
	for _, row := range left {
		if row == nil {
			continue
		}
		r.Known++
		if f.scale*slices.Max(row) < r.Threshold {
			r.Rejected++
		}
	}

	// The head's rows have their mean taken off; the new row is 0 less that mean.
	h := *f.Head
	h.Labels, h.Weights, h.Bias = slices.Clone(h.Labels), slices.Clone(h.Weights), slices.Clone(h.Bias)
	for _, v := range l.centre() {
		h.Weights = append(h.Weights, float32(-v*f.scale))
	}
	h.Labels, h.Bias = append(h.Labels, UnknownLabel), append(h.Bias, float32(r.Threshold))
	return &h, r, h.Check()
}

func features(x []float64, root bool) []float64 {
	if root {
		return roots(x)
	}
	return x
}

// largest is the largest output for x.
func (l *layer) largest(x []float64) float64 {
	best := math.Inf(-1)
	for c, w := range l.weights {
		best = max(best, dot4(w, x)+l.bias[c])
	}
	return best
}

// centre is the mean of the rows.
func (l *layer) centre() []float64 {
	centre := make([]float64, len(l.weights[0]))
	for _, w := range l.weights {
		axpy(1/float64(len(l.weights)), w, centre)
	}
	return centre
}
