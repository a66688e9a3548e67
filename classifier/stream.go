package classifier

import (
	"fmt"
	"math"
	"slices"
)

// A Stream describes examples that are too many for memory. It gives the same head as [Fit] of all
// examples, bit for bit, from exact sums and a few of the examples. The examples are sorted by label,
// then by the values of their unit embeddings, and have no [Example.Burst].
type Stream struct {
	Totals *Totals // of all examples
	// Bursts lists the near-duplicates of each class, as [NearDuplicatesBetween] finds them: groups of
	// two or more indexes, ascending, in the order of their first index.
	Bursts [][]int
	// Read returns the examples with the given indexes, which are ascending.
	Read func(indexes []int) ([]Example, error)
	// leftOut holds the indexes of the examples that Fit leaves out.
	leftOut []int
}

// NearDuplicatesBetween returns pairs of indexes into a and b, parts of the sorted examples of a
// class, that connect all near-duplicates among them: those at most limit apart, as given by
// [Totals.NearDuplicateDistance]. If a and b are the same slice, it compares each pair once. The
// number of pairs is smaller than the number of examples.
func NearDuplicatesBetween(a, b []Example, limit float64) (pairs [][2]int) {
	if len(a) == 0 || len(b) == 0 {
		return nil
	}
	same := &a[0] == &b[0] && len(a) == len(b)
	sets := newDisjointSets(len(a) + len(b))
	compare := func(i, j int) {
		at := len(a) + j
		if same {
			at = j
		}
		if sets.root(i) != sets.root(at) && within(a[i].Unit, b[j].Unit, limit) {
			sets.join(i, at)
			pairs = append(pairs, [2]int{i, j})
		}
	}
	if same {
		eachClosePair(a, limit, compare)
		return pairs
	}
	const most = 512 // see eachClosePair
	dim := min(len(a[0].Unit), most)
	p, ofA := packForDistance(a, dim)
	q, ofB := packForDistance(b, dim)
	defer p.release()
	defer q.release()
	limit16 := roundedLimit(limit, dim)
	eachTile(p, q, false, func(i, j int, tile []int32) {
		for r := range min(tileRows, p.count-i) {
			own := ofA[i+r] - limit16
			for c, v := range tile[r*q.width:][:min(q.width, q.count-j)] {
				if own+ofB[j+c]-2*int64(v) <= 0 {
					compare(i+r, j+c)
				}
			}
		}
	})
	return pairs
}

// Groups returns the groups of two or more indexes that pairs connect, in the form of [Stream.Bursts].
func Groups(pairs [][2]int) (groups [][]int) {
	var members []int // each once, ascending
	for _, p := range pairs {
		members = append(members, p[0], p[1])
	}
	slices.Sort(members)
	members = slices.Compact(members)
	sets := newDisjointSets(len(members))
	for _, p := range pairs {
		a, _ := slices.BinarySearch(members, p[0])
		b, _ := slices.BinarySearch(members, p[1])
		sets.join(a, b)
	}
	at := make(map[int]int) // the group of each root
	for i, member := range members {
		r := sets.root(i)
		if r == i {
			at[r], groups = len(groups), append(groups, nil)
		}
		groups[at[r]] = append(groups[at[r]], member)
	}
	return groups
}

// Fit is like the function [Fit]. There must be more than 1024 examples, and more than dimensions.
// Methods that descend a gradient are not supported. It calls Read with at most a few thousand indexes,
// and all examples of about 2000 bursts.
func (s *Stream) Fit(method Method, sqrt bool) (*Fitted, error) {
	f, _, err := s.fit(method, sqrt)
	return f, err
}

// LeaveOneOut is like the function [LeaveOneOut]. It returns the indexes of the examples that it left
// out, ascending, and their logits.
func (s *Stream) LeaveOneOut(method Method, sqrt bool) (f *Fitted, indexes []int, logits [][]float64, err error) {
	f, leftOut, err := s.fit(method, sqrt)
	if err != nil {
		return nil, nil, nil, err
	}
	for k, row := range leftOut {
		if row != nil {
			scaled := make([]float64, len(row))
			axpy(f.scale, row, scaled)
			indexes, logits = append(indexes, s.leftOut[k]), append(logits, scaled)
		}
	}
	return f, indexes, logits, nil
}

// fit also returns the outputs for each of s.leftOut.
func (s *Stream) fit(method Method, sqrt bool) (*Fitted, [][]float64, error) {
	if method == Softmax || method == CoralSGD {
		return nil, nil, fmt.Errorf("head %q can't be trained on sums", method)
	}
	recipe, candidates := Recipe{}, []Candidate(nil)
	var err error
	if method == Auto {
		c := comparison{examples: s.Totals.sample(), trainings: make(map[bool]*training)}
		all := 0
		for _, n := range s.Totals.Counts() {
			all += n
		}
		c.single = len(c.examples) < all
		recipe, err = c.best(sqrt)
		candidates = c.candidates
	} else {
		recipe, err = method.recipe()
	}
	if err != nil {
		return nil, nil, err
	}
	t, err := s.Totals.training(recipe.Sqrt)
	if err != nil {
		return nil, nil, err
	}
	t.candidates = candidates
	if err := s.addLeftOut(t); err != nil {
		return nil, nil, err
	}
	return t.fit(recipe)
}

// addLeftOut adds the examples that are left out to t.
func (s *Stream) addLeftOut(t *training) error {
	total := t.n // of bursts
	var later []int
	for _, g := range s.Bursts {
		total -= len(g) - 1
		later = append(later, g[1:]...)
	}
	slices.Sort(later)
	s.leftOut = nil
	groups, class, end, b := s.Bursts, 0, t.count[0], 0
	var bursts [][]int
	for i := range t.n {
		for i >= end {
			class++
			end += t.count[class]
		}
		if len(later) > 0 && later[0] == i {
			later = later[1:]
			continue
		}
		burst := []int{i}
		if len(groups) > 0 && groups[0][0] == i {
			burst, groups = groups[0], groups[1:]
		}
		if len(burst) == t.count[class] {
			t.excluded += len(burst)
		} else if isSampled(b, total) {
			bursts = append(bursts, burst)
			s.leftOut = append(s.leftOut, burst...)
		}
		b++
	}
	slices.Sort(s.leftOut)
	examples, err := s.Read(s.leftOut)
	if err != nil {
		return err
	}
	root := make([]float64, t.dim)
	for _, e := range examples {
		c, ok := slices.BinarySearch(t.labels, e.Label)
		if !ok || len(e.Unit) != t.dim {
			return fmt.Errorf("example of class %q with %d values: %w", e.Label, len(e.Unit), ErrShape)
		}
		x := make([]int16, t.dim)
		roundFeatures(x, e.Unit, t.sqrt, root)
		t.x, t.class, t.norm = append(t.x, x), append(t.class, c), append(t.norm, e.Norm)
	}
	for _, burst := range bursts {
		local := make([]int, len(burst))
		for k, i := range burst {
			local[k], _ = slices.BinarySearch(s.leftOut, i)
		}
		t.bursts = append(t.bursts, local)
	}
	return nil
}

// Reject is like [Background.Reject] without negatives. f must be the result of s.Fit.
func (s *Stream) Reject(b *Background, f *Fitted, rate float64) (*Head, *Rejection, error) {
	sample := sampleForBackground(s.Totals.Counts())
	examples, err := s.Read(sample)
	if err != nil {
		return nil, nil, err
	}
	tops := make([]float64, len(sample))
	for k, i := range sample {
		tops[k] = math.NaN()
		if at, ok := slices.BinarySearch(s.leftOut, i); ok && at < len(f.leftOutTops) {
			tops[k] = f.leftOutTops[at]
		}
	}
	return b.reject(f, examples, tops, nil, rate)
}
