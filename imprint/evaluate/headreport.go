package evaluate

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/classifier"
)

// A HeadReport describes the predictions of one head, overall, by class and by photo.
// Proportions and scores are 0…1.
type HeadReport struct {
	Head     string               `json:"head"`
	Recipe   string               `json:"recipe,omitempty"` // recipe that Head chose; "" if episodes differ
	Support  int                  `json:"shots"`            // support photos per class; 0 for leave-one-out
	Accuracy Proportion           `json:"accuracy"`
	Estimate *classifier.Estimate `json:"estimate,omitempty"` // leave-one-out estimate; nil for episodes
	Classes  []ClassReport        `json:"classes"`

	// Confusion[c][a] is the number of times that a photo of class c was classified as a. A photo
	// counts once for each episode that queries it.
	Confusion    [][]int        `json:"confusion"`
	Calibration  Calibration    `json:"calibration"`
	Uncalibrated Calibration    `json:"plain"`  // before temperature scaling
	RiskCoverage []RiskCoverage `json:"accept"` // from the highest threshold to the lowest
	Photos       []PhotoReport  `json:"photos"` // query photos, in the set's order
}

// A Proportion is a fraction of N photos with its 95 % interval, computed by classifier.Wilson. The
// interval counts each photo once, even if several episodes query it.
type Proportion struct {
	Value float64 `json:"share"`
	Low   float64 `json:"low"`
	High  float64 `json:"high"`
	N     int     `json:"of"`
}

func newProportion(value float64, n int) Proportion {
	low, high := classifier.Wilson(value, n)
	return Proportion{Value: value, Low: low, High: high, N: n}
}

// A ClassReport gives the recall and precision of one class. Each is nil if it is undefined.
type ClassReport struct {
	Label     string      `json:"label"`
	Recall    *Proportion `json:"recall"`
	Precision *float64    `json:"precision"`
}

// A PhotoReport summarizes the predictions for one photo in all episodes that query it.
type PhotoReport struct {
	PhotoRef
	Answer    string  `json:"answer"` // the most frequently predicted label
	Score     float64 `json:"score"`  // mean score of Answer
	TrueScore float64 `json:"own"`    // mean score of the photo's label
	Queries   int     `json:"asked"`  // number of episodes that query the photo
	Wrong     int     `json:"wrong"`  // number of episodes that misclassify the photo
}

// A PhotoRef identifies a photo of a set.
type PhotoRef struct {
	Row    int    `json:"row"`
	Path   string `json:"path,omitempty"`
	SHA256 string `json:"sha256,omitempty"`
	Label  string `json:"label"`
}

// Name returns the photo's path, or its row in the set if the path is unknown.
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

// A prediction is the classification of one photo in one episode.
type prediction struct {
	row, class, answer int
	score              float64 // score of the answer
	trueScore          float64 // score of the true class
	uncalibrated       float64 // score of the answer before temperature scaling
}

// predict turns logits, which it overwrites, into a prediction.
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

// headReport returns the report on one head, given its predictions.
func (s *Set) headReport(head, recipe string, support int, predictions []prediction) HeadReport {
	r := HeadReport{Head: head, Recipe: recipe, Support: support}
	r.Confusion = make([][]int, len(s.Classes))
	for c := range r.Confusion {
		r.Confusion[c] = make([]int, len(s.Classes))
	}
	byRow := make([][]prediction, len(s.Labels))
	correct := 0
	for _, p := range predictions {
		r.Confusion[p.class][p.answer]++
		byRow[p.row] = append(byRow[p.row], p)
		if p.answer == p.class {
			correct++
		}
	}
	photos := make([]int, len(s.Classes))
	for row, answers := range byRow {
		if len(answers) > 0 {
			photos[s.Labels[row]]++
			r.Photos = append(r.Photos, s.photoReport(row, answers))
		}
	}
	r.Accuracy = newProportion(float64(correct)/float64(max(len(predictions), 1)), len(r.Photos))
	for c, label := range s.Classes {
		r.Classes = append(r.Classes, classReport(label, c, r.Confusion, photos[c]))
	}
	r.Calibration = calibration(predictions, func(p prediction) float64 { return p.score })
	r.Uncalibrated = calibration(predictions, func(p prediction) float64 { return p.uncalibrated })
	r.RiskCoverage = riskCoverage(predictions)
	return r
}

// classReport computes the recall and precision of class c from a confusion matrix. photos is
// the number of query photos of the class.
func classReport(label string, c int, confusion [][]int, photos int) ClassReport {
	class := ClassReport{Label: label}
	hits, given, answered := confusion[c][c], 0, 0
	for a := range confusion {
		given += confusion[c][a]
		answered += confusion[a][c]
	}
	if given > 0 {
		r := newProportion(float64(hits)/float64(given), photos)
		class.Recall = &r
	}
	if answered > 0 {
		p := float64(hits) / float64(answered)
		class.Precision = &p
	}
	return class
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

// Hardest returns at most n misclassified photos, lowest TrueScore first.
func (r *HeadReport) Hardest(n int) []PhotoReport {
	var hard []PhotoReport
	for _, p := range r.Photos {
		if p.Wrong > 0 {
			hard = append(hard, p)
		}
	}
	slices.SortStableFunc(hard, func(a, b PhotoReport) int { return cmp.Compare(a.TrueScore, b.TrueScore) })
	return hard[:min(n, len(hard))]
}

// Confused reports how often photos of one class are classified as another.
type Confused struct {
	Label, Answer string
	Fraction      float64 // share of the predictions for photos of Label
}

// Confusions returns at most n pairs of classes, the most frequently confused first.
func (r *HeadReport) Confusions(n int) []Confused {
	var all []Confused
	for c, row := range r.Confusion {
		sum := 0
		for _, n := range row {
			sum += n
		}
		for a, n := range row {
			if a != c && n > 0 {
				all = append(all, Confused{r.Classes[c].Label, r.Classes[a].Label, float64(n) / float64(sum)})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b Confused) int { return cmp.Compare(b.Fraction, a.Fraction) })
	return all[:min(n, len(all))]
}
