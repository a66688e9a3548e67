package evaluate

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/imprintkit/imprint/classifier"
)

// NearDuplicates is a group of photos that hardly differ. Two photos are near-duplicates if their
// embeddings are close (classifier.NearDuplicateDistance, usually a cosine of 0.95 or more) or
// their 64-bit hashes are equal. A photo with a near-duplicate among the training photos is too
// easy to classify.
type NearDuplicates struct {
	Photos   []PhotoRef `json:"photos"`
	Cosine   float64    `json:"cosine"`    // largest cosine similarity of any two embeddings
	SameHash bool       `json:"same_hash"` // two of the photos have the same hash
	Labels   int        `json:"labels"`    // number of different labels; more than one is usually a mistake
}

// A nearPair holds the rows of two near-duplicates.
type nearPair struct {
	a, b     int
	cosine   float64
	sameHash bool
}

// nearDuplicates returns the groups of near-duplicates: first the groups with several labels, then
// by decreasing cosine.
func (s *Set) nearDuplicates(ctx context.Context) ([]NearDuplicates, error) {
	pairs, err := s.pairsByCosine(ctx)
	if err != nil {
		return nil, err
	}
	all := s.group(append(pairs, s.pairsByHash()...))
	slices.SortStableFunc(all, func(a, b NearDuplicates) int {
		if several := a.Labels > 1; several != (b.Labels > 1) {
			if several {
				return -1
			}
			return 1
		}
		return cmp.Compare(b.Cosine, a.Cosine)
	})
	return all, nil
}

// pairsByCosine compares all embeddings with each other, block by block.
func (s *Set) pairsByCosine(ctx context.Context) ([]nearPair, error) {
	const block = 256
	n := len(s.Units)
	examples := make([]classifier.Example, n)
	for i, x := range s.Units {
		examples[i].Unit = x
	}
	minCosine := 1 - classifier.NearDuplicateDistance(examples)/2 // |a − b|² = 2 − 2 a·b
	var pairs []nearPair
	for at := 0; at < n; at += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := s.Units[at:min(at+block, n)]
		var cosines mat.Dense
		cosines.Mul(matrix(rows), matrix(s.Units[:at+len(rows)]).T())
		for i := range rows {
			for b, v := range cosines.RawRowView(i)[:at+i] {
				if v >= minCosine {
					pairs = append(pairs, nearPair{a: at + i, b: b, cosine: v})
				}
			}
		}
	}
	return pairs, nil
}

// pairsByHash pairs each photo with the first photo that has the same hash.
func (s *Set) pairsByHash() (pairs []nearPair) {
	first := make(map[uint64]int)
	for i, h := range s.Hashes {
		// Photos of almost a single color have hashes with very few or very many ones, which are
		// often equal by chance.
		if ones := bits.OnesCount64(h); ones < 4 || ones > 60 {
			continue
		}
		if b, ok := first[h]; ok {
			pairs = append(pairs, nearPair{a: i, b: b, cosine: floats.Dot(s.Units[i], s.Units[b]), sameHash: true})
		} else {
			first[h] = i
		}
	}
	return pairs
}

// group joins pairs that share photos, and returns the groups in the order of their first
// photos.
func (s *Set) group(pairs []nearPair) []NearDuplicates {
	groups := newGroups(len(s.Units))
	for _, p := range pairs {
		groups.join(p.a, p.b)
	}
	found := make(map[int]*NearDuplicates)
	for _, p := range pairs {
		root := groups.of(p.a)
		g := found[root]
		if g == nil {
			g = new(NearDuplicates)
			found[root] = g
		}
		g.Cosine = max(g.Cosine, math.Round(p.cosine*1e9)/1e9) // further digits differ between processors
		g.SameHash = g.SameHash || p.sameHash
	}
	var order []*NearDuplicates
	labels := make(map[int][]int)
	for row := range s.Units {
		root := groups.of(row)
		g := found[root]
		if g == nil {
			continue
		}
		if g.Photos = append(g.Photos, s.photoRef(row)); len(g.Photos) == 1 {
			order = append(order, g)
		}
		if !slices.Contains(labels[root], s.Labels[row]) {
			labels[root] = append(labels[root], s.Labels[row])
			g.Labels++
		}
	}
	all := []NearDuplicates{}
	for _, g := range order {
		all = append(all, *g)
	}
	return all
}

// groups is a union-find structure over row numbers.
type groups []int

func newGroups(n int) groups {
	g := make(groups, n)
	for i := range g {
		g[i] = i
	}
	return g
}

func (g groups) of(i int) int {
	for g[i] != i {
		g[i] = g[g[i]]
		i = g[i]
	}
	return i
}

func (g groups) join(a, b int) { g[g.of(a)] = g.of(b) }

func matrix(rows [][]float64) *mat.Dense {
	m := mat.NewDense(len(rows), len(rows[0]), nil)
	for i, r := range rows {
		m.SetRow(i, r)
	}
	return m
}
