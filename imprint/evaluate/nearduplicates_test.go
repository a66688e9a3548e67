package evaluate

import (
	"context"
	"math"
	"reflect"
	"slices"
	"testing"

	"gonum.org/v1/gonum/floats"

	"github.com/imprintkit/imprint/classifier"
)

func TestNearDuplicates(t *testing.T) {
	s := cloud(3, 4, 300, 64, 2)
	nudge := func(to, from int) {
		s.Units[to] = slices.Clone(s.Units[from])
		s.Units[to][0] += 0.01
		classifier.Normalize(s.Units[to])
	}
	nudge(299, 3)
	nudge(601, 299) // near row 299, so row 601 joins the group of row 3
	nudge(1199, 1198)
	s.Hashes = make([]uint64, len(s.Labels))
	s.Hashes[20], s.Hashes[950] = 0xf0f0f0f00f0f0f0f, 0xf0f0f0f00f0f0f0f
	s.Hashes[30], s.Hashes[31] = 1, 1 // ignored, because almost all bits are equal
	got, err := s.nearDuplicates(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	var rows [][]int
	for _, g := range got {
		var r []int
		for _, p := range g.Photos {
			r = append(r, p.Row)
		}
		rows = append(rows, r)
		if hash := r[0] == 20; g.SameHash != hash || (g.Cosine > classifier.NearDuplicateCosine) == hash || g.Labels != map[int]int{3: 2, 20: 2, 1198: 1}[r[0]] {
			t.Errorf("got group %+v", g)
		}
	}
	if want := [][]int{{3, 299, 601}, {20, 950}, {1198, 1199}}; !reflect.DeepEqual(rows, want) {
		t.Errorf("got %v, want %v", rows, want)
	}
}

// TestNearDuplicatesOfBlocks compares several blocks with all pairs, one by one.
func TestNearDuplicatesOfBlocks(t *testing.T) {
	s := cloud(4, 3, pairBlock/2, 16, 2)
	examples := s.examples()
	limit := classifier.NearDuplicateDistance(examples)
	sets, cosines := newGroups(len(examples)), make(map[int]float64)
	var pairs [][2]int
	for a := range examples {
		for b := range a {
			if d := floats.Distance(s.Units[a], s.Units[b], 2); d*d <= limit {
				sets.join(a, b)
				pairs = append(pairs, [2]int{a, b})
			}
		}
	}
	for _, p := range pairs {
		root := sets.of(p[0])
		cosines[root] = max(cosines[root], floats.Dot(s.Units[p[0]], s.Units[p[1]]))
	}
	got, err := s.nearDuplicates(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	photos := 0
	for _, g := range got {
		root := sets.of(g.Photos[0].Row)
		if math.Abs(g.Cosine-cosines[root]) > 1e-9 {
			t.Errorf("row %d: got cosine %v, want %v", g.Photos[0].Row, g.Cosine, cosines[root])
		}
		for _, p := range g.Photos {
			if sets.of(p.Row) != root {
				t.Errorf("row %d is in the group of row %d", p.Row, g.Photos[0].Row)
			}
		}
		photos += len(g.Photos)
	}
	want := 0
	for row := range examples {
		if _, ok := cosines[sets.of(row)]; ok {
			want++
		}
	}
	if len(got) != len(cosines) || photos != want || want < 20 {
		t.Errorf("got %d groups of %d photos, want %d of %d", len(got), photos, len(cosines), want)
	}
}
