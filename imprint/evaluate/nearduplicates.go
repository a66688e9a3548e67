package evaluate

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"slices"

	"gonum.org/v1/gonum/floats"
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
	sameHash bool
}

// nearDuplicates returns the groups of near-duplicates: first the groups with several labels, then
// by decreasing cosine.
func (s *Set) nearDuplicates(ctx context.Context) ([]NearDuplicates, error) {
	pairs, err := s.pairsByDistance(ctx)
	if err != nil {
		return nil, err
	}
	all, err := s.group(ctx, append(pairs, s.pairsByHash()...))
	if err != nil {
		return nil, err
	}
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
			pairs = append(pairs, nearPair{a: i, b: b, sameHash: true})
		} else {
			first[h] = i
		}
	}
	return pairs
}

// group joins pairs that share photos, and returns the groups in the order of their first
// photos.
func (s *Set) group(ctx context.Context, pairs []nearPair) ([]NearDuplicates, error) {
	groups := newGroups(len(s.Labels))
	for _, p := range pairs {
		groups.join(p.a, p.b)
	}
	inGroup := make(map[int][]nearPair) // by root
	for _, p := range pairs {
		root := groups.of(p.a)
		inGroup[root] = append(inGroup[root], p)
	}
	rows := make(map[int][]int)
	var order []int
	for row := range s.Labels {
		root := groups.of(row)
		if inGroup[root] == nil {
			continue
		}
		if rows[root] == nil {
			order = append(order, root)
		}
		rows[root] = append(rows[root], row)
	}
	all := []NearDuplicates{}
	for _, root := range order {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		g, err := s.nearDuplicatesOf(rows[root], inGroup[root])
		if err != nil {
			return nil, err
		}
		all = append(all, g)
	}
	return all, nil
}

// nearDuplicatesOf describes a group of photos that pairs connect.
func (s *Set) nearDuplicatesOf(rows []int, pairs []nearPair) (g NearDuplicates, err error) {
	labels := make(map[int]bool)
	for _, row := range rows {
		g.Photos = append(g.Photos, s.photoRef(row))
		labels[s.Labels[row]] = true
	}
	g.Labels = len(labels)
	near := false
	for _, p := range pairs {
		g.SameHash, near = g.SameHash || p.sameHash, near || !p.sameHash
	}
	cosine := 0.0
	if near { // any two photos of the group may be closer than those that connect it
		cosine, err = s.largestCosine(rows, rows, cosine)
	} else {
		for _, p := range pairs {
			if cosine, err = s.largestCosine([]int{p.a}, []int{p.b}, cosine); err != nil {
				break
			}
		}
	}
	g.Cosine = math.Round(cosine*1e9) / 1e9 // further digits differ between processors
	return g, err
}

// largestCosine returns v or the largest cosine of two different rows of a and b, if that is larger. It
// has two blocks in memory, and stops when no larger cosine is possible.
func (s *Set) largestCosine(a, b []int, v float64) (float64, error) {
	for own := range slices.Chunk(a, pairBlock) {
		for others := range slices.Chunk(b, pairBlock) {
			if others[0] > own[len(own)-1] && len(a) > 1 {
				break // a and b are the same, ascending rows
			}
			x, err := s.pick(own)
			if err != nil {
				return v, err
			}
			y, err := s.pick(others)
			if err != nil {
				return v, err
			}
			for i := range x {
				for j := range y {
					if own[i] == others[j] {
						continue
					}
					if v = max(v, floats.Dot(x[i].Unit, y[j].Unit)); v > 1-1e-10 {
						return v, nil
					}
				}
			}
		}
	}
	return v, nil
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
