package evaluate

import (
	"context"
	"errors"
	"math"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got error %v, want %v", err, want)
	}
}

// corners returns a set of three classes with five photos each. The first three embeddings of a
// class lie on the class's own axis, the last two on the next class's axis.
func corners() *Set {
	s := &Set{Name: "corners", Classes: []string{"x", "y", "z"}}
	for c := range s.Classes {
		for i := range 5 {
			u := make([]float64, 3)
			u[(c+i/3)%3] = 1
			s.Labels, s.Units, s.Norms = append(s.Labels, c), append(s.Units, u), append(s.Norms, 1)
		}
	}
	return s
}

// twoEpisodes returns corners with two episodes. The first trains each class on its own axis, the
// second on the next class's axis.
func twoEpisodes() *Set {
	s := corners()
	s.Support = [][][]int{{{0, 1}, {5, 6}, {10, 11}}, {{3, 4}, {8, 9}, {13, 14}}}
	s.Query = [][]int{{2, 3, 7, 12}, {0, 1, 2, 5, 9}}
	return s
}

func TestEvaluate(t *testing.T) {
	s := twoEpisodes()
	ev, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2})
	if err != nil {
		t.Fatal(err)
	}
	// 3 of 4 and 1 of 5 predictions are correct.
	want := []Accuracy{{"mean", 1, 47.5, 27.5, 2}, {"mean", 2, 47.5, 27.5, 2}}
	for i := range ev.Results {
		for _, v := range []*float64{&ev.Results[i].Mean, &ev.Results[i].Std} {
			*v = math.Round(*v*1e9) / 1e9
		}
	}
	if !slices.Equal(ev.Results, want) {
		t.Errorf("got %+v, want %+v", ev.Results, want)
	}
	if d := ev.Heads; len(d) != 1 || d[0].Support != 2 || len(d[0].Photos) != 8 || !reflect.DeepEqual(d[0].Confusion, [][]int{{1, 1, 3}, {1, 2, 0}, {0, 0, 1}}) {
		t.Errorf("got reports %+v, want one of 2 support photos and 8 query photos", d)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	_, err = s.Evaluate(cancelled, []classifier.Method{classifier.Mean}, []int{1, 2})
	wantError(t, err, context.Canceled)

	tests := map[string]func(*Set) []int{
		"too many support photos": func(s *Set) []int { return []int{3} },
		"no support photos":       func(s *Set) []int { return []int{0} },
		"no episodes":             func(s *Set) []int { s.Support, s.Query = nil, nil; return []int{1} },
		"support without query":   func(s *Set) []int { s.Query = s.Query[:1]; return []int{1} },
		"class without support":   func(s *Set) []int { s.Support[1] = s.Support[1][:2]; return []int{1} },
		"row too large":           func(s *Set) []int { s.Query[1][0] = 15; return []int{1} },
		"negative row":            func(s *Set) []int { s.Support[0][0][0] = -1; return []int{1} },
		"class too large":         func(s *Set) []int { s.Labels[0] = 3; return []int{1} },
		"no query photos":         func(s *Set) []int { s.Query[0] = nil; return []int{1} },
		"missing embedding":       func(s *Set) []int { s.Units = s.Units[1:]; return []int{1} },
		"short embedding":         func(s *Set) []int { s.Units[2] = s.Units[2][:2]; return []int{1} },
		"class twice":             func(s *Set) []int { s.Classes[1] = "x"; return []int{1} },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			s := twoEpisodes()
			_, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, spoil(s))
			wantError(t, err, ErrProtocol)
		})
	}
}

// TestStoredSets checks, on stored embeddings of real photos, that accuracy rises with the
// number of support photos.
func TestStoredSets(t *testing.T) {
	for set, least := range map[string]float64{"clothing": 60, "flowers17": 60} {
		s, err := ReadSet(reference.Path(t, "embeddings", set), dataset.Squash)
		if err != nil {
			t.Fatal(err)
		}
		var r []Accuracy
		for _, k := range []int{1, 5, 20} {
			all, err := s.episodes(context.Background(), classifier.Mean, k)
			if err != nil {
				t.Fatal(err)
			}
			r = append(r, accuracyOf(classifier.Mean, k, all))
		}
		t.Log(set, r)
		if r[0].Mean >= r[1].Mean || r[1].Mean >= r[2].Mean || r[2].Mean < least {
			t.Errorf("%s: got %+v, want a rise to at least %v", set, r, least)
		}
	}
}

// BenchmarkEvaluate measures the evaluation of stored embeddings.
func BenchmarkEvaluate(b *testing.B) {
	for _, set := range []string{"clothing", "flowers17"} {
		s, err := ReadSet(reference.Path(b, "embeddings", set), dataset.Crop)
		if err != nil {
			b.Fatal(err)
		}
		for _, support := range [][]int{{1}, {1, 5, 10, 20}} {
			b.Run(set, func(b *testing.B) {
				b.ReportMetric(float64(len(s.Labels)), "photos")
				for b.Loop() {
					if _, err := s.Evaluate(context.Background(), []classifier.Method{classifier.Auto, classifier.Mean}, support); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
