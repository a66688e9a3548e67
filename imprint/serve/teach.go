package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
)

const (
	// maxHeld is how many frames are taught at once. Of more, that are seen while a
	// button is held, every second is left out, then every fourth, and so on.
	maxHeld = 128
	// tap is how long a button that was held for less than a frame waits for one.
	tap = 2 * time.Second
	// longestHold is after how long a button that nobody lets go counts as lost, as
	// that of a web page which was closed.
	longestHold = 2 * time.Minute
)

var (
	// ErrHolding is wrapped when teaching is begun while another label is taught.
	ErrHolding = errors.New("another class is being taught")
	// ErrNotHolding is wrapped when teaching is ended that has not begun.
	ErrNotHolding = errors.New("no class is being taught")
	// ErrNoFrames is wrapped when no frame came while a button was held.
	ErrNoFrames = errors.New("no frame came")
)

// Teaching is how far the teaching of a label has come. It is the data of the event
// "teach", and the answer to what begins and ends teaching.
type Teaching struct {
	Label string `json:"label"`
	// State is holding, teaching, done, failed or cancelled.
	State  string `json:"state"`
	Frames int    `json:"frames"` // collected, and at the end taught
	// Generation is that which knows the frames, when State is done.
	Generation uint64 `json:"generation"`
	// ElapsedMS is the time from the release of the button until that generation served.
	ElapsedMS float64 `json:"elapsed_ms"`
	Sentence  string  `json:"sentence"`
}

// A hold is a button that is held.
type hold struct {
	label string
	since time.Time
	first chan struct{} // closed when there is a frame
	timer *time.Timer   // gives up

	seen, every int
	frames      []observed
}

// observed is a frame that was seen while the button was held.
type observed struct {
	picture   *picture
	embedding []byte // nil where the device gives none
}

// holds is the button that is held, if one is.
type holds struct {
	mu  sync.Mutex
	now *hold
}

// StartTeaching begins to collect the frames of the source, to be taught under label.
func (s *Server) StartTeaching(label string) (t Teaching, err error) {
	defer func() { s.tell("teach", label, t.Sentence, err) }()
	if err := imprint.CheckLabel(label); err != nil {
		return Teaching{}, fmt.Errorf("teach: %w", err)
	}
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	if h := s.holds.now; h != nil && h.label != label {
		return Teaching{}, fmt.Errorf("teach %q: %w, %q", label, ErrHolding, h.label)
	}
	h := s.holds.now
	if h == nil {
		h = &hold{label: label, since: time.Now(), first: make(chan struct{}), every: 1}
		h.timer = time.AfterFunc(longestHold, func() { s.giveUp(h) })
		s.holds.now = h
	}
	t = Teaching{Label: label, State: "holding", Frames: len(h.frames), Sentence: "watching for " + label}
	s.hub.publish("teach", t)
	return t, nil
}

// collect keeps a frame that was answered, if a button is held.
func (s *Server) collect(p *picture, r predict.Result) {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	h := s.holds.now
	if h == nil || p.Captured.Before(h.since) {
		return
	}
	h.seen++
	if h.seen%h.every != 0 {
		return
	}
	h.frames = append(h.frames, observed{p, r.Embedding})
	if len(h.frames) == 1 {
		close(h.first)
	}
	if len(h.frames) > maxHeld {
		kept := h.frames[:0]
		for i := 1; i < len(h.frames); i += 2 {
			kept = append(kept, h.frames[i])
		}
		clear(h.frames[len(kept):])
		h.frames, h.every = kept, 2*h.every
	}
	s.hub.publish("teach", Teaching{Label: h.label, State: "holding", Frames: len(h.frames), Sentence: fmt.Sprintf("watching for %s: %s", h.label, count(len(h.frames), "frame"))})
}

// take ends the hold of a label; "" is any.
func (s *Server) take(label string) (*hold, error) {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	h := s.holds.now
	switch {
	case h == nil:
		return nil, ErrNotHolding
	case label != "" && label != h.label:
		return nil, fmt.Errorf("%w as %q, but as %q", ErrNotHolding, label, h.label)
	}
	h.timer.Stop()
	s.holds.now = nil
	return h, nil
}

// holding returns the hold of a label, "" being any, which goes on.
func (s *Server) holding(label string) *hold {
	s.holds.mu.Lock()
	defer s.holds.mu.Unlock()
	if h := s.holds.now; h != nil && (label == "" || label == h.label) {
		return h
	}
	return nil
}

// CancelTeaching forgets the frames that were collected.
func (s *Server) CancelTeaching(label string) (Teaching, error) {
	h, err := s.take(label)
	if err != nil {
		return Teaching{}, err
	}
	return s.cancelled(h, "let go of "+h.label+": nothing was taught"), nil
}

func (s *Server) cancelled(h *hold, sentence string) Teaching {
	t := Teaching{Label: h.label, State: "cancelled", Sentence: sentence}
	s.hub.publish("teach", t)
	s.tell("teach", h.label, sentence, nil)
	return t
}

func (s *Server) giveUp(h *hold) {
	if s.holding(h.label) == h {
		if _, err := s.take(h.label); err == nil {
			s.cancelled(h, fmt.Sprintf("%s was held for %v: nothing was taught", h.label, longestHold))
		}
	}
}

// StopTeaching teaches the frames collected, in one change, and returns when the
// generation that knows them serves. Of a button that was only tapped it waits for one
// frame.
func (s *Server) StopTeaching(ctx context.Context, label string) (t Teaching, err error) {
	defer func() { s.tell("teach", cmp.Or(t.Label, label), t.Sentence, err) }()
	start := time.Now()
	if h := s.holding(label); h != nil {
		select {
		case <-h.first:
		case <-time.After(tap):
		case <-ctx.Done():
		case <-s.stopped:
		}
	}
	h, err := s.take(label)
	if err != nil {
		return Teaching{}, fmt.Errorf("teach: %w", err)
	}
	t = Teaching{Label: h.label, State: "teaching", Frames: len(h.frames), Sentence: fmt.Sprintf("learning %s from %s", h.label, count(len(h.frames), "frame"))}
	s.hub.publish("teach", t)
	learned, err := s.teach(ctx, h)
	if err != nil {
		t.State, t.Sentence = "failed", err.Error()
		s.hub.publish("teach", t)
		return t, err
	}
	t.State, t.Frames, t.Generation = "done", learned.Photos, s.live.Generation()
	t.ElapsedMS = milliseconds(time.Since(start))
	t.Sentence = learnedSentence(h.label, "frame", learned, time.Since(start))
	s.hub.publish("teach", t)
	return t, nil
}

func learnedSentence(label, what string, l *imprint.Added, took time.Duration) string {
	if l.Photos == 0 {
		return fmt.Sprintf("nothing new of %s: %s", label, l.Skipped[0].Reason)
	}
	repeated := ""
	if n := len(l.Skipped); n > 0 {
		repeated = fmt.Sprintf(", %d left out", n)
	}
	return fmt.Sprintf("learned %s from %s%s in %d ms", label, count(l.Photos, what), repeated, took.Milliseconds())
}

// count is a number of things in words.
func count(n int, thing string) string {
	if n != 1 {
		thing += "s"
	}
	return fmt.Sprintf("%d %s", n, thing)
}

// teach learns what was collected.
func (s *Server) teach(ctx context.Context, h *hold) (*imprint.Added, error) {
	if len(h.frames) == 0 {
		return nil, fmt.Errorf("teach %s: %w while the button was held: %s", h.label, ErrNoFrames, s.source.sentence())
	}
	var learned *imprint.Added
	err := s.change(ctx, func(k *imprint.Workspace) (err error) {
		learned, err = s.add(ctx, k, h.label, h.frames)
		return err
	})
	return learned, err
}

// add teaches frames whose embeddings are known, or photos that are embedded now.
func (s *Server) add(ctx context.Context, k *imprint.Workspace, label string, frames []observed) (*imprint.Added, error) {
	var known []imprint.Observation
	var items []dataset.Item
	for _, f := range frames {
		photo, err := f.picture.encoded()
		if err != nil {
			return nil, err
		}
		path, err := s.keepPhoto(photo)
		if err != nil {
			return nil, err
		}
		if f.embedding != nil {
			known = append(known, imprint.Observation{Label: label, Photo: sumOf(photo), Path: path, Source: s.source.source, Taken: f.picture.Captured, Embedding: f.embedding})
		} else {
			items = append(items, dataset.Item{Label: label, Path: path, Content: photo, Source: s.source.source, Time: f.picture.Captured})
		}
	}
	if items != nil {
		return k.Add(ctx, items, imprint.AddOptions{})
	}
	return k.AddObservations(ctx, known)
}

// change has f change the workspace and, when it has, the server reload it: both are
// done when change returns without error.
func (s *Server) change(ctx context.Context, f func(*imprint.Workspace) error) error {
	return s.alone(ctx, func(k *imprint.Workspace) error {
		if err := f(k); err != nil {
			return err
		}
		_, err := s.reload(ctx)
		return err
	})
}

// alone calls f with the workspace as it is now, while nobody else in this process
// changes it.
func (s *Server) alone(ctx context.Context, f func(*imprint.Workspace) error) error {
	select {
	case s.changing <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-s.changing }()
	k, err := s.live.Workspace(ctx)
	if err != nil {
		return err
	}
	defer k.Close()
	return f(k)
}

// photosDir is where in a workspace the photos lie that came over the network or from a
// camera.
const photosDir = "photos"

// keepPhoto puts a photo into the workspace and returns where it is. What a class is
// taught from is in the workspace's state: the photo is kept to be looked at, and to
// be taught anew with another backbone, so the disk is not waited for.
func (s *Server) keepPhoto(photo []byte) (path string, err error) {
	dir, err := filepath.Abs(filepath.Join(s.dir, photosDir))
	if err != nil {
		return "", err
	}
	path = filepath.Join(dir, fmt.Sprintf("%x%s", sumOf(photo), extension(photo)))
	if info, err := os.Stat(path); err == nil && info.Size() == int64(len(photo)) {
		return path, nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("keep a photo: %w", err)
	}
	f, err := os.CreateTemp(dir, ".photo-*.tmp")
	if err != nil {
		return "", fmt.Errorf("keep a photo: %w", err)
	}
	_, err = f.Write(photo)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		os.Remove(f.Name())
		return "", fmt.Errorf("keep a photo: %w", err)
	}
	return path, nil
}

// photoAge is how old a photo that nobody remembers must be to be thrown away: another
// process may be about to teach a younger one.
const photoAge = time.Hour

// sweepPhotos throws away the photos that are not taught any more, and can't be by
// undoing changes.
func (s *Server) sweepPhotos(ctx context.Context) error {
	entries, err := os.ReadDir(filepath.Join(s.dir, photosDir))
	if errors.Is(err, os.ErrNotExist) || len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	return s.alone(ctx, func(k *imprint.Workspace) error {
		remembered := k.HasPhoto()
		for _, e := range entries {
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > photoAge && !remembered(strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))) {
				os.Remove(filepath.Join(s.dir, photosDir, e.Name()))
			}
		}
		return nil
	})
}
