package classifier_test

import (
	"fmt"
	"log"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
)

// photo returns a synthetic embedding for photo n of an object of the given kind. A real
// program gets embeddings from package backbone.
func photo(kind string, n int) []float64 {
	state := uint64(0)
	next := func() float64 {
		state = state*6364136223846793005 + 1442695040888963407
		return float64(state>>40) / (1 << 24)
	}
	x := make([]float64, backbonetest.Dim)
	for _, r := range kind {
		state = state*31 + uint64(r)
	}
	for i := range x {
		x[i] = next()
	}
	state = state*31 + uint64(n)
	for i := range x {
		x[i] += 1.5 * next()
	}
	return x
}

// photos returns n examples of each label.
func photos(n int, labels ...string) []classifier.Example {
	var examples []classifier.Example
	for _, label := range labels {
		for i := range n {
			x := photo(label, i)
			norm := classifier.Normalize(x)
			examples = append(examples, classifier.Example{Label: label, Unit: x, Norm: norm})
		}
	}
	return examples
}

// Imprint three classes and write them into a model.
func ExampleSums() {
	var sums classifier.Sums
	for _, label := range []string{"ball", "box", "cone"} {
		for n := range 5 {
			x := photo(label, n)
			classifier.Normalize(x)
			if err := sums.Add(label, x); err != nil {
				log.Fatal(err)
			}
		}
	}
	head, err := sums.Mean()
	if err != nil {
		log.Fatal(err)
	}

	model, err := tflite.Parse(backbonetest.Extractor())
	if err != nil {
		log.Fatal(err)
	}
	embedding := model.Subgraphs[0].Outputs[0]
	if err := head.Append(model, embedding, classifier.Float, nil); err != nil {
		log.Fatal(err)
	}
	if err := model.SetLabels(head.Labels); err != nil {
		log.Fatal(err)
	}
	file, err := model.Encode() // write this to model.tflite
	if err != nil {
		log.Fatal(err)
	}

	model, err = tflite.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	read, layout, err := classifier.Read(model)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(read.Labels, layout)
	// Output: [ball box cone] float
}

// Choose the best of several linear classifiers and estimate its accuracy.
func ExampleFit() {
	f, err := classifier.Fit(photos(10, "ball", "box", "cone"), classifier.Auto, false)
	if err != nil {
		log.Fatal(err)
	}
	low, high := f.Estimate.Interval()
	fmt.Println("recipe:", f.Recipe)
	fmt.Printf("accuracy: %d of %d, %.0f–%.0f %%\n", f.Estimate.Correct, f.Estimate.Total, 100*low, 100*high)

	scores := make([]float64, len(f.Head.Labels))
	x := photo("cone", 100)
	classifier.Normalize(x)
	f.Head.Logits(scores, x)
	classifier.ApplySoftmax(scores)
	best := classifier.ArgMax(scores)
	fmt.Printf("photo: %s %.0f %%\n", f.Head.Labels[best], 100*scores[best])
	// Output:
	// recipe: mean+ridge+lda
	// accuracy: 30 of 30, 89–100 %
	// photo: cone 100 %
}

// Answer "unknown" for photos that resemble no class.
func ExampleReject() {
	examples := photos(10, "ball", "box", "cone")
	f, err := classifier.Fit(examples, classifier.Ridge, false)
	if err != nil {
		log.Fatal(err)
	}
	negatives := photos(2, "chair", "cup", "door", "hat", "lamp", "shoe", "table", "tree", "van", "wall")
	head, rejection, err := classifier.Reject(f, examples, negatives, 0.05)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("classes:", head.Labels)
	fmt.Printf("false accepts: %d of %d\n", rejection.FalseAccepts, rejection.Negatives)
	fmt.Printf("rejected: %d of %d\n", rejection.Rejected, rejection.Positives)

	logits := make([]float64, len(head.Labels))
	for _, kind := range []string{"ball", "dog"} {
		x := photo(kind, 100)
		classifier.Normalize(x)
		head.Logits(logits, x)
		fmt.Printf("a %s: %s\n", kind, head.Labels[classifier.ArgMax(logits)])
	}
	// Output:
	// classes: [ball box cone unknown]
	// false accepts: 1 of 20
	// rejected: 6 of 30
	// a ball: ball
	// a dog: unknown
}

// Print a proportion with its 95 % confidence interval.
func ExampleWilson() {
	low, high := classifier.Wilson(18.0/20, 20)
	fmt.Printf("90 %% (%.0f–%.0f %%)\n", 100*low, 100*high)
	// Output: 90 % (70–97 %)
}
