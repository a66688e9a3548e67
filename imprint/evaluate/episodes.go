package evaluate

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"
	"gonum.org/v1/gonum/stat"

	"github.com/imprintkit/imprint/classifier"
)

// An Evaluation is the result of [Set.Evaluate] or [Set.LeaveOneOut]: the accuracy of heads, and
// the photos that reduce it.
type Evaluation struct {
	Set            string           `json:"set"`
	Classes        []string         `json:"classes"`
	Photos         int              `json:"photos"`
	Results        []Accuracy       `json:"results"` // learning curves of all heads
	Heads          []HeadReport     `json:"details"` // one for each head
	NearDuplicates []NearDuplicates `json:"alike"`   // groups with several labels first
	LabelSuspects  []LabelSuspect   `json:"pulls"`   // the most suspicious first
	OpenSet        []OpenSet        `json:"unknown,omitempty"`
	Others         []Others         `json:"others,omitempty"`
	Devices        map[string]int   `json:"devices,omitempty"` // number of photos that each device embedded
}

// Accuracy is the accuracy of a head in percent, over several episodes.
type Accuracy struct {
	Head     string  `json:"head"`
	Support  int     `json:"shots"` // support photos per class
	Mean     float64 `json:"mean"`
	Std      float64 `json:"std"` // population standard deviation
	Episodes int     `json:"draws"`
}

// Evaluate trains each head with each number of support photos per class, and classifies the query
// photos of every episode. The head reports are for the largest number of support photos. Evaluate
// fails with ErrProtocol if an episode has too few photos.
func (s *Set) Evaluate(ctx context.Context, heads []classifier.Method, support []int) (*Evaluation, error) {
	ev, err := s.MeasureAccuracy(ctx, heads, support)
	if err != nil {
		return nil, err
	}
	if err := s.compare(ctx, ev); err != nil {
		return nil, fmt.Errorf("evaluate %s: %w", s.Name, err)
	}
	return ev, nil
}

// MeasureAccuracy is like Evaluate, but does not look for near-duplicates and suspect labels, which
// takes most of the time.
func (s *Set) MeasureAccuracy(ctx context.Context, heads []classifier.Method, support []int) (*Evaluation, error) {
	fail := func(err error) (*Evaluation, error) { return nil, fmt.Errorf("evaluate %s: %w", s.Name, err) }
	if err := s.check(); err != nil {
		return fail(err)
	}
	ev := s.evaluation()
	for _, h := range heads {
		var last []outcome
		for _, k := range support {
			err := s.suffice(k)
			var all []outcome
			if err == nil {
				all, err = s.episodes(ctx, h, k)
			}
			if err != nil {
				return fail(fmt.Errorf("with %d support photos per class: %w", k, err))
			}
			ev.Results = append(ev.Results, accuracyOf(h, k, all))
			if k == slices.Max(support) {
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
			ev.Heads = append(ev.Heads, s.headReport(string(h), recipe, slices.Max(support), predictions))
		}
	}
	return ev, nil
}

func (s *Set) evaluation() *Evaluation {
	return &Evaluation{Set: s.Name, Classes: s.Classes, Photos: len(s.Labels), Devices: s.Devices}
}

// compare fills in the results that do not depend on the head.
func (s *Set) compare(ctx context.Context, ev *Evaluation) (err error) {
	if ev.NearDuplicates, err = s.nearDuplicates(ctx); err == nil {
		ev.LabelSuspects, err = s.LabelSuspects(ctx)
	}
	return err
}

// An outcome is the result of one episode.
type outcome struct {
	recipe      string
	predictions []prediction
}

func accuracyOf(h classifier.Method, support int, all []outcome) Accuracy {
	return newAccuracy(h, support, percentCorrect(all))
}

func newAccuracy(h classifier.Method, support int, percent []float64) Accuracy {
	mean, std := stat.PopMeanStdDev(percent, nil)
	return Accuracy{Head: string(h), Support: support, Mean: mean, Std: std, Episodes: len(percent)}
}

// percentCorrect returns the accuracy of each episode in percent.
func percentCorrect(all []outcome) (percent []float64) {
	for _, d := range all {
		correct := 0
		for _, p := range d.predictions {
			if p.answer == p.class {
				correct++
			}
		}
		percent = append(percent, 100*float64(correct)/float64(len(d.predictions)))
	}
	return percent
}

// suffice returns an error unless every episode has k support photos of each class and a
// query photo.
func (s *Set) suffice(k int) error {
	for d := range s.Support {
		if err := s.sufficeEpisode(d, k); err != nil {
			return err
		}
		if len(s.Query[d]) == 0 {
			return fmt.Errorf("%w: episode %d has no query photos", ErrProtocol, d)
		}
	}
	return nil
}

func (s *Set) sufficeEpisode(d, k int) error {
	for c, rows := range s.Support[d] {
		if k < 1 || k > len(rows) {
			return fmt.Errorf("%w: episode %d has %d support photos of %q", ErrProtocol, d, len(rows), s.Classes[c])
		}
	}
	return nil
}

// episodes runs all episodes with k support photos per class, using all cores.
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

// episode trains on k support photos of each class, or on all if the class has fewer, and
// classifies the query photos.
func (s *Set) episode(method classifier.Method, d, k int) (outcome, error) {
	examples := s.supportOf(d, k, func(int) bool { return true })
	fitted, err := classifier.Fit(examples, method, s.roots())
	if err != nil {
		return outcome{}, err
	}
	head := fitted.Head
	place := make([]int, len(s.Classes)) // index of each class in the head
	for c, label := range s.Classes {
		place[c] = slices.Index(head.Labels, label)
	}
	found := outcome{recipe: fitted.Recipe.String()}
	byHead, logits := make([]float64, len(head.Labels)), make([]float64, len(s.Classes))
	for _, row := range s.Query[d] {
		head.Logits(byHead, s.Units[row])
		for c, at := range place {
			logits[c] = byHead[at]
		}
		found.predictions = append(found.predictions, predict(row, s.Labels[row], logits, fitted.Temperature))
	}
	return found, nil
}

// sample draws random episodes with a fixed seed. Each episode trains on the given number of
// support photos per class; all other photos are query photos. If a class has too few photos,
// sample fails, unless partial is true: then it trains on all but one of them. It also fails if no
// class has more photos than the given number.
func (s *Set) sample(support, episodes int, partial bool) error {
	rows := s.rows()
	if err := s.canSample(rows, support, partial); err != nil {
		return err
	}
	s.Support, s.Query = nil, nil
	random := newRandom()
	for range episodes {
		train, query := drawEpisode(random, rows, support)
		s.Support, s.Query = append(s.Support, train), append(s.Query, query)
	}
	return nil
}

// canSample returns an error unless sample can draw episodes.
func (s *Set) canSample(rows [][]int, support int, partial bool) error {
	if len(rows) < 2 {
		return fmt.Errorf("%w: it needs two classes; the set has %d", ErrProtocol, len(rows))
	}
	more := false
	for c, r := range rows {
		if len(r) <= support && !partial {
			return fmt.Errorf("%w: class %q has %d photos; it needs %d support photos and a query photo", ErrProtocol, s.Classes[c], len(r), support)
		}
		more = more || len(r) > support
	}
	if !more {
		return fmt.Errorf("%w: no class has more than %d photos", ErrProtocol, support)
	}
	return nil
}

func newRandom() *rand.Rand { return rand.New(rand.NewPCG(2018, math.MaxUint32)) }

// drawEpisode draws support photos of each class, whose rows are given. The others are query photos.
func drawEpisode(random *rand.Rand, rows [][]int, support int) (train [][]int, query []int) {
	for _, r := range rows {
		r = slices.Clone(r)
		random.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
		n := min(support, max(len(r)-1, 1))
		train = append(train, slices.Clone(r[:n]))
		query = append(query, r[n:]...)
	}
	return train, query
}
