package evaluate

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/classifier"
)

// LeaveOneOut asks each head about every photo of the set with a head that is made without
// it. For each number of support it also samples so many episodes; of small classes they
// train on all photos but one.
func (s *Set) LeaveOneOut(ctx context.Context, heads []classifier.Method, support []int, episodes int) (*Evaluation, error) {
	fail := func(err error) (*Evaluation, error) { return nil, fmt.Errorf("evaluate %s: %w", s.Name, err) }
	ev := s.evaluation()
	for _, h := range heads {
		for _, n := range support {
			if s.sample(n, episodes, true) != nil {
				break // no class has more photos
			}
			all, err := s.episodes(ctx, h, n)
			if err != nil {
				return fail(err)
			}
			ev.Results = append(ev.Results, accuracyOf(h, n, all))
		}
		if err := ctx.Err(); err != nil {
			return fail(err)
		}
		r, err := s.leftOut(h)
		if err != nil {
			return fail(err)
		}
		ev.Heads = append(ev.Heads, r)
	}
	if err := s.compare(ctx, ev); err != nil {
		return fail(err)
	}
	return ev, nil
}

// leftOut reports on a head by the photos left out.
func (s *Set) leftOut(h classifier.Method) (HeadReport, error) {
	fitted, left, err := classifier.LeaveOneOut(s.examples(), h, s.roots())
	if err != nil {
		return HeadReport{}, err
	}
	var predictions []prediction
	for row, logits := range left {
		if logits != nil {
			predictions = append(predictions, predict(row, s.Labels[row], logits, fitted.Temperature))
		}
	}
	r := s.headReport(string(h), fitted.Recipe.String(), 0, predictions)
	r.Estimate = &fitted.Estimate
	r.Accuracy.Low, r.Accuracy.High = fitted.Estimate.Interval()
	return r, nil
}

// examples are all photos of the set as package classifier takes them.
func (s *Set) examples() []classifier.Example {
	examples := make([]classifier.Example, len(s.Units))
	for i, x := range s.Units {
		examples[i] = classifier.Example{Label: s.Classes[s.Labels[i]], Unit: x, Norm: s.Norms[i]}
		if s.Bursts != nil {
			examples[i].Burst = s.Bursts[i]
		}
	}
	return examples
}
