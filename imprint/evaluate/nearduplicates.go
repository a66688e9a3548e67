package evaluate

import (
	"cmp"
	"context"
	"math"
	"math/bits"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/floats"

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
	sameHash bool
}

// nearDuplicates returns the groups of near-duplicates: first the groups with several labels, then
// by decreasing cosine.
func (s *Set) nearDuplicates(ctx context.Context) ([]NearDuplicates, error) {
	examples := make([]classifier.Example, len(s.Units))
	for i, x := range s.Units {
		examples[i].Unit = x
	}
	pairs, err := pairsByDistance(ctx, examples)
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

// pairBlock is the number of examples in a block of pairsByDistance.
const pairBlock = 2048

// pairsByDistance compares all embeddings with each other, in pairs of blocks on all cores. The pairs
// that it returns connect all near-duplicates.
func pairsByDistance(ctx context.Context, examples []classifier.Example) ([]nearPair, error) {
	limit := classifier.NearDuplicateDistance(examples)
	blocks := slices.Collect(slices.Chunk(examples, pairBlock))
	found := make([][][2]int, len(blocks)*len(blocks))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range blocks {
		for j := range i + 1 {
			group.Go(func() error {
				if ctx.Err() == nil {
					found[i*len(blocks)+j] = classifier.NearDuplicatesBetween(blocks[i], blocks[j], limit)
				}
				return ctx.Err()
			})
		}
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	var pairs []nearPair
	for k, some := range found {
		for _, p := range some {
			pairs = append(pairs, nearPair{a: k/len(blocks)*pairBlock + p[0], b: k%len(blocks)*pairBlock + p[1]})
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
			pairs = append(pairs, nearPair{a: i, b: b, sameHash: true})
		} else {
			first[h] = i
		}
	}
	return pairs
}

// group joins pairs that share photos, and returns the groups in the order of their first
// photos.
func (s *Set) group(pairs []nearPair) []NearDuplicates {
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
		all = append(all, s.nearDuplicatesOf(rows[root], inGroup[root]))
	}
	return all
}

// nearDuplicatesOf describes a group of photos that pairs connect.
func (s *Set) nearDuplicatesOf(rows []int, pairs []nearPair) (g NearDuplicates) {
	labels := make(map[int]bool)
	for _, row := range rows {
		g.Photos = append(g.Photos, s.photoRef(row))
		labels[s.Labels[row]] = true
	}
	g.Labels = len(labels)
	cosine, near := 0.0, false
	for _, p := range pairs {
		cosine = max(cosine, floats.Dot(s.Units[p.a], s.Units[p.b]))
		g.SameHash, near = g.SameHash || p.sameHash, near || !p.sameHash
	}
	if near { // another pair of the group may be closer than those that connect it
		cosine = s.largestCosine(rows, cosine)
	}
	g.Cosine = math.Round(cosine*1e9) / 1e9 // further digits differ between processors
	return g
}

// largestCosine returns the largest cosine of two of the rows, and at least v. It stops when no larger
// one is possible.
func (s *Set) largestCosine(rows []int, v float64) float64 {
	for i, a := range rows {
		for _, b := range rows[:i] {
			if v > 1-1e-10 {
				return v
			}
			v = max(v, floats.Dot(s.Units[a], s.Units[b]))
		}
	}
	return v
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
