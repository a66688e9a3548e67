package evaluate

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/classifier"
)

// OpenSet measures how well a head rejects photos of classes that it was not trained on. The
// values are means over episodes; rates are in percent.
type OpenSet struct {
	Head      string  `json:"head"`
	Support   int     `json:"shots"`    // support photos per class
	AUC       float64 `json:"auc"`      // area under the ROC curve, 0…1
	TargetFAR float64 `json:"asked"`    // the target false-accept rate
	FAR       float64 `json:"accepted"` // false-accept rate: photos of untrained classes that were accepted
	TPR       float64 `json:"kept"`     // true-positive rate: photos of trained classes that were accepted
	Correct   float64 `json:"right"`    // photos of trained classes that were classified correctly
	Episodes  int     `json:"draws"`
}

// EvaluateOpenSet runs each episode twice: it trains on one half of the classes, then on the other
// half, and classifies query photos of all classes. rate, 0…1, is the target false-accept rate.
// EvaluateOpenSet fails with ErrProtocol if the set has fewer than 8 classes.
func (s *Set) EvaluateOpenSet(ctx context.Context, heads []classifier.Method, support []int, rate float64) ([]OpenSet, error) {
	fail := func(err error) ([]OpenSet, error) {
		return nil, fmt.Errorf("evaluate open-set recognition of %s: %w", s.Name, err)
	}
	if err := s.check(); err != nil {
		return fail(err)
	}
	if len(s.Classes) < 8 {
		return fail(fmt.Errorf("%w: it needs 8 classes, 4 of them to train on; the set has %d", ErrProtocol, len(s.Classes)))
	}
	var results []OpenSet
	for _, h := range heads {
		for _, k := range support {
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

// openSetEpisode trains on every second class, starting with class half.
func (s *Set) openSetEpisode(method classifier.Method, d, k, half int, rate float64) (r OpenSet, err error) {
	if err := s.sufficeEpisode(d, k); err != nil {
		return r, err
	}
	trained := func(class int) bool { return class%2 == half }
	examples := s.supportOf(d, k, trained)
	fitted, err := classifier.Fit(examples, method, s.roots())
	if err != nil {
		return r, err
	}
	head, _, err := classifier.Reject(fitted, examples, nil, rate)
	if err != nil {
		return r, err
	}
	logits, last := make([]float64, len(head.Labels)), len(head.Labels)-1
	var known, other []float64 // logit of the best class minus the threshold
	for _, row := range s.Query[d] {
		head.Logits(logits, s.Units[row])
		best := classifier.ArgMax(logits[:last])
		above := logits[best] - logits[last]
		if !trained(s.Labels[row]) {
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
		return r, fmt.Errorf("%w: episode %d has no query photos of one half of the classes", ErrProtocol, d)
	}
	r.AUC = areaUnderROC(known, other)
	r.FAR *= 100 / float64(len(other))
	r.TPR *= 100 / float64(len(known))
	r.Correct *= 100 / float64(len(known))
	return r, nil
}

// areaUnderROC returns the area under the ROC curve: the fraction of pairs in which known is
// greater than other, where a tie counts half.
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
