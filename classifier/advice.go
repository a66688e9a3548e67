package classifier

import "math"

// Advice names the class that is expected to gain the most from more photos.
type Advice struct {
	Label  string `json:"label"`
	Photos int    `json:"more"` // number of photos to add
	// Recall is the proportion of the class's photos that are classified correctly when left out
	// of training.
	Recall float64 `json:"now"`
	// ExpectedRecall is the estimated recall with Photos more photos.
	ExpectedRecall float64 `json:"then"`
}

// errorExponent is the exponent of the learning curve: with n photos per class, the error rate
// is proportional to n^−errorExponent. On nine datasets, the exponent was 0.49 from 5 to 10
// photos per class and 0.34 from 10 to 20.
const errorExponent = 0.4

// PhotosFor returns the number of photos with which a class should have the wanted recall, below 1, if it
// has recall with the given number of photos.
func PhotosFor(wanted, recall float64, photos int) int {
	if recall >= wanted {
		return photos
	}
	// The errors fall by (photos/n)^errorExponent.
	n := float64(photos) * exp(log((1-recall)/(1-wanted))/errorExponent)
	return int(math.Min(math.Ceil(n), math.MaxInt32))
}

// advise returns the class that is expected to gain the most from more photos. It considers only
// classes with at least three left-out examples, and returns nil if all of these examples are
// classified correctly.
func (t *training) advise(leftOut [][]float64) *Advice {
	const photos, minTotal = 5, 3
	correct, total := make([]int, len(t.labels)), make([]int, len(t.labels))
	for i, row := range leftOut {
		if row == nil {
			continue
		}
		total[t.class[i]]++
		if ArgMax(row) == t.class[i] {
			correct[t.class[i]]++
		}
	}
	var best *Advice
	for c, n := range total {
		if n < minTotal || correct[c] == n {
			continue
		}
		k := float64(t.count[c])
		recall := float64(correct[c]) / float64(n)
		// Unlike math.Pow, exp and log return the same bits on every processor.
		expected := 1 - float64((1-recall)*exp(-errorExponent*log((k+photos)/k)))
		if best == nil || expected-recall > best.ExpectedRecall-best.Recall {
			best = &Advice{t.labels[c], photos, recall, math.Min(expected, 1)}
		}
	}
	return best
}
