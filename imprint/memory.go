package imprint

import (
	"bytes"
	"cmp"
	"sync"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// maxRemembered is the largest number of values in all unit vectors that a memory keeps. Each takes up
// to twelve bytes.
const maxRemembered = 1 << 24

// A memory keeps what training has computed from each photo, for the next change. A workspace shares
// it with its snapshots and with the workspaces that reuse these. It is safe for concurrent use, and
// never changes a result.
type memory struct {
	mutex  sync.Mutex
	of     *backbone.Backbone // computed the embeddings
	photos []rememberedPhoto  // of the last call of units, in the order of its examples
	sums   classifier.Memory
	fitted *store.State // for which sums was last used
	saved  bool         // whether this process has written sums to the disk
}

type rememberedPhoto struct {
	label string
	photo store.Digest
	raw   []byte
	unit  *unitVector
}

// A unitVector may not be set until sums needs it.
type unitVector struct {
	raw    []byte // nil if the vector is set
	values []float64
	norm   float64
}

func (u *unitVector) set(b *backbone.Backbone) {
	if u.raw != nil {
		u.norm, u.raw = infer.Unit(b, u.values, u.raw), nil
	}
}

// fit trains a head on the photos of classes. It also returns what rejecting other things needs: the unit
// vectors, which must not be modified, or only the sample for a background.
func (m *memory) fit(w *Workspace, s *store.State, need need) (*classifier.Fitted, []classifier.Example, *classifier.BackgroundSample, error) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	method, roots := s.Settings.Method(), w.roots(s.Settings)
	m.fitted = s
	if len(s.Positives())*w.backbone.Dim() > maxRemembered {
		m.of, m.photos, m.sums = nil, nil, classifier.Memory{}
		units := w.unitsOf(s.Positives())
		f, err := classifier.Fit(units, method, roots)
		if need == needSample {
			return f, nil, classifier.NewBackgroundSample(units), err
		}
		return f, units, nil, err
	}
	if method == classifier.CoralSGD { // it needs norms
		for _, p := range m.photos {
			p.unit.set(m.of)
		}
	}
	units := m.units(w, s.Positives(), false)
	f, err := m.sums.Fit(units, method, roots)
	if err != nil {
		return nil, nil, nil, err
	}
	switch need {
	case needUnits:
		if sorted := m.sums.Sorted(); sorted != nil {
			units = sorted
		}
		return f, units, nil, nil
	case needSample:
		sample := m.sums.BackgroundSample()
		if sample == nil {
			sample = classifier.NewBackgroundSample(units)
		}
		return f, nil, sample, nil
	}
	return f, nil, nil, nil
}

// A need says what memory.fit returns.
type need int

const (
	needHead need = iota
	needUnits
	needSample
)

// units is like w.unitsOf, but uses the unit vectors of the last call again. If lazy is true, it does not
// set others.
func (m *memory) units(w *Workspace, examples []store.Example, lazy bool) []classifier.Example {
	found := m.find(w.backbone, examples)
	m.of, m.photos = w.backbone, make([]rememberedPhoto, len(examples))
	fresh, dim := 0, w.backbone.Dim()
	for i, p := range found {
		e := &examples[i]
		switch {
		case p == nil:
			fresh++
		case &p.raw[0] != &e.Raw[0] && !bytes.Equal(p.raw, e.Raw):
			found[i] = nil
			fresh++
		}
	}
	values, vectors := make([]float64, fresh*dim), make([]unitVector, fresh)
	return withBursts(examples, func(i int) ([]float64, float64) {
		e, p := &examples[i], &m.photos[i]
		p.label, p.photo, p.raw = e.Label, e.Photo, e.Raw // the old slice would keep an older state file in memory
		if old := found[i]; old != nil {
			p.unit = old.unit
			if p.unit.raw != nil {
				p.unit.raw = e.Raw
			}
		} else {
			p.unit, vectors = &vectors[0], vectors[1:]
			p.unit.raw, p.unit.values, values = e.Raw, values[:dim:dim], values[dim:]
			if !lazy {
				p.unit.set(w.backbone)
			}
		}
		return p.unit.values, p.unit.norm
	})
}

// find returns the remembered photo of each example, or nil if there is none. Both are sorted by label
// and photo, except that labels may have changed.
func (m *memory) find(of *backbone.Backbone, examples []store.Example) []*rememberedPhoto {
	found := make([]*rememberedPhoto, len(examples))
	if m.of != of {
		return found
	}
	others := make(map[store.Digest]*rememberedPhoto) // those without an example of the same label
	rest := m.photos
	for i := range examples {
		e := &examples[i]
		for ; len(rest) > 0; rest = rest[1:] {
			p := &rest[0]
			order := cmp.Or(cmp.Compare(p.label, e.Label), bytes.Compare(p.photo[:], e.Photo[:]))
			if order < 0 {
				others[p.photo] = p
				continue
			}
			if order == 0 {
				found[i], rest = p, rest[1:]
			}
			break
		}
	}
	for i := range rest {
		others[rest[i].photo] = &rest[i]
	}
	for i, p := range found {
		if p == nil {
			found[i] = others[examples[i].Photo]
		}
	}
	return found
}

// restore reads the sums for s from the disk, unless m has any. The next change then takes less time
// in a new process.
func (m *memory) restore(w *Workspace, s *store.State) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.of != nil || !refOf(w.backbone).Same(s.Backbone) || len(s.Positives())*w.backbone.Dim() > maxRemembered {
		return
	}
	if b := w.store.ReadSums(s.Sum()); b != nil {
		// Most unit vectors are never needed. With 1024 values, those of 10,000 photos take 80 MB.
		units := m.units(w, s.Positives(), true)
		vectors := make([]*unitVector, len(units))
		for i := range vectors {
			vectors[i] = m.photos[i].unit
		}
		of := w.backbone
		if m.sums.Restore(units, b, func(i int) { vectors[i].set(of) }) != nil {
			// The sums are of another format. Training computes them.
			for _, v := range vectors {
				v.set(of)
			}
		}
	}
}

// write writes the sums for s to the disk, unless this process has already written any. Later changes
// in the same process do not need them.
func (m *memory) write(w *Workspace, s *store.State) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if m.saved || m.fitted != s {
		return
	}
	m.saved, m.fitted = true, nil
	if b, err := m.sums.MarshalBinary(); err == nil && b != nil {
		_ = w.store.WriteSums(s.Sum(), b) // without the file, the next process takes longer
	}
}
