package evaluate

import (
	"context"
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/floats"
	"gonum.org/v1/gonum/mat"

	"github.com/imprintkit/imprint/classifier"
)

// Alike are photos that hardly differ, each from at least one other of them: their
// embeddings hardly differ (classifier.Near: mostly a cosine of 0.95 or more), or their
// 64-bit hashes are equal. A photo
// that has its like among those taught is named right too easily.
type NearDuplicates struct {
	Photos []PhotoRef `json:"photos"`
	// Cosine is the largest of two different embeddings among them.
	Cosine float64 `json:"cosine"`
	// SameHash is whether two of them have the same hash.
	SameHash bool `json:"same_hash"`
	// Labels is how many different labels they have: more than 1 is a mistake, mostly.
	Labels int `json:"labels"`
}

// alike finds groups of photos that hardly differ, those under several labels first,
// then those most alike.
func (s *Set) nearDuplicates(ctx context.Context) ([]NearDuplicates, error) {
	n := len(s.Units)
	groups := newGroups(n)
	type pair struct {
		a, b   int
		cosine float64
		hash   bool
	}
	var pairs []pair
	examples := make([]classifier.Example, n)
	for i, x := range s.Units {
		examples[i].Unit = x
	}
	least := 1 - classifier.NearDuplicateDistance(examples)/2 // |a − b|² = 2 − 2 a·b
	const block = 256
	for at := 0; at < n; at += block {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		rows := s.Units[at:min(at+block, n)]
		var cosines mat.Dense
		cosines.Mul(matrix(rows), matrix(s.Units[:at+len(rows)]).T())
		for i := range rows {
			for b, v := range cosines.RawRowView(i)[:at+i] {
				if v >= least {
					pairs = append(pairs, pair{a: at + i, b: b, cosine: v})
				}
			}
		}
	}
	first := make(map[uint64]int)
	for i, h := range s.Hashes {
		// A photo with hardly a contrast has a hash by accident.
		if ones := bits.OnesCount64(h); ones < 4 || ones > 60 {
			continue
		}
		if b, ok := first[h]; ok {
			pairs = append(pairs, pair{a: i, b: b, cosine: floats.Dot(s.Units[i], s.Units[b]), hash: true})
		} else {
			first[h] = i
		}
	}
	for i := range pairs {
		groups.join(pairs[i].a, pairs[i].b)
		pairs[i].cosine = math.Round(pairs[i].cosine*1e9) / 1e9 // what is below differs between processors
	}
	found := make(map[int]*NearDuplicates)
	for _, p := range pairs {
		root := groups.of(p.a)
		g := found[root]
		if g == nil {
			g = new(NearDuplicates)
			found[root] = g
		}
		g.Cosine = max(g.Cosine, p.cosine)
		g.SameHash = g.SameHash || p.hash
	}
	all := []NearDuplicates{}
	labels := make(map[int][]int)
	for row := range n {
		root := groups.of(row)
		if g := found[root]; g != nil {
			g.Photos = append(g.Photos, s.photoRef(row))
			if !slices.Contains(labels[root], s.Labels[row]) {
				labels[root] = append(labels[root], s.Labels[row])
				g.Labels++
			}
		}
	}
	for row := range n { // in the order of their first photos
		if g := found[groups.of(row)]; g != nil && g.Photos[0].Row == row {
			all = append(all, *g)
		}
	}
	slices.SortStableFunc(all, func(a, b NearDuplicates) int {
		switch {
		case a.Labels > 1 != (b.Labels > 1):
			return map[bool]int{true: -1, false: 1}[a.Labels > 1]
		case a.Cosine > b.Cosine:
			return -1
		case a.Cosine < b.Cosine:
			return 1
		}
		return 0
	})
	return all, nil
}

// groups are disjoint sets of numbers.
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

// matrix copies rows into a matrix.
func matrix(rows [][]float64) *mat.Dense {
	m := mat.NewDense(len(rows), len(rows[0]), nil)
	for i, r := range rows {
		m.SetRow(i, r)
	}
	return m
}
