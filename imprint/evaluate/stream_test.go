package evaluate

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tools/race"
)

// streamOf returns a stream of the photos of s. It counts in blocks of a few examples.
func streamOf(t *testing.T, s *Set) *Stream {
	t.Helper()
	all, dim := s.examples(), len(s.Units[0])
	described := *s
	described.Units, described.Norms = nil, nil
	st := &Stream{Set: &described, Sqrt: s.roots()}
	for row := range all {
		st.Rows = append(st.Rows, row)
	}
	slices.SortFunc(st.Rows, func(a, b int) int {
		return cmp.Or(cmp.Compare(s.Labels[a], s.Labels[b]), slices.Compare(s.Units[a], s.Units[b]))
	})
	sorted, totals := make([]classifier.Example, len(all)), classifier.NewTotals(dim, st.Sqrt)
	for i, row := range st.Rows {
		sorted[i] = all[row]
		if err := totals.Add(all[row].Label, all[row].Unit); err != nil {
			t.Fatal(err)
		}
	}
	near := func(first, last int) [][2]int {
		pairs := classifier.NearDuplicatesBetween(sorted[first:last], sorted[first:last], totals.NearDuplicateDistance())
		for k := range pairs {
			pairs[k][0], pairs[k][1] = first+pairs[k][0], first+pairs[k][1]
		}
		return pairs
	}
	st.Examples = &classifier.Stream{Totals: totals, Read: func(indexes []int) ([]classifier.Example, error) {
		var some []classifier.Example
		for _, i := range indexes {
			some = append(some, sorted[i])
		}
		return some, nil
	}}
	first := 0
	for _, n := range totals.Counts() {
		st.Examples.Bursts = append(st.Examples.Bursts, classifier.Groups(near(first, first+n))...)
		first += n
	}
	st.NearDuplicates = func(context.Context) ([][2]int, error) { return near(0, len(sorted)), nil }
	st.Correct = func(_ context.Context, episodes []Episode) ([]int, error) {
		correct := make([]int, len(episodes))
		for d, e := range episodes {
			for i := 0; i < len(sorted); i += 37 {
				correct[d] += e.Correct(i, sorted[i:min(i+37, len(sorted))])
			}
		}
		return correct, nil
	}
	return st
}

// TestStream compares the evaluation of a stream with that of the set.
func TestStream(t *testing.T) {
	for _, test := range []struct {
		classes, each int
		spread        float64
	}{{3, 400, 1.5}, {5, 700, 0.6}} { // of more than 2000 photos, only some are left out
		t.Run(fmt.Sprint(test.classes*test.each, " photos"), func(t *testing.T) {
			if race.Enabled && test.each > 400 {
				t.Skip("fewer photos are divided among the same goroutines")
			}
			s := cloud(7, test.classes, test.each, 24, test.spread)
			s.Hashes = make([]uint64, len(s.Labels))
			for row := range s.Labels {
				s.Photos = append(s.Photos, Photo{Path: fmt.Sprint(row, ".png")})
				s.Hashes[row] = 0xf0f0f0f0f000 + uint64(row/2*3%1000)
			}
			st := streamOf(t, s)
			heads := []classifier.Method{classifier.Auto, classifier.Mean}
			want, err := s.LeaveOneOut(context.Background(), heads, []int{1, 4, 1000}, 3)
			if err != nil {
				t.Fatal(err)
			}
			got, err := st.LeaveOneOut(context.Background(), heads, []int{1, 4, 1000}, 3)
			if err != nil {
				t.Fatal(err)
			}
			if len(want.Results) != 4 || len(want.Heads[0].Photos) == 0 || len(want.NearDuplicates) == 0 || len(want.LabelSuspects) == 0 {
				t.Errorf("the evaluation lacks something: %d results, %d photos, %d near-duplicates, %d suspects",
					len(want.Results), len(want.Heads[0].Photos), len(want.NearDuplicates), len(want.LabelSuspects))
			}
			if g, w := encode(t, got), encode(t, want); g != w {
				t.Errorf("got  %.2000s\nwant %.2000s", g, w)
			}
		})
	}
}

func encode(t *testing.T, e *Evaluation) string {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestStreamErrors(t *testing.T) {
	s := cloud(7, 3, 400, 24, 1)
	mine := errors.New("mine")
	for _, test := range []struct {
		name   string
		change func(*Stream)
		want   error
	}{
		{"a row twice", func(st *Stream) { st.Rows[0] = st.Rows[1] }, ErrProtocol},
		{"a row is missing", func(st *Stream) { st.Rows = st.Rows[1:] }, ErrProtocol},
		{"near-duplicates", func(st *Stream) {
			st.NearDuplicates = func(context.Context) ([][2]int, error) { return nil, mine }
		}, mine},
		{"correct", func(st *Stream) {
			st.Correct = func(context.Context, []Episode) ([]int, error) { return nil, mine }
		}, mine},
		{"read", func(st *Stream) {
			st.Examples.Read = func([]int) ([]classifier.Example, error) { return nil, mine }
		}, mine},
	} {
		st := streamOf(t, s)
		test.change(st)
		if _, err := st.LeaveOneOut(context.Background(), []classifier.Method{classifier.Mean}, []int{1}, 1); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
	}
}
