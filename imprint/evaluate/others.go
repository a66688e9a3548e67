package evaluate

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
)

// Others measures how well a head that answers "unknown" by default rejects photos of other things. Rates
// are in percent, and means over episodes.
type Others struct {
	Head      string  `json:"head"`
	Support   int     `json:"shots"` // support photos per class
	Classes   int     `json:"classes"`
	TargetFAR float64 `json:"asked"` // the target false-accept rate
	Kept      float64 `json:"kept"`  // query photos of the classes that were accepted
	Correct   float64 `json:"right"` // query photos of the classes that were classified correctly
	// Forced is the accuracy if the answer "unknown" is not counted.
	Forced   float64    `json:"forced"`
	Sets     []OtherSet `json:"sets"`
	Episodes int        `json:"draws"`
}

// An OtherSet is the part of [Others] about one set of photos.
type OtherSet struct {
	Set      string  `json:"set"`
	Accepted float64 `json:"accepted"` // photos of the set that were accepted
	// KeptAt5 is the percentage of query photos of the classes that have a larger accept score
	// than 95 % of the photos of the set.
	KeptAt5 float64 `json:"kept_at_5"`
}

// Photos are unlabeled embeddings, scaled to length 1.
type Photos struct {
	Name  string
	Units [][]float64
}

// EmbedOthers embeds photos of things that belong to no class.
func EmbedOthers(ctx context.Context, name string, b *backbone.Backbone, items []dataset.Item, o EmbedOptions) (Photos, []dataset.Skipped, error) {
	p := Photos{Name: name}
	var skipped []dataset.Skipped
	threads := infer.Cores(o.Threads)
	pool := infer.NewPool(b, threads)
	defer pool.Leave()
	err := pool.Photos(ctx, threads, o.Resize, items, func(i int, e infer.Embedding) error {
		if o.Progress != nil {
			o.Progress(i+1, len(items))
		}
		if e.Err != nil {
			skipped = append(skipped, dataset.Skipped{Path: items[i].Path, Err: e.Err})
			return nil
		}
		x := make([]float64, b.Dim())
		infer.Unit(b, x, e.Raw)
		p.Units = append(p.Units, x)
		return nil
	})
	if err != nil {
		return p, nil, fmt.Errorf("embed %s: %w", name, err)
	}
	return p, skipped, nil
}

// EvaluateOthers trains each head with each number of support photos per class, once on all classes
// and once on a single class, and asks about the query photos of these classes and about others. b
// computed the embeddings. The results leave out those for which there is no background for b and too few
// photos for the answer "unknown". If that leaves none, EvaluateOthers fails with ErrProtocol.
func (s *Set) EvaluateOthers(ctx context.Context, heads []classifier.Method, support []int, rate float64, b *backbone.Backbone, others []Photos) ([]Others, error) {
	fail := func(err error) ([]Others, error) {
		return nil, fmt.Errorf("evaluate photos of other things than %s: %w", s.Name, err)
	}
	if err := s.check(); err != nil {
		return fail(err)
	}
	for _, o := range others {
		if len(o.Units) == 0 || len(o.Units[0]) != len(s.Units[0]) {
			return fail(fmt.Errorf("%w: %s has no photos that fit the set", ErrProtocol, o.Name))
		}
	}
	var g infer.Background
	var results []Others
	for _, h := range heads {
		for _, k := range support {
			if err := s.suffice(k); err != nil {
				return fail(err)
			}
			for _, single := range []bool{true, false} {
				r := Others{Head: string(h), Support: k, Classes: len(s.Classes), TargetFAR: 100 * rate, Sets: make([]OtherSet, len(others)), Episodes: len(s.Support)}
				if single {
					r.Classes = 1
				}
				var err error
				for d := 0; err == nil && d < len(s.Support); d++ {
					if err = ctx.Err(); err == nil {
						err = s.othersEpisode(&r, h, d, b, &g, others)
					}
				}
				if err == nil {
					results = append(results, r)
				} else if !errors.Is(err, classifier.ErrNoNegatives) {
					return fail(err)
				}
			}
		}
	}
	if len(results) == 0 {
		return fail(fmt.Errorf("%w: there is no background for %s, and no head has ten photos to leave out", ErrProtocol, b.Name))
	}
	return results, nil
}

// othersEpisode adds the results of episode d, divided by the number of episodes, to r.
func (s *Set) othersEpisode(r *Others, method classifier.Method, d int, b *backbone.Backbone, g *infer.Background, others []Photos) error {
	trained := func(class int) bool { return r.Classes > 1 || class == d%len(s.Classes) }
	examples := s.supportOf(d, r.Support, trained)
	fitted, err := classifier.Fit(examples, method, s.roots())
	if err != nil {
		return err
	}
	head, _, err := g.Reject(b, fitted, examples, nil, r.TargetFAR/100)
	if err != nil {
		return err
	}
	logits, last := make([]float64, len(head.Labels)), len(head.Labels)-1
	accept := func(unit []float64) (score float64, best int) { // a photo with a negative score is unknown
		head.Logits(logits, unit)
		best = classifier.ArgMax(logits[:last])
		return logits[best] - logits[last], best
	}
	var own []float64
	var kept, correct, forced int
	for _, row := range s.Query[d] {
		if !trained(s.Labels[row]) {
			continue
		}
		score, best := accept(s.Units[row])
		own = append(own, score)
		right := head.Labels[best] == s.Classes[s.Labels[row]]
		kept, correct, forced = kept+count(score >= 0), correct+count(score >= 0 && right), forced+count(right)
	}
	if len(own) == 0 {
		return fmt.Errorf("%w: episode %d has no query photos of the classes", ErrProtocol, d)
	}
	each := 100 / float64(len(own)) / float64(r.Episodes)
	r.Kept, r.Correct, r.Forced = r.Kept+each*float64(kept), r.Correct+each*float64(correct), r.Forced+each*float64(forced)
	for i, o := range others {
		scores, accepted, above := make([]float64, len(o.Units)), 0, 0
		for j, u := range o.Units {
			scores[j], _ = accept(u)
			accepted += count(scores[j] >= 0)
		}
		slices.Sort(scores)
		limit := scores[(95*len(scores)-1)/100]
		for _, score := range own {
			above += count(score > limit)
		}
		r.Sets[i].Set = o.Name
		r.Sets[i].Accepted += 100 / float64(len(scores)) / float64(r.Episodes) * float64(accepted)
		r.Sets[i].KeptAt5 += each * float64(above)
	}
	return nil
}

func count(yes bool) int {
	if yes {
		return 1
	}
	return 0
}
