package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"github.com/imprintkit/imprint/classifier"
	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/stat"
)

// An Evaluation is the accuracy of heads taught with few photos, and what stands in the
// way of a better one.
type Evaluation struct {
	Set     string   `json:"set"`
	Classes []string `json:"classes"`
	Photos  int      `json:"photos"`
	// Results is the learning curve of each head.
	Results []Accuracy `json:"results"`
	// Details has each head once.
	Heads []HeadReport `json:"details"`
	// Alike are photos that hardly differ, and Pulls those that harm others, the worst
	// first.
	NearDuplicates []NearDuplicates `json:"alike"`
	LabelSuspects  []LabelSuspect   `json:"pulls"`
	// Unknown is how well photos of classes not taught are told from those that are, if
	// that was asked.
	OpenSet []OpenSet `json:"unknown,omitempty"`
	// Devices counts the photos that each device embedded.
	Devices map[string]int `json:"devices,omitempty"`
}

// Accuracy is the share of right answers in percent, over several draws of the
// photos taught.
type Accuracy struct {
	Head     string  `json:"head"`
	Support  int     `json:"shots"` // photos a class
	Mean     float64 `json:"mean"`
	Std      float64 `json:"std"` // of the draws, dividing by their number
	Episodes int     `json:"draws"`
}

// Evaluate teaches each head with each number of photos in shots and counts how often
// it is right, draw by draw. The details are those of the largest number.
func (s *Set) Evaluate(ctx context.Context, heads []classifier.Method, shots []int) (*Evaluation, error) {
	fail := func(err error) (*Evaluation, error) { return nil, fmt.Errorf("evaluate %s: %w", s.Name, err) }
	if err := s.check(); err != nil {
		return fail(err)
	}
	ev := s.evaluation()
	for _, h := range heads {
		var last []outcome
		for _, k := range shots {
			err := s.suffice(k)
			var all []outcome
			if err == nil {
				all, err = s.episodes(ctx, h, k)
			}
			if err != nil {
				return fail(fmt.Errorf("with %d photos a class: %w", k, err))
			}
			ev.Results = append(ev.Results, accuracyOf(h, k, all))
			if k == slices.Max(shots) {
				last = all
			}
		}
		if last != nil {
			recipe := last[0].recipe
			var predictions []prediction
			for _, d := range last {
				predictions = append(predictions, d.predictions...)
				if d.recipe != recipe {
					recipe = ""
				}
			}
			ev.Heads = append(ev.Heads, s.headReport(string(h), recipe, slices.Max(shots), predictions))
		}
	}
	if err := s.compare(ctx, ev); err != nil {
		return fail(err)
	}
	return ev, nil
}

func (s *Set) evaluation() *Evaluation {
	return &Evaluation{Set: s.Name, Classes: s.Classes, Photos: len(s.Labels), Devices: s.Devices}
}

// compare finds what photos have to do with each other, whatever the head.
func (s *Set) compare(ctx context.Context, ev *Evaluation) (err error) {
	if ev.NearDuplicates, err = s.nearDuplicates(ctx); err == nil {
		ev.LabelSuspects, err = s.labelSuspects(ctx)
	}
	return err
}

// drawn is what came of one draw.
type outcome struct {
	recipe      string
	predictions []prediction
}

func accuracyOf(h classifier.Method, shots int, all []outcome) Accuracy {
	var percent []float64
	for _, d := range all {
		right := 0
		for _, p := range d.predictions {
			if p.answer == p.class {
				right++
			}
		}
		percent = append(percent, 100*float64(right)/float64(len(d.predictions)))
	}
	mean, std := stat.PopMeanStdDev(percent, nil)
	return Accuracy{Head: string(h), Support: shots, Mean: mean, Std: std, Episodes: len(percent)}
}

// suffice says whether every draw has k photos of each class, and one to ask about.
func (s *Set) suffice(k int) error {
	for d, classes := range s.Support {
		for c, rows := range classes {
			if k < 1 || k > len(rows) {
				return fmt.Errorf("%w: draw %d has %d photos of %q to teach", ErrProtocol, d, len(rows), s.Classes[c])
			}
		}
		if len(s.Query[d]) == 0 {
			return fmt.Errorf("%w: draw %d has no photo to classify", ErrProtocol, d)
		}
	}
	return nil
}

// draws makes all draws with k photos a class, on all cores.
func (s *Set) episodes(ctx context.Context, method classifier.Method, k int) ([]outcome, error) {
	all := make([]outcome, len(s.Support))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for d := range all {
		group.Go(func() (err error) {
			if err = ctx.Err(); err == nil {
				all[d], err = s.episode(method, d, k)
			}
			return err
		})
	}
	return all, group.Wait()
}

// draw teaches k photos of each class, or all there are to teach, and asks about the
// others.
func (s *Set) episode(method classifier.Method, d, k int) (outcome, error) {
	var examples []classifier.Example
	for c, rows := range s.Support[d] {
		for _, row := range rows[:min(k, len(rows))] {
			examples = append(examples, classifier.Example{Label: s.Classes[c], Unit: s.Units[row], Norm: s.Norms[row]})
		}
	}
	fitted, err := classifier.Fit(examples, method, s.roots())
	if err != nil {
		return outcome{}, err
	}
	head := fitted.Head
	place := make([]int, len(s.Classes)) // of each class among the head's
	for c, label := range s.Classes {
		place[c] = slices.Index(head.Labels, label)
	}
	found := outcome{recipe: fitted.Recipe.String()}
	given, logits := make([]float64, len(head.Labels)), make([]float64, len(s.Classes))
	for _, row := range s.Query[d] {
		head.Logits(given, s.Units[row])
		for c, at := range place {
			logits[c] = given[at]
		}
		found.predictions = append(found.predictions, predict(row, s.Labels[row], logits, fitted.Temperature))
	}
	return found, nil
}

// sample draws episodes with a fixed seed: of each class support photos to train on, the
// others to query. Of a class with fewer photos it takes all but one if partial is true,
// and fails otherwise. It fails with ErrProtocol if no class has a photo left to query.
func (s *Set) sample(support, episodes int, partial bool) error {
	rows := s.rows()
	if len(rows) < 2 {
		return fmt.Errorf("%w: it has %d classes; two are the least", ErrProtocol, len(rows))
	}
	more := false
	for c, r := range rows {
		if len(r) <= support && !partial {
			return fmt.Errorf("%w: class %q has %d photos; teaching %d and classifying at least one needs more", ErrProtocol, s.Classes[c], len(r), support)
		}
		more = more || len(r) > support
	}
	if !more {
		return fmt.Errorf("%w: no class has more than %d photos", ErrProtocol, support)
	}
	s.Support, s.Query = nil, nil
	random := rand.New(rand.NewPCG(2018, math.MaxUint32))
	for range episodes {
		var train [][]int
		var query []int
		for _, r := range rows {
			r = slices.Clone(r)
			random.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
			n := min(support, max(len(r)-1, 1))
			train = append(train, r[:n:n])
			query = append(query, r[n:]...)
		}
		s.Support, s.Query = append(s.Support, train), append(s.Query, query)
	}
	return nil
}
