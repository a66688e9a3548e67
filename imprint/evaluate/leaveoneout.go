package evaluate

import (
	"context"
	"fmt"

	"github.com/imprintkit/imprint/classifier"
)

// LeaveOneOut classifies every photo of the set with a head that was trained without the photo and
// its burst. For the learning curve, it also samples episodes with each number of support photos
// per class. In a class with too few photos, it trains on all but one. The curve ends at the first
// number that is not smaller than the largest class.
func (s *Set) LeaveOneOut(ctx context.Context, heads []classifier.Method, support []int, episodes int) (*Evaluation, error) {
	fail := func(err error) (*Evaluation, error) { return nil, fmt.Errorf("evaluate %s: %w", s.Name, err) }
	ev := s.evaluation()
	for _, h := range heads {
		for _, k := range support {
			percent, err := s.curve(ctx, h, k, episodes)
			if err != nil {
				return fail(err)
			}
			if percent == nil {
				break // no class has more than k photos
			}
			ev.Results = append(ev.Results, newAccuracy(h, k, percent))
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

// curve returns the accuracy of each episode in percent, or nil if no class has more than k photos.
func (s *Set) curve(ctx context.Context, h classifier.Method, k, episodes int) ([]float64, error) {
	if s.stream != nil {
		return s.stream.curve(ctx, h, k, episodes)
	}
	if s.sample(k, episodes, true) != nil {
		return nil, nil
	}
	all, err := s.episodes(ctx, h, k)
	return percentCorrect(all), err
}

// leftOut returns the report on the leave-one-out predictions of one head.
func (s *Set) leftOut(h classifier.Method) (HeadReport, error) {
	fitted, left, err := s.leftOutLogits(h)
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

// leftOutLogits returns the logits of each photo, from a head trained without it. They are nil for a
// photo that can't be left out, or is not in the sample that is left out.
func (s *Set) leftOutLogits(h classifier.Method) (*classifier.Fitted, [][]float64, error) {
	if s.stream != nil {
		return s.stream.leftOutLogits(h)
	}
	return classifier.LeaveOneOut(s.examples(), h, s.roots())
}
