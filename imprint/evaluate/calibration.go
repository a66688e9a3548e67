package evaluate

import (
	"cmp"
	"math"
	"slices"
)

// A Calibration compares the scores of predictions with their accuracy. Error is the expected
// calibration error: the mean absolute difference between score and accuracy over ten bins of
// equal width (Guo et al., ICML 2017).
type Calibration struct {
	Error float64 `json:"error"`
	Bins  []Bin   `json:"bins"` // without empty bins
}

// A Bin summarizes the predictions with scores in one tenth of 0…1.
type Bin struct {
	Count    int     `json:"count"`
	Score    float64 `json:"score"` // mean
	Accuracy float64 `json:"right"` // 0…1
}

func calibration(predictions []prediction, score func(prediction) float64) Calibration {
	bins := make([]Bin, 10)
	for _, p := range predictions {
		v := score(p)
		b := &bins[min(int(v*float64(len(bins))), len(bins)-1)]
		b.Count++
		b.Score += v
		if p.answer == p.class {
			b.Accuracy++
		}
	}
	c := Calibration{Bins: []Bin{}}
	for _, b := range bins {
		if b.Count == 0 {
			continue
		}
		c.Error += math.Abs(b.Score-b.Accuracy) / float64(len(predictions))
		b.Score /= float64(b.Count)
		b.Accuracy /= float64(b.Count)
		c.Bins = append(c.Bins, b)
	}
	return c
}

// RiskCoverage is the coverage and accuracy at a score threshold. All values are 0…1.
type RiskCoverage struct {
	Threshold float64 `json:"threshold"`
	Coverage  float64 `json:"coverage"` // fraction of predictions with a score of at least Threshold
	Accuracy  float64 `json:"accuracy"` // accuracy of these predictions
}

// riskCoverage returns about a hundred points of the risk-coverage curve.
func riskCoverage(predictions []prediction) []RiskCoverage {
	ordered := slices.Clone(predictions)
	slices.SortStableFunc(ordered, func(a, b prediction) int { return cmp.Compare(b.score, a.score) })
	curve := []RiskCoverage{}
	correct, next := 0, 1
	for i, p := range ordered {
		if p.answer == p.class {
			correct++
		}
		n := i + 1
		if n == len(ordered) || n >= next && ordered[n].score < p.score {
			curve = append(curve, RiskCoverage{p.score, float64(n) / float64(len(ordered)), float64(correct) / float64(n)})
			next = n + max(len(ordered)/100, 1)
		}
	}
	return curve
}
