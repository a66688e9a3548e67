package imprint

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"

	"github.com/imprintkit/imprint/classifier"
)

// Evaluate asks each head about every photo of the workspace with the head that is made
// without it, and with shots also draws from the workspace as from a set of photos, of
// small classes all but one photo. With no heads it takes the workspace's own.
func (k *Workspace) Evaluate(ctx context.Context, heads []classifier.Method, shots []int, draws int) (*Evaluation, error) {
	fail := func(err error) (*Evaluation, error) { return nil, fmt.Errorf("evaluate %s: %w", k.store.dir, err) }
	if len(k.state.positives()) == 0 {
		return fail(ErrNothingTaught)
	}
	if len(heads) == 0 {
		heads = []classifier.Method{k.state.Settings.method()}
	}
	s, examples := k.set()
	ev := s.evaluation()
	for _, h := range heads {
		for _, n := range shots {
			if !s.spread(n, draws) {
				break
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
		fitted, left, err := classifier.LeaveOneOut(examples, h, s.roots())
		if err != nil {
			return fail(err)
		}
		var predictions []prediction
		for row, logits := range left {
			if logits != nil {
				predictions = append(predictions, predict(row, s.Labels[row], logits, fitted.Temperature))
			}
		}
		d := s.headReport(string(h), fitted.Recipe.String(), 0, predictions)
		d.Estimate = &fitted.Estimate
		d.Accuracy.Low, d.Accuracy.High = fitted.Estimate.Interval()
		ev.Heads = append(ev.Heads, d)
	}
	if err := s.compare(ctx, ev); err != nil {
		return fail(err)
	}
	return ev, nil
}

// set gives the workspace's photos as a set without draws.
func (k *Workspace) set() (*Set, []classifier.Example) {
	examples := k.unitsOf(k.state.positives())
	dir, err := filepath.Abs(k.store.dir)
	if err != nil {
		dir = k.store.dir
	}
	s := &Set{Name: filepath.Base(dir)}
	for i, e := range k.state.positives() {
		if n := len(s.Classes); n == 0 || s.Classes[n-1] != e.Label {
			s.Classes = append(s.Classes, e.Label)
		}
		s.Labels, s.Units, s.Norms = append(s.Labels, len(s.Classes)-1), append(s.Units, examples[i].Unit), append(s.Norms, examples[i].Norm)
		s.Photos, s.Hashes = append(s.Photos, Photo{Path: e.Path, SHA256: e.Photo.String()}), append(s.Hashes, e.Hash)
	}
	return s, examples
}

// spread draws n photos of each class to teach, of smaller classes all but one or the
// only one, and the others to ask about. It reports whether some class has more than n.
func (s *Set) spread(n, draws int) bool {
	s.Support, s.Query = nil, nil
	rows := s.rows()
	more := false
	for _, r := range rows {
		more = more || len(r) > n
	}
	if !more || len(rows) < 2 {
		return false
	}
	random := rand.New(rand.NewPCG(2018, math.MaxUint32))
	for range draws {
		var teach [][]int
		var test []int
		for _, r := range rows {
			random.Shuffle(len(r), func(i, j int) { r[i], r[j] = r[j], r[i] })
			taught := min(n, max(len(r)-1, 1))
			teach = append(teach, append([]int(nil), r[:taught]...))
			test = append(test, r[taught:]...)
		}
		s.Support, s.Query = append(s.Support, teach), append(s.Query, test)
	}
	return true
}

// rows are those of each class.
func (s *Set) rows() [][]int {
	rows := make([][]int, len(s.Classes))
	for i, c := range s.Labels {
		rows[c] = append(rows[c], i)
	}
	return rows
}
