package imprint

import (
	"errors"
	"fmt"
	"math"
	"sync"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// Head describes how the head was trained. Its accuracy does not count the backbone's own classes.
// The field Head may be nil.
func (w *Workspace) Head() *classifier.Fitted {
	f := new(classifier.Fitted)
	if m := w.state.Made; w.head == nil && m != nil {
		f = fittedOf(m)
	} else if head, err := w.currentHead(); err == nil {
		*f = *head
	}
	f.Estimate = w.estimate()
	return f
}

// estimateChunk is the number of unit vectors of a class that estimate keeps in memory for each
// core. Keeping all of them would take eight times the size of the state. Bursts are found only
// within a chunk.
const estimateChunk = 2048

func (w *Workspace) estimate() classifier.Estimate {
	if w.state.Settings.Method() != classifier.Mean {
		if w.head == nil && w.state.Made != nil {
			return w.state.Made.Estimate
		}
		if head, err := w.currentHead(); err == nil {
			return head.Estimate
		}
		return classifier.Estimate{} // no classes
	}
	sums, err := w.sums(w.state)
	if err != nil {
		return classifier.Estimate{} // impossible: the state was checked when it was read
	}
	chunks := make(chan []store.Example)
	found := make([]classifier.Estimate, infer.Cores(w.options.Threads))
	var wg sync.WaitGroup
	for i := range found {
		wg.Go(func() {
			for c := range chunks {
				found[i] = addEstimates(found[i], sums.LeaveOneOut(w.unitsOf(c)))
			}
		})
	}
	for rest := w.state.Positives(); len(rest) > 0; {
		n := 1
		for n < min(len(rest), estimateChunk) && rest[n].Label == rest[0].Label {
			n++
		}
		chunks <- rest[:n]
		rest = rest[n:]
	}
	close(chunks)
	wg.Wait()
	var all classifier.Estimate
	for _, e := range found {
		all = addEstimates(all, e)
	}
	return all
}

func addEstimates(a, b classifier.Estimate) classifier.Estimate {
	return classifier.Estimate{Correct: a.Correct + b.Correct, Total: a.Total + b.Total, Excluded: a.Excluded + b.Excluded, Bursts: a.Bursts + b.Bursts}
}

// sums adds up the embeddings of each class of s.
func (w *Workspace) sums(s *store.State) (*classifier.Sums, error) {
	sums, x := new(classifier.Sums), make([]float64, w.backbone.Dim())
	for _, e := range s.Positives() {
		infer.Unit(w.backbone, x, e.Raw)
		if err := sums.Add(e.Label, x); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// unitsOf converts examples for package classifier, with their bursts.
func (w *Workspace) unitsOf(examples []store.Example) []classifier.Example {
	dim := w.backbone.Dim()
	values := make([]float64, len(examples)*dim)
	return withBursts(examples, func(i int) (unit []float64, norm float64) {
		unit, values = values[:dim:dim], values[dim:]
		return unit, infer.Unit(w.backbone, unit, examples[i].Raw)
	})
}

// withBursts converts examples for package classifier, with the unit vector and length that unit
// returns for each, and with their bursts.
func withBursts(examples []store.Example, unit func(i int) ([]float64, float64)) []classifier.Example {
	several := make(map[string]bool)  // whether a class has several sources
	source := make(map[string]string) // the first source of each class
	for i := range examples {
		e := &examples[i]
		if i > 0 && e.Label == examples[i-1].Label && e.Source == examples[i-1].Source {
			continue
		}
		if first, ok := source[e.Label]; !ok {
			source[e.Label] = e.Source
		} else if first != e.Source {
			several[e.Label] = true
		}
	}
	u := make([]classifier.Example, len(examples))
	for i := range examples {
		e := &examples[i]
		x, norm := unit(i)
		u[i] = classifier.Example{Label: e.Label, Unit: x, Norm: norm, Burst: e.Burst(several[e.Label])}
	}
	return u
}

// roots reports whether square roots of embeddings can be features. They can't if embeddings may
// be negative, or on the Edge TPU.
func (w *Workspace) roots(s store.Settings) bool {
	return s.Layout != classifier.TPU && infer.Roots(w.backbone)
}

// newHead trains the head of s. For a mean head it also returns the length of each class's sum
// of embeddings, which is 0 for the backbone's own classes. A mean head that never answers
// "unknown" has no estimate.
func (w *Workspace) newHead(s *store.State) (*classifier.Fitted, []float64, error) {
	if w.unknownRate(s) > 0 {
		f, err := w.withUnknown(s)
		return f, nil, err
	}
	if s.Settings.Method() != classifier.Mean || s.Settings.Layout == classifier.TPU {
		f, _, _, err := w.memory.fit(w, s, needHead)
		return f, nil, err
	}
	head, norms, err := w.meanHead(s)
	return &classifier.Fitted{Head: head, Recipe: classifier.Recipe{Method: classifier.Mean}}, norms, err
}

func (w *Workspace) meanHead(s *store.State) (*classifier.Head, []float64, error) {
	sums, err := w.sums(s)
	if err != nil {
		return nil, nil, err
	}
	var head *classifier.Head
	kept := 0
	if s.Settings.KeepClasses {
		own, err := w.ownClasses()
		if err != nil {
			return nil, nil, err
		}
		kept = len(own.Labels)
		head, err = sums.Extend(own, w.unitsOf(s.Positives()))
		if err != nil {
			return nil, nil, err
		}
	} else if head, err = sums.Mean(); err != nil {
		return nil, nil, err
	}
	norms := make([]float64, len(head.Labels))
	for c := kept; c < len(norms); c++ {
		norms[c] = sums.Norm(head.Labels[c])
	}
	return head, norms, nil
}

// ownClasses returns the backbone's own last layer as a head.
func (w *Workspace) ownClasses() (*classifier.Head, error) {
	labels, err := w.ownLabels()
	if err != nil {
		return nil, err
	}
	own, err := classifier.LastLayer(w.backbone.Model(), w.backbone.LastLayer, labels)
	if err != nil {
		return nil, w.notKept(err)
	}
	return own, nil
}

// ownLabels returns the labels of the backbone's own classes.
func (w *Workspace) ownLabels() ([]string, error) {
	m, op := w.backbone.Model(), w.backbone.LastLayer
	if op < 0 {
		return nil, w.notKept(ErrNoOwnClasses)
	}
	weights := m.Subgraphs[0].Tensors[m.Subgraphs[0].Operators[op].Inputs[1]]
	classes := int(weights.Shape[0])
	labels, err := m.Labels()
	if err != nil && !errors.Is(err, tflite.ErrNoLabels) {
		return nil, w.notKept(err)
	}
	for len(labels) < classes {
		labels = append(labels, fmt.Sprintf("class %d", len(labels)))
	}
	return labels[:classes], nil
}

func (w *Workspace) notKept(err error) error {
	return fmt.Errorf("keep the classes of %s: %w", w.backbone.Name, err)
}

// currentHead returns the head of the workspace's state.
func (w *Workspace) currentHead() (*classifier.Fitted, error) {
	if w.head == nil {
		if len(w.state.Positives()) == 0 {
			return nil, fmt.Errorf("workspace %s: %w", w.store.Dir, ErrNoClasses)
		}
		var err error
		if w.head = w.publishedHead(); w.head == nil {
			if _, w.head, err = w.rebuild(); err != nil {
				return nil, err
			}
		}
	}
	return w.head, nil
}

// publishedHead reads the head from the published model. It returns nil for a mean head, which
// is quick to train again and is rounded in the model.
func (w *Workspace) publishedHead() *classifier.Fitted {
	if w.state.Made == nil || w.state.Settings.Layout != classifier.Float {
		return nil
	}
	b, err := w.publishedModel()
	if err != nil {
		return nil
	}
	return w.headIn(b)
}

// headIn reads the head from a model of the workspace's state, or returns nil if the layout
// rounds it.
func (w *Workspace) headIn(model []byte) *classifier.Fitted {
	r := w.state.Made
	if r == nil || w.state.Settings.Layout != classifier.Float || model == nil {
		return nil
	}
	m, err := tflite.Parse(model)
	if err != nil {
		return nil
	}
	head, _, err := classifier.Read(m)
	if err != nil {
		return nil
	}
	f := fittedOf(r)
	f.Head = head
	return f
}

// fittedOf returns the head that r describes, without its weights.
func fittedOf(r *store.HeadRecord) *classifier.Fitted {
	f := &classifier.Fitted{Recipe: r.Recipe, Estimate: r.Estimate, Rejection: r.Rejection, Candidates: r.Candidates, Advice: r.Advice, LogLoss: math.NaN()}
	if r.LogLoss != nil {
		f.LogLoss = *r.LogLoss
	}
	return f
}

// headRecord returns the part of f that the state stores, or nil for a mean head or no head.
func headRecord(f *classifier.Fitted) *store.HeadRecord {
	if f == nil || f.Recipe == (classifier.Recipe{Method: classifier.Mean}) && f.Rejection == nil {
		return nil
	}
	r := &store.HeadRecord{Recipe: f.Recipe, Estimate: f.Estimate, Candidates: f.Candidates, Advice: f.Advice}
	if f.Rejection != nil {
		stored := *f.Rejection
		stored.Threshold = 0 // not stored, because it is in the model
		r.Rejection = &stored
	}
	if !math.IsNaN(f.LogLoss) {
		r.LogLoss = &f.LogLoss
	}
	return r
}
