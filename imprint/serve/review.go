package serve

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/evaluate/report"
	"github.com/imprintkit/imprint/imprint/live"
)

const (
	// maxSuspects limits the photos in a review.
	maxSuspects = 24
	// reviewTimeout limits the time for a review or a report, with the wait for another.
	reviewTimeout = time.Minute
	// maxReported limits the classes in a report: it counts the mistakes of each pair.
	maxReported = 1000
	// reportEpisodes is the number of episodes for each point of a report's learning curve.
	reportEpisodes = 10
)

// reportSupport is the numbers of photos per class in a report's learning curve.
var reportSupport = []int{1, 5, 10, 20}

// A Review says of each class whether it has enough photos, and which photos are likely mislabeled.
type Review struct {
	Generation uint64 `json:"generation"`
	// Classes is empty if there are fewer than two classes: then nothing can be judged.
	Classes  []evaluate.Sufficiency `json:"classes"`
	Suspects []Suspect              `json:"suspects"` // most suspicious first, at most 24
	Total    int                    `json:"total"`    // number of all suspects
}

// A Suspect is a photo that is likely mislabeled.
type Suspect struct {
	SHA256    string `json:"sha256"`
	Label     string `json:"label"`
	LooksLike string `json:"looks"` // its label according to the other photos
}

// A reviewer makes one review or report at a time, in the goroutine of the request.
type reviewer struct {
	live *live.Live
	busy chan struct{} // holds a value during a review or report; it guards the fields below

	review *Review           // newest; nil before the first
	of     *imprint.Snapshot // snapshot that review was made of
}

func newReviewer(live *live.Live) *reviewer {
	return &reviewer{live: live, busy: make(chan struct{}, 1)}
}

// alone calls f while no other review or report is made.
func (v *reviewer) alone(ctx context.Context, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	select {
	case v.busy <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-v.busy }()
	return f(ctx)
}

// examples returns the training photos and settings of the workspace, and the snapshot in use if that is
// of the same generation.
func (v *reviewer) examples(ctx context.Context) (set *evaluate.Set, settings imprint.Settings, generation uint64, of *imprint.Snapshot, err error) {
	s := v.live.Snapshot()
	ws, err := v.live.Workspace(ctx)
	if err != nil {
		return nil, settings, 0, nil, err
	}
	defer ws.Close()
	if ws.IsCurrent(s) {
		of = s
	}
	set, err = ws.Examples()
	return set, ws.Settings(), ws.Generation(), of, err
}

// Review reviews the training photos. It ends early if ctx does. It fails with imprint.ErrNoClasses if
// there are none.
func (s *Server) Review(ctx context.Context) (*Review, error) {
	v := s.reviewer
	var r *Review
	err := v.alone(ctx, func(ctx context.Context) error {
		if now := s.live.Snapshot(); v.review != nil && v.of == now {
			r = v.review
			return nil
		}
		set, settings, generation, of, err := v.examples(ctx)
		if err != nil {
			return err
		}
		if r, err = review(ctx, set, settings.Head); err != nil {
			return err
		}
		r.Generation = generation
		v.review, v.of = r, of
		return nil
	})
	return r, err
}

func review(ctx context.Context, set *evaluate.Set, head classifier.Method) (*Review, error) {
	r := &Review{Classes: []evaluate.Sufficiency{}, Suspects: []Suspect{}}
	if len(set.Classes) < 2 {
		return r, nil
	}
	var err error
	if r.Classes, err = set.Sufficiency(ctx, head); err != nil {
		return nil, err
	}
	suspects, err := set.LabelSuspects(ctx)
	if err != nil {
		return nil, err
	}
	r.Total = len(suspects)
	for _, p := range suspects[:min(len(suspects), maxSuspects)] {
		r.Suspects = append(r.Suspects, Suspect{p.SHA256, p.Label, p.LooksLike})
	}
	return r, nil
}

// Report returns the page that "imprint eval --report" writes. It ends early if ctx does.
func (s *Server) Report(ctx context.Context) (page []byte, err error) {
	err = s.reviewer.alone(ctx, func(ctx context.Context) error {
		set, settings, _, _, err := s.reviewer.examples(ctx)
		if err != nil {
			return err
		}
		if n := len(set.Classes); n > maxReported {
			return refused{http.StatusUnprocessableEntity, fmt.Errorf("report on %d classes: the server reports on at most %d", n, maxReported), "imprint eval --report FILE writes it"}
		}
		ev, err := set.LeaveOneOut(ctx, []classifier.Method{settings.Head}, reportSupport, reportEpisodes)
		if err != nil {
			return err
		}
		page, err = report.HTML(ctx, ev, settings.Resize)
		return err
	})
	return page, err
}
