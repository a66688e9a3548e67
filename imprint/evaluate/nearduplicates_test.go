package evaluate

import (
	"context"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
)

func TestNearDuplicates(t *testing.T) {
	s := cloud(3, 4, 300, 64, 2) // more than one block of pairsByCosine
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
