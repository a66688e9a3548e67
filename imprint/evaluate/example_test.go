package evaluate_test

import (
	"context"
	"fmt"
	"log"
	"math/rand/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

// This example makes a set by hand. Workspace.Examples returns the set of a workspace, and Embed
// makes one from photos.
func ExampleSet_LeaveOneOut() {
	s := &evaluate.Set{Name: "fruit", Classes: []string{"apple", "pear"}}
	random := rand.New(rand.NewPCG(1, 2))
	add := func(label, looksLike int) {
		x := make([]float64, 8)
		for i := range x {
			x[i] = 0.2 * random.Float64()
		}
		x[looksLike] += 0.2 + 0.3*random.Float64()
		norm := classifier.Normalize(x)
		s.Labels, s.Units, s.Norms = append(s.Labels, label), append(s.Units, x), append(s.Norms, norm)
	}
	for range 6 {
		add(0, 0)
		add(1, 1)
	}
	add(1, 0) // a mislabeled apple

	ev, err := s.LeaveOneOut(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2}, 20)
	if err != nil {
		log.Fatal(err)
	}
	for _, r := range ev.Results {
		fmt.Printf("support %d: %.0f %%\n", r.Support, r.Mean)
	}
	h := ev.Heads[0]
	fmt.Printf("leave one out: %.0f %% of %d photos\n", 100*h.Accuracy.Value, h.Accuracy.N)
	for _, p := range ev.LabelSuspects {
		fmt.Printf("%s, labeled %s, looks like %s\n", p.Name(), p.Label, p.LooksLike)
	}
	// Output:
	// support 1: 86 %
	// support 2: 91 %
	// leave one out: 92 % of 13 photos
	// row 12, labeled pear, looks like apple
}
