// Package serve runs a server for a workspace. It classifies a camera's frames with the newest
// model and trains classes while a button is held. Clients use it over TCP or a Unix socket, with
// the same HTTP interface. Call [Open], then [Server.Run] with the listeners from [ListenUnix] and
// [ListenTCP].
//
// The newest frame wins: while the device is busy, one frame waits, and a newer frame replaces it.
// A single goroutine uses the device, and camera frames have priority over clients' photos, so
// clients can't slow the camera down. The server reopens a lost camera and retries a failed device
// for as long as it runs.
//
// Once a method that changes the workspace returns nil, its change is durable and the new model is
// in use. A Server is safe for concurrent use by multiple goroutines, but Run may be called only
// once.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/serve/region"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// Options configure a [Server].
type Options struct {
	// Source delivers the frames. If it is nil, clients post frames. The server closes the source.
	Source source.Source
	// Vote is the number of recent frames that vote on a label; 0 means 1.
	Vote int
	// Notify is a command that is run for each notice. Its arguments are the action, the label,
	// true or false, and the sentence.
	Notify string
	// OnNotice, if not nil, is called with each notice. It must not block.
	OnNotice func(Notice)
	// Hosts lists additional names by which clients may reach this machine. Its host name,
	// localhost and all IP addresses are always allowed.
	Hosts []string
	// Regions are added to those of the workspace. Regions that exist already only get the new
	// boxes.
	Regions []region.Region
	// RegionRate is the largest number of frames per second that regions look at; 0 means 5.
	RegionRate float64
	// OnState, if not nil, is called with each new state of a region. It must not block.
	OnState func(region.State)
	// KeepDoubtful is the folder for pictures with a doubtful answer; "" keeps none.
	KeepDoubtful string
	Log          *slog.Logger // nil discards the log
}

// A Server classifies frames and clients' photos with the model of a workspace.
type Server struct {
	options Options
	log     *slog.Logger
	started time.Time

	live      *live.Live
	workspace *workspace
	classes   *classList
	reviewer  *reviewer
	intake    *intake
	regions   *regions
	doubts    *doubts
	device    *deviceLoop
	holds     *holds
	events    *hub
	notices   *notifier
	metrics   *metrics
	http      *httpLimits
}

// Open returns a server for the workspace in dir, which need not exist yet. workspace has the
// options for [live.Open].
func Open(ctx context.Context, dir string, workspace imprint.Options, o Options) (*Server, error) {
	live, err := live.Open(ctx, dir, workspace)
	if err != nil {
		return nil, err
	}
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		options: o, log: log, started: time.Now(),
		live: live, workspace: newWorkspace(dir, workspace, live), classes: newClassList(live), reviewer: newReviewer(live),
		events: new(hub), metrics: newMetrics(), http: newHTTPLimits(),
	}
	s.notices = &notifier{command: o.Notify, callback: o.OnNotice, log: log, events: s.events, queue: make(chan Notice, notifyQueue)}
	s.intake = newIntake(o.Source, s.metrics, s.publishHealth)
	s.holds = &holds{events: s.events}
	if s.regions, err = newRegions(dir, s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	if s.doubts, err = newDoubts(s); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.intake.offer = s.regions.offer
	s.device = newDeviceLoop(s)
	s.metrics.observe(s)
	return s, nil
}

// Run classifies frames and serves the listeners until ctx ends or a listener fails. It
// closes the server and the listeners, and returns nil if ctx ended.
func (s *Server) Run(ctx context.Context, listeners ...Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	work.Go(func() { s.device.run(ctx) })
	work.Go(func() { s.intake.run(ctx) })
	work.Go(func() { s.regions.run(ctx) })
	work.Go(func() { s.doubts.run(ctx) })
	work.Go(func() { s.watchWorkspace(ctx) })
	work.Go(func() { s.maintain(ctx) })
	work.Go(func() { s.notices.run(ctx) })
	work.Go(func() { s.watchdog(ctx) })
	for _, l := range listeners {
		work.Go(func() {
			if err := s.serve(ctx, l); err != nil {
				stop(err)
			}
		})
	}
	ready := s.notifySystemd("READY=1")
	<-ctx.Done()
	if ready {
		s.notifySystemd("STOPPING=1")
	}
	work.Wait()
	s.intake.drain()
	s.regions.drain()
	s.holds.stopTimer()
	s.workspace.lock() // wait for a change that a button started
	err := s.Close()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// Close closes a server that was never run. Run closes the server itself.
func (s *Server) Close() error { return errors.Join(s.live.Close(), s.intake.close()) }

// Warnings describes the damage that Open worked around.
func (s *Server) Warnings() []string { return s.live.Warnings() }
