package imprint

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
)

func TestEstimate(t *testing.T) {
	w := openNew(t)
	if got := w.Head().Estimate; got != (classifier.Estimate{}) {
		t.Errorf("without photos: got %+v, want the zero Estimate", got)
	}
	join := func(parts ...[]Observation) []Observation { return slices.Concat(parts...) }
	three := join(varied("blue", 0, 4), varied("red", 1, 4), varied("green", 2, 4))
	second := varied("blue", 0, 4)
	for i := range second {
		second[i].Taken = time.Unix(int64(i/2), 0)
	}
	tests := []struct {
		name  string
		items []Observation
		want  classifier.Estimate
	}{
		{"one photo", varied("blue", 0, 1), classifier.Estimate{Excluded: 1}},
		{"one class", varied("blue", 0, 4), classifier.Estimate{Correct: 4, Total: 4, Bursts: 4}},
		{"three classes", three, classifier.Estimate{Correct: 12, Total: 12, Bursts: 12}},
		{"one mislabeled photo", join(three, varied("blue", 1, 5)[4:]), classifier.Estimate{Correct: 12, Total: 13, Bursts: 13}},
		{"single-photo class", join(three, varied("white", 3, 1)), classifier.Estimate{Correct: 12, Total: 12, Bursts: 12, Excluded: 1}},
		{"pairs of photos taken in the same second", join(second, varied("red", 1, 4)), classifier.Estimate{Correct: 8, Total: 8, Bursts: 6}},
		{"more than one chunk", join(varied("blue", 0, estimateChunk+20), varied("green", 2, 2*estimateChunk)),
			classifier.Estimate{Correct: 3*estimateChunk + 20, Total: 3*estimateChunk + 20, Bursts: 3*estimateChunk + 20}},
	}
	for _, test := range tests {
		if testing.Short() && len(test.items) > 1000 {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			for _, threads := range []int{0, 1, 3} {
				dir, o := newWorkspace(t)
				o.Threads, o.Head = threads, classifier.Mean
				w := openWorkspace(t, dir, o)
				added, err := w.AddObservations(t.Context(), test.items)
				if err != nil {
					t.Fatal(err)
				}
				if added.Estimate != test.want || w.Head().Estimate != test.want {
					t.Errorf("%d threads: got %+v from Add, %+v from Head, want %+v", threads, added.Estimate, w.Head().Estimate, test.want)
				}
			}
		})
	}
}

// TestEstimateNearDuplicates adds classes of near-duplicates. Each class is one burst, so
// leaving the burst out leaves no photos of the class.
func TestEstimateNearDuplicates(t *testing.T) {
	w := openNew(t)
	want := classifier.Estimate{Excluded: 12}
	if added := mustAdd(t, w, kinds(0, 3)...); added.Estimate != want {
		t.Errorf("got %+v, want %+v", added.Estimate, want)
	}
}

// varied returns n random embeddings of 48 values. All embeddings of one kind are large in the
// same twelve values.
func varied(label string, kind, n int) []Observation {
	all := make([]Observation, n)
	for i := range all {
		r := rand.New(rand.NewPCG(uint64(kind), uint64(i)))
		o := Observation{Label: label, Path: fmt.Sprint(label, i), Embedding: make([]byte, 48)}
		for j := range o.Embedding {
			o.Embedding[j] = byte(r.IntN(100))
			if j/12 == kind {
				o.Embedding[j] += 100
			}
		}
		o.Photo = sha256.Sum256(o.Embedding)
		all[i] = o
	}
	return all
}
