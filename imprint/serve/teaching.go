package serve

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/imprint"
)

const (
	// tapTimeout is the time that StopTeaching waits for a frame if none arrived while the button
	// was held.
	tapTimeout = 2 * time.Second
	// longestHold is the longest time that a button can be held. After that the recording is
	// canceled, because the release was probably lost, for example when a web page was closed.
	longestHold = 2 * time.Minute
)

var (
	// ErrHolding means that another label's button is held.
	ErrHolding = errors.New("another button is held")
	// ErrNotHolding means that the label's button is not held.
	ErrNotHolding = errors.New("no button is held")
	// ErrNoFrames means that no frame arrived while the button was held.
	ErrNoFrames = errors.New("no frame arrived")
)

// Teaching is the progress of training a class while a button is held. It is the data of
// the event "teach".
type Teaching struct {
	Label string `json:"label"`
	// Region is the region whose pictures are collected, or "" for whole pictures.
	Region string `json:"region,omitempty"`
	// State is "holding", "teaching", "done", "failed" or "cancelled".
	State  string `json:"state"`
	Frames int    `json:"frames"` // frames collected so far or, if State is "done", added
	// Generation is the generation trained with the frames, if State is "done".
	Generation uint64 `json:"generation"`
	// ElapsedMS is the time in milliseconds from the release of the button until Generation is in
	// use.
	ElapsedMS float64 `json:"elapsed_ms"`
	Sentence  string  `json:"sentence"`
}

// StartTeaching starts collecting frames to train label: what the named region shows, or whole
// pictures if region is "". It changes nothing if the label's button is already held, and fails with
// ErrHolding if another button is held, and with ErrNoRegion if there is no such region.
//
// With a detector, it collects the largest object in each frame.
func (s *Server) StartTeaching(label, region string) (t Teaching, err error) {
	return s.startTeaching(label, region, nil)
}

// startTeaching is like StartTeaching, for the object at a point unless at is nil.
func (s *Server) startTeaching(label, region string, at *point) (t Teaching, err error) {
	defer func() { s.notices.send("teach", label, t.Sentence, err) }()
	if err := imprint.CheckLabel(label); err != nil {
		return Teaching{}, fmt.Errorf("train: %w", err)
	}
	if region != "" && s.regions.find(region) == nil {
		return Teaching{}, fmt.Errorf("train: %w: %q", ErrNoRegion, region)
	}
	return s.holds.start(label, region, at, s.giveUp)
}

// StopTeaching trains label with the collected frames, in one change. It returns when the new
// generation is in use. If the button was only tapped and no frame has arrived yet, StopTeaching
// waits up to two seconds for a frame. If label is "", it is the label of the held button.
// StopTeaching fails with ErrNotHolding if the label's button is not held, and with ErrNoFrames if
// no frame arrives.
func (s *Server) StopTeaching(ctx context.Context, label string) (t Teaching, err error) {
	defer func() { s.notices.send("teach", cmp.Or(t.Label, label), t.Sentence, err) }()
	start := time.Now()
	if h := s.holds.current(label); h != nil {
		select {
		case <-h.first:
		case <-time.After(tapTimeout):
		case <-ctx.Done():
		case <-s.device.stopped:
		}
	}
	h, err := s.holds.end(label)
	if err != nil {
		return Teaching{}, fmt.Errorf("train: %w", err)
	}
	t = Teaching{Label: h.label, Region: h.area, State: "teaching", Frames: len(h.frames), Sentence: fmt.Sprintf("learning %s from %s", h.label, count(len(h.frames), "frame"))}
	s.events.publish("teach", t)
	added, err := s.train(ctx, h)
	if err != nil {
		t.State, t.Sentence = "failed", err.Error()
		s.events.publish("teach", t)
		return t, err
	}
	t.State, t.Frames, t.Generation = "done", added.Photos, s.live.Generation()
	t.ElapsedMS = milliseconds(time.Since(start))
	t.Sentence = learned(h.label, "frame", added, time.Since(start))
	s.events.publish("teach", t)
	return t, nil
}

func (s *Server) train(ctx context.Context, h *hold) (added *imprint.Added, err error) {
	if len(h.frames) == 0 {
		return nil, fmt.Errorf("train %s: %w while the button was held: %s", h.label, ErrNoFrames, s.intake.status.explain())
	}
	err = s.change(ctx, func(ws *imprint.Workspace) (err error) {
		added, err = s.workspace.add(ctx, ws, h.label, s.sourceOf(h.area), h.frames)
		return err
	})
	return added, err
}

// CancelTeaching discards the collected frames. If label is "", it is the label of the held button.
// CancelTeaching fails with ErrNotHolding if the label's button is not held.
func (s *Server) CancelTeaching(label string) (Teaching, error) {
	h, err := s.holds.end(label)
	if err != nil {
		return Teaching{}, err
	}
	return s.cancelled(h, fmt.Sprintf("canceled %s; learned nothing", h.label)), nil
}

func (s *Server) cancelled(h *hold, sentence string) Teaching {
	t := Teaching{Label: h.label, Region: h.area, State: "cancelled", Sentence: sentence}
	s.events.publish("teach", t)
	s.notices.send("teach", h.label, sentence, nil)
	return t
}

// giveUp cancels a hold that has lasted for longestHold.
func (s *Server) giveUp(h *hold) {
	if s.holds.current(h.label) == h {
		if _, err := s.holds.end(h.label); err == nil {
			s.cancelled(h, fmt.Sprintf("canceled %s, held for %.0f minutes; learned nothing", h.label, longestHold.Minutes()))
		}
	}
}
