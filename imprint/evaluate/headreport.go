package evaluate

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/classifier"
)

// A Detail is what is known of one head, photo by photo. Shares and scores are 0…1.
type HeadReport struct {
	Head string `json:"head"`
	// Recipe is what Head, left to choose, was in the end; "" where draws differ.
	Recipe string `json:"recipe,omitempty"`
	// Shots is how many photos of each class were taught; 0 is all but the one asked
	// about.
	Support  int        `json:"shots"`
	Accuracy Proportion `json:"accuracy"`
	// Estimate is what leaving out one photo at a time gave; nil for draws.
	Estimate *classifier.Estimate `json:"estimate,omitempty"`
	Classes  []ClassReport        `json:"classes"`
	// Confusion counts answers: Confusion[c][a] photos of class c were taken for a. A
	// photo counts as often as there are draws in which it was not taught.
	Confusion [][]int `json:"confusion"`
	// Calibration compares scores with shares of right answers; Plain does so for
	// scores that no temperature was fitted to.
	Calibration  Calibration `json:"calibration"`
	Uncalibrated Calibration `json:"plain"`
	// Accept is what accuracy becomes when answers of low score are not accepted, from
	// the strictest threshold to none.
	RiskCoverage []RiskCoverage `json:"accept"`
	// Photos are those that were asked about, in the set's order.
	Photos []PhotoReport `json:"photos"`
}

// A Share is a part of a whole and its 95 % interval, as if each photo had been asked
// about once.
type Proportion struct {
	Value float64 `json:"share"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	N     int     `json:"of"` // photos
}

func newProportion(share float64, of int) Proportion {
	low, high := classifier.Wilson(share, of)
	return Proportion{Value: share, Low: low, High: high, N: of}
}

// A ClassDetail says how one class fares.
type ClassReport struct {
	Label string `json:"label"`
	// Recall is the share of the class's photos that were named right, Precision the
	// share of answers of this name that were right; nil without any answer.
	Recall    *Proportion `json:"recall"`
	Precision *float64    `json:"precision"`
}

// A Calibration compares scores with the share of right answers. Error is the expected
// calibration error: the mean difference of the two over the answers, in ten bins of
// equal width (Guo et al., ICML 2017).
type Calibration struct {
	Error float64 `json:"error"`
	Bins  []Bin   `json:"bins"` // those with answers
}

// A Bin is the answers whose scores are in one tenth of 0…1.
type Bin struct {
	Count    int     `json:"count"`
	Score    float64 `json:"score"` // mean
	Accuracy float64 `json:"right"` // share
}

// Accept is what comes of accepting answers of at least a score.
type RiskCoverage struct {
	Threshold float64 `json:"threshold"`
	Coverage  float64 `json:"coverage"` // share of answers accepted
	Accuracy  float64 `json:"accuracy"` // of those
}

// A PhotoDetail is how one photo was answered.
type PhotoReport struct {
	PhotoRef
	// Answer is the label given most often, or the first of those.
	Answer    string  `json:"answer"`
	Score     float64 `json:"score"` // of Answer, mean
	TrueScore float64 `json:"own"`   // score of Label, mean
	Queries   int     `json:"asked"` // draws in which it was not taught
	Wrong     int     `json:"wrong"` // of those
}

// Pictured is a photo of a set.
type PhotoRef struct {
	Row    int    `json:"row"`
	Path   string `json:"path,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Label  string `json:"label"`
}

// Name is the photo's path, or its row for one that has none.
func (p PhotoRef) Name() string {
	if p.Path == "" {
		return fmt.Sprintf("row %d", p.Row)
	}
	return p.Path
}

func (s *Set) photoRef(row int) PhotoRef {
	p := PhotoRef{Row: row, Label: s.Classes[s.Labels[row]]}
	if s.Photos != nil {
		p.Path, p.SHA256 = s.Photos[row].Path, s.Photos[row].SHA256
	}
	return p
}

// prediction is one answer.
type prediction struct {
	row, class, answer             int
	score, trueScore, uncalibrated float64 // of the answer, of the class, of the answer without temperature
}

// predict makes an answer of logits, which it overwrites.
func predict(row, class int, logits []float64, temperature float64) prediction {
	p := prediction{row: row, class: class, answer: classifier.ArgMax(logits)}
	hot := make([]float64, len(logits))
	for i, v := range logits {
		hot[i] = v * temperature
	}
	classifier.ApplySoftmax(hot)
	classifier.ApplySoftmax(logits)
	p.uncalibrated, p.score, p.trueScore = hot[p.answer], logits[p.answer], logits[class]
	return p
}

// detail sums predictions up.
func (s *Set) headReport(head, recipe string, shots int, predictions []prediction) HeadReport {
	d := HeadReport{Head: head, Recipe: recipe, Support: shots}
	n := len(s.Classes)
	d.Confusion = make([][]int, n)
	for c := range n {
		d.Confusion[c] = make([]int, n)
	}
	asked := make([][]prediction, len(s.Labels))
	right := 0
	for _, p := range predictions {
		d.Confusion[p.class][p.answer]++
		asked[p.row] = append(asked[p.row], p)
		if p.answer == p.class {
			right++
		}
	}
	photos := make([]int, n)
	for row, answers := range asked {
		if len(answers) > 0 {
			photos[s.Labels[row]]++
			d.Photos = append(d.Photos, s.photoReport(row, answers))
		}
	}
	d.Accuracy = newProportion(float64(right)/float64(max(len(predictions), 1)), len(d.Photos))
	for c, label := range s.Classes {
		class := ClassReport{Label: label}
		hits, given, taken := d.Confusion[c][c], 0, 0
		for a := range n {
			given += d.Confusion[c][a]
			taken += d.Confusion[a][c]
		}
		if given > 0 {
			r := newProportion(float64(hits)/float64(given), photos[c])
			class.Recall = &r
		}
		if taken > 0 {
			p := float64(hits) / float64(taken)
			class.Precision = &p
		}
		d.Classes = append(d.Classes, class)
	}
	d.Calibration = calibration(predictions, func(p prediction) float64 { return p.score })
	d.Uncalibrated = calibration(predictions, func(p prediction) float64 { return p.uncalibrated })
	d.RiskCoverage = riskCoverage(predictions)
	return d
}

func (s *Set) photoReport(row int, answers []prediction) PhotoReport {
	p := PhotoReport{PhotoRef: s.photoRef(row), Queries: len(answers)}
	times, score := make(map[int]int), make(map[int]float64)
	for _, a := range answers {
		times[a.answer]++
		score[a.answer] += a.score
		p.TrueScore += a.trueScore / float64(len(answers))
		if a.answer != a.class {
			p.Wrong++
		}
	}
	best := -1
	for c := range s.Classes {
		if times[c] > 0 && (best < 0 || times[c] > times[best]) {
			best = c
		}
	}
	p.Answer, p.Score = s.Classes[best], score[best]/float64(times[best])
	return p
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

// accept gives about a hundred points of the curve.
func riskCoverage(predictions []prediction) []RiskCoverage {
	ordered := slices.Clone(predictions)
	slices.SortStableFunc(ordered, func(a, b prediction) int { return cmp.Compare(b.score, a.score) })
	curve := []RiskCoverage{}
	right, next := 0, 1
	for i, p := range ordered {
		if p.answer == p.class {
			right++
		}
		n := i + 1
		if n == len(ordered) || n >= next && ordered[n].score < p.score {
			curve = append(curve, RiskCoverage{p.score, float64(n) / float64(len(ordered)), float64(right) / float64(n)})
			next = n + max(len(ordered)/100, 1)
		}
	}
	return curve
}

// Hard are the photos that were named wrong, those first whose own class was thought
// least likely; at most so many.
func (d *HeadReport) Hardest(most int) []PhotoReport {
	var hard []PhotoReport
	for _, p := range d.Photos {
		if p.Wrong > 0 {
			hard = append(hard, p)
		}
	}
	slices.SortStableFunc(hard, func(a, b PhotoReport) int { return cmp.Compare(a.TrueScore, b.TrueScore) })
	return hard[:min(most, len(hard))]
}

// A Mistake is how often photos of one class were taken for another.
type Confused struct {
	Label, Answer string
	Fraction      float64 // of the answers for Label
}

// Mistakes are the most frequent ones, at most so many.
func (d *HeadReport) Confusions(most int) []Confused {
	var all []Confused
	for c, row := range d.Confusion {
		sum := 0
		for _, n := range row {
			sum += n
		}
		for a, n := range row {
			if a != c && n > 0 {
				all = append(all, Confused{d.Classes[c].Label, d.Classes[a].Label, float64(n) / float64(sum)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Confused) int { return cmp.Compare(b.Fraction, a.Fraction) })
	return all[:min(most, len(all))]
}
