package serve

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
)

// Classes is the list of trained classes. It is the data of the event "classes".
type Classes struct {
	Generation uint64   `json:"generation"`
	Accuracy   Accuracy `json:"accuracy"`
	Unknown    Unknown  `json:"unknown"`
	// Advice names the class that should gain the most from more photos, or is nil if none should.
	Advice  *classifier.Advice `json:"advice,omitempty"`
	Total   int                `json:"total"` // number of all classes
	Classes []Class            `json:"classes"`
}

// Unknown says how well the answer "unknown" separates the classes from other things. The values
// are proportions.
type Unknown struct {
	// FalseAccepts is the target false-accept rate for photos of other things. It is 1
	// if the model never answers "unknown".
	FalseAccepts float64 `json:"accepted"`
	// FalseRejects is the rate of left-out training photos for which the answer is "unknown", or 0
	// if it can't be estimated yet.
	FalseRejects float64 `json:"rejected"`
	// Unlike reports whether only the training photos decide what is unknown, because there are no
	// others. The rate at which other things are accepted is then not known, and the target has no
	// effect.
	Unlike bool `json:"unlike,omitempty"`
}

// Accuracy is the leave-one-out accuracy: each training photo is classified by a model trained
// without it. Low and High are the bounds of its 95 % interval, from
// classifier.Estimate.Interval.
type Accuracy struct {
	Correct int     `json:"right"`
	Total   int     `json:"total"` // 0 if accuracy can't be estimated yet
	Low     float64 `json:"low"`
	High    float64 `json:"high"`
}

// A Class is a label and its training photos.
type Class struct {
	Label  string  `json:"label"`
	Photos []Photo `json:"photos"`
}

// A Photo is a training photo.
type Photo struct {
	SHA256 string    `json:"sha256"`
	Source string    `json:"source"` // name of the camera, recording or file
	Time   time.Time `json:"time"`   // when the photo was taken or, if unknown, added
	// Box is the part of the photo that is the example, or nil if all of it is.
	Box        *dataset.Box `json:"box,omitempty"`
	path, file string       // of the photo's file, and its SHA-256
}

// Classes returns the current classes of the workspace.
func (s *Server) Classes(ctx context.Context) (*Classes, error) { return s.classes.get(ctx) }

// A classList caches the classes of the current generation.
type classList struct {
	live  *live.Live
	stale chan struct{} // receives a value after a reload

	mu      sync.Mutex
	classes *Classes          // nil until first read
	of      *imprint.Snapshot // snapshot that classes was read with; nil if it was not the newest
}

func newClassList(live *live.Live) *classList {
	return &classList{live: live, stale: make(chan struct{}, 1)}
}

// refresh sends a value to stale unless one is already waiting there.
func (l *classList) refresh() {
	select {
	case l.stale <- struct{}{}:
	default:
	}
}

func (l *classList) get(ctx context.Context) (*Classes, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	// Compare snapshots, because two generations may have the same number: the workspace may have
	// been replaced by another one, or the newest state may have been damaged.
	s := l.live.Snapshot()
	if l.classes != nil && l.of == s {
		return l.classes, nil
	}
	ws, err := l.live.Workspace(ctx)
	if err != nil {
		return nil, err
	}
	defer ws.Close()
	current := ws.IsCurrent(s)
	if w := ws.Warnings(); !current && len(w) > 0 {
		return nil, fmt.Errorf("list the classes of generation %d: %w: %s", s.Generation, imprint.ErrCorrupt, w[0])
	}
	l.classes, l.of = listClasses(ws), nil
	if current {
		l.of = s
	}
	return l.classes, nil
}

// counts returns the number of classes and photos in the cached list.
func (l *classList) counts() (classes, photos float64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.classes == nil {
		return 0, 0
	}
	for _, c := range l.classes.Classes {
		photos += float64(len(c.Photos))
	}
	return float64(len(l.classes.Classes)), photos
}

func listClasses(ws *imprint.Workspace) *Classes {
	list := &Classes{Generation: ws.Generation(), Classes: []Class{}}
	for _, c := range ws.Classes() {
		class := Class{Label: c.Label}
		for _, p := range c.Photos {
			v := Photo{SHA256: p.SHA256, Source: p.Source, Time: p.Taken, Box: p.Box, path: p.Path, file: p.File}
			if v.Source == "" {
				v.Source = p.Path
			}
			if v.Time.IsZero() {
				v.Time = p.Time
			}
			class.Photos = append(class.Photos, v)
		}
		list.Classes = append(list.Classes, class)
	}
	list.Total = len(list.Classes)
	list.Unknown.FalseAccepts = 1
	if r := ws.Head().Rejection; r != nil {
		list.Unknown = Unknown{r.TargetFAR, float64(r.Rejected) / float64(max(r.Positives, 1)), r.Own && r.Negatives == 0}
	}
	var e classifier.Estimate
	if len(list.Classes) > 1 {
		e = ws.Head().Estimate
	}
	if e.Total > 0 {
		list.Advice = ws.Head().Advice
	}
	low, high := e.Interval()
	list.Accuracy = Accuracy{e.Correct, e.Total, low, high}
	return list
}

// withPath returns the number of photos whose file has a path.
func (c *Classes) withPath(path string) (n int) {
	for _, class := range c.Classes {
		for _, p := range class.Photos {
			if p.path == path {
				n++
			}
		}
	}
	return n
}

// photo returns the photo with the given SHA-256, or nil if there is none.
func (c *Classes) photo(sha256 string) *Photo {
	for i := range c.Classes {
		for j := range c.Classes[i].Photos {
			if p := &c.Classes[i].Photos[j]; p.SHA256 == sha256 {
				return p
			}
		}
	}
	return nil
}
