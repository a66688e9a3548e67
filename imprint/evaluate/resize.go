package evaluate

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// A ResizeChoice is the result of [ChooseResize].
type ResizeChoice struct {
	Resize     dataset.Resize    `json:"fit"`
	Candidates []ResizeCandidate `json:"tried"`
	StdErr     float64           `json:"std_err"` // standard error of the difference between the log losses
}

// A ResizeCandidate is a resize mode with the leave-one-out accuracy of a head trained with it.
// LogLoss is the mean of −log of the true class's score, over the photos that were left out with
// both modes. It is nil if there are fewer than ten of these photos.
type ResizeCandidate struct {
	Resize   dataset.Resize      `json:"fit"`
	LogLoss  *float64            `json:"loss"`
	Estimate classifier.Estimate `json:"-"`
	Accuracy float64             `json:"accuracy"` // accuracy in Estimate
}

// minCompared is the smallest number of photos on which modes and backbones are compared. With fewer
// photos, a difference proves nothing.
const minCompared = 10

// ResizeCandidates returns the modes that [ChooseResize] compares, the default first.
func ResizeCandidates() []dataset.Resize { return slices.Clone(resizeCandidates[:]) }

var resizeCandidates = [...]dataset.Resize{dataset.Crop, dataset.Squash}

// A LeftOut holds a head trained with one resize mode, and the log loss of each photo left out,
// by the photo's index.
type LeftOut struct {
	head   *classifier.Fitted
	losses map[int]float64
}

// LeaveOut trains a head on examples, with root as in classifier.Fit, and classifies each example
// with a head trained without it. places lists the index of each example among all photos, so that
// modes are compared on the same photos.
func LeaveOut(examples []classifier.Example, places []int, method classifier.Method, root bool) (LeftOut, error) {
	f, left, err := classifier.LeaveOneOut(examples, method, root)
	if err != nil {
		return LeftOut{}, err
	}
	l := LeftOut{f, make(map[int]float64)}
	for i, scores := range left {
		if scores != nil && !math.IsNaN(f.LogLoss) {
			classifier.ApplySoftmax(scores)
			l.losses[places[i]] = -math.Log(max(scores[slices.Index(f.Head.Labels, examples[i].Label)], math.SmallestNonzeroFloat64))
		}
	}
	return l, nil
}

// ChooseResize calls train with the index of each of [ResizeCandidates], and compares the log
// losses over the photos that were left out with both modes. It chooses the second mode if its log
// loss is lower by more than one standard error. best is the index of the chosen mode.
func ChooseResize(train func(candidate int) (LeftOut, error)) (choice *ResizeChoice, best int, err error) {
	var heads [len(resizeCandidates)]LeftOut
	for i, mode := range resizeCandidates {
		if heads[i], err = train(i); err != nil {
			return nil, 0, fmt.Errorf("choose the resize mode: %s: %w", mode, err)
		}
	}
	var losses [len(resizeCandidates)][]float64
	var gains []float64
	for _, place := range slices.Sorted(maps.Keys(heads[0].losses)) {
		first := heads[0].losses[place]
		if second, ok := heads[1].losses[place]; ok {
			losses[0], losses[1], gains = append(losses[0], first), append(losses[1], second), append(gains, first-second)
		}
	}
	choice = new(ResizeChoice)
	for i, mode := range resizeCandidates {
		c := ResizeCandidate{Resize: mode}
		if heads[i].head != nil {
			c.Estimate, c.Accuracy = heads[i].head.Estimate, heads[i].head.Estimate.Accuracy()
		}
		if len(gains) >= minCompared {
			mean := stat.Mean(losses[i], nil)
			c.LogLoss = &mean
		}
		choice.Candidates = append(choice.Candidates, c)
	}
	if len(gains) >= minCompared {
		gain, std := stat.MeanStdDev(gains, nil)
		choice.StdErr = std / math.Sqrt(float64(len(gains)))
		if gain > choice.StdErr {
			best = 1
		}
	}
	choice.Resize = resizeCandidates[best]
	return choice, best, nil
}
