package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/classifier"
)

// Rejected is how well photos of things that were not taught are told from those of
// classes that were, on average over draws. Shares are in percent.
type OpenSet struct {
	Head    string `json:"head"`
	Support int    `json:"shots"` // photos a class
	// AUC is the area under the ROC curve: how often a photo of a class taught scores
	// higher than one of another class.
	AUC float64 `json:"auc"`
	// Asked is the share of photos of other classes that were to be taken for one
	// taught, Accepted the share that was.
	TargetFAR float64 `json:"asked"`
	FAR       float64 `json:"accepted"`
	// Kept is the share of photos of the classes taught that were not rejected, Right
	// that of those named right.
	TPR      float64 `json:"kept"`
	Correct  float64 `json:"right"`
	Episodes int     `json:"draws"`
}

// EvaluateUnknown teaches one half of the classes and asks about photos of all, then the
// other half, in each draw; rate, 0…1, of the photos of classes that were not taught are
// to be accepted.
func (s *Set) EvaluateOpenSet(ctx context.Context, heads []classifier.Method, shots []int, rate float64) ([]OpenSet, error) {
	fail := func(err error) ([]OpenSet, error) {
		return nil, fmt.Errorf("evaluate unknown classes of %s: %w", s.Name, err)
	}
	if err := s.check(); err != nil {
		return fail(err)
	}
	if len(s.Classes) < 8 {
		return fail(fmt.Errorf("%w: it has %d classes, and 8 are the least, of which 4 are taught", ErrProtocol, len(s.Classes)))
	}
	var results []OpenSet
	for _, h := range heads {
		for _, k := range shots {
			var all []OpenSet
			for d := range s.Support {
				for half := range 2 {
					if err := ctx.Err(); err != nil {
						return fail(err)
					}
					r, err := s.openSetEpisode(h, d, k, half, rate)
					if err != nil {
						return fail(err)
					}
					all = append(all, r)
				}
			}
			mean := func(of func(OpenSet) float64) float64 {
				v := make([]float64, len(all))
				for i, r := range all {
					v[i] = of(r)
				}
				return stat.Mean(v, nil)
			}
			results = append(results, OpenSet{
				Head: string(h), Support: k, Episodes: len(s.Support), TargetFAR: 100 * rate,
				AUC:     mean(func(r OpenSet) float64 { return r.AUC }),
				FAR:     mean(func(r OpenSet) float64 { return r.FAR }),
				TPR:     mean(func(r OpenSet) float64 { return r.TPR }),
				Correct: mean(func(r OpenSet) float64 { return r.Correct }),
			})
		}
	}
	return results, nil
}

// rejected teaches every second class, beginning at half.
func (s *Set) openSetEpisode(method classifier.Method, d, k, half int, rate float64) (r OpenSet, err error) {
	var examples []classifier.Example
	for c, rows := range s.Support[d] {
		if k < 1 || k > len(rows) {
			return r, fmt.Errorf("%w: draw %d has %d photos of %q to teach", ErrProtocol, d, len(rows), s.Classes[c])
		}
		if c%2 != half {
			continue
		}
		for _, row := range rows[:k] {
			examples = append(examples, classifier.Example{Label: s.Classes[c], Unit: s.Units[row], Norm: s.Norms[row]})
		}
	}
	fitted, err := classifier.Fit(examples, method, s.roots())
	if err != nil {
		return r, err
	}
	head, _, err := classifier.Reject(fitted, examples, nil, rate)
	if err != nil {
		return r, err
	}
	logits, last := make([]float64, len(head.Labels)), len(head.Labels)-1
	var known, other []float64 // by how much the best class is above the threshold
	for _, row := range s.Query[d] {
		head.Logits(logits, s.Units[row])
		best := classifier.ArgMax(logits[:last])
		above := logits[best] - logits[last]
		if s.Labels[row]%2 != half {
			other = append(other, above)
			if above >= 0 {
				r.FAR++
			}
			continue
		}
		known = append(known, above)
		if above >= 0 {
			r.TPR++
			if head.Labels[best] == s.Classes[s.Labels[row]] {
				r.Correct++
			}
		}
	}
	if len(known) == 0 || len(other) == 0 {
		return r, fmt.Errorf("%w: draw %d has no photos of one half of the classes", ErrProtocol, d)
	}
	r.AUC = areaUnderROC(known, other)
	r.FAR *= 100 / float64(len(other))
	r.TPR *= 100 / float64(len(known))
	r.Correct *= 100 / float64(len(known))
	return r, nil
}

// areaUnderROC is the share of pairs in which the known scores higher, ties half.
func areaUnderROC(known, other []float64) float64 {
	type score struct {
		v     float64
		known bool
	}
	var all []score
	for _, v := range known {
		all = append(all, score{v, true})
	}
	for _, v := range other {
		all = append(all, score{v, false})
	}
	slices.SortFunc(all, func(a, b score) int { return cmp.Compare(a.v, b.v) })
	var area, below float64
	for i := 0; i < len(all); {
		var k, o float64
		j := i
		for ; j < len(all) && all[j].v == all[i].v; j++ {
			if all[j].known {
				k++
			} else {
				o++
			}
		}
		area += k * (below + o/2)
		below += o
		i = j
	}
	return area / float64(len(known)) / float64(len(other))
}
