package classifier

import "math"

// An Estimate counts the correct predictions for examples that were left out of training.
type Estimate struct {
	Correct int `json:"right"`
	Total   int `json:"total"` // examples left out
	// Excluded is the number of examples that cannot be left out, because their class
	// has no other burst. Total does not include them.
	Excluded int `json:"alone"`
	// Bursts is the number of bursts to which the left-out examples belong. Each burst is left
	// out as a whole and counts as one independent observation.
	Bursts int `json:"bursts"`
}

// Accuracy returns Correct/Total, or 0 if Total is 0.
func (e Estimate) Accuracy() float64 {
	if e.Total == 0 {
		return 0
	}
	return float64(e.Correct) / float64(e.Total)
}

// Interval returns the 95 % Wilson confidence interval of the accuracy, counting each burst as
// one observation.
func (e Estimate) Interval() (low, high float64) {
	return Wilson(e.Accuracy(), e.Bursts)
}

// Wilson returns the 95 % confidence interval of a proportion p observed in n cases.
// If n is 0, the interval is 0 to 1. (Wilson: Probable Inference, the Law of Succession, and
// Statistical Inference, JASA 22, 1927.)
func Wilson(p float64, n int) (low, high float64) {
	if n == 0 {
		return 0, 1
	}
	const z = 1.959963984540054 // 95 % of a standard normal distribution is within ±z
	cases := float64(n)
	middle := (p + z*z/(2*cases)) / (1 + z*z/cases)
	half := float64(z / (1 + z*z/cases) * math.Sqrt(p*(1-p)/cases+z*z/(4*cases*cases)))
	return max(0, middle-half), min(1, middle+half)
}

// estimate counts the correct predictions of all classes, given those of each class.
func (t *training) estimate(byClass []Estimate) Estimate {
	e := Estimate{Excluded: t.excluded}
	for _, c := range byClass {
		e.Correct += c.Correct
		e.Total += c.Total
		e.Excluded += c.Excluded
		e.Bursts += c.Bursts
	}
	return e
}

// estimateByClass counts the correct predictions in leftOut, the outputs for left-out examples, for each
// class. It doesn't count t.excluded.
func (t *training) estimateByClass(leftOut [][]float64) []Estimate {
	estimates := make([]Estimate, len(t.labels))
	for _, burst := range t.bursts {
		e := &estimates[t.class[burst[0]]]
		switch {
		case t.isWholeClass(burst):
			e.Excluded += len(burst)
			continue
		case leftOut[burst[0]] == nil:
			continue
		}
		e.Bursts++
		for _, i := range burst {
			e.Total++
			if ArgMax(leftOut[i]) == t.class[i] {
				e.Correct++
			}
		}
	}
	return estimates
}
