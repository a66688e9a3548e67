package serve

import (
	"context"
	"fmt"
	"time"

	"github.com/imprintkit/imprint/imprint/live"
)

// Generation is the data of the event "generation", which is sent when a new generation is in
// use.
type Generation struct {
	Generation uint64  `json:"generation"`
	Classes    int     `json:"classes"`
	ElapsedMS  float64 `json:"elapsed_ms"` // time to load the generation
}

// Reload loads the newest generation of the workspace. If it is damaged, the previous generation
// stays in use.
func (s *Server) Reload(ctx context.Context) (c Changed, err error) {
	defer func() { s.notices.send("reload", "", c.Sentence, err) }()
	r, err := s.reload(ctx)
	return Changed{r.Generation, fmt.Sprintf("serving generation %d (reloaded in %d ms)", r.Generation, r.Elapsed.Milliseconds())}, err
}

func (s *Server) reload(ctx context.Context) (live.Reloaded, error) {
	r, err := s.live.Reload(ctx)
	s.reloaded(r, err)
	return r, err
}

// reloaded logs and publishes the outcome of a reload.
func (s *Server) reloaded(r live.Reloaded, err error) {
	if err != nil {
		s.log.Error("reload failed", "error", err)
		return
	}
	for _, w := range r.Warnings {
		s.log.Warn(w)
	}
	if !r.Changed {
		return
	}
	s.metrics.reload.Update(r.Elapsed.Seconds())
	s.events.publish("generation", Generation{r.Generation, r.Classes, milliseconds(r.Elapsed)})
	s.classes.refresh()
	s.regions.publish() // wakes those that show the labels
}

// watchWorkspace reloads whenever another process changes the workspace.
func (s *Server) watchWorkspace(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.live.Watch(ctx, func(r live.Reloaded, err error) {
			s.reloaded(r, err)
			if err != nil {
				s.notices.send("reload", "", "", err)
			}
		})
		if ctx.Err() == nil {
			s.log.Error("can't watch the workspace", "error", err)
			sleep(ctx, longestWait)
		}
	}
}

// maintain publishes the list of classes and deletes old photos after each reload, so that no
// client has to wait for this work.
func (s *Server) maintain(ctx context.Context) {
	var swept time.Time
	for {
		if time.Since(swept) > photoAge/4 {
			swept = time.Now()
			if err := s.workspace.sweep(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("can't delete old photos", "error", err)
			}
		}
		c, err := s.Classes(ctx)
		if err == nil {
			s.events.publish("classes", c)
		} else if ctx.Err() == nil {
			s.log.Error("can't list the classes", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.classes.stale:
		}
	}
}
