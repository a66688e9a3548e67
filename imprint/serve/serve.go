// Package serve keeps a workspace and its device at work: it takes frames from a
// camera, answers each with the newest model, teaches while a button is held, and
// offers all of it over HTTP and a Unix socket. Start with [ParseSource] for the
// camera, then [Open] and [Server.Run].
//
// The newest frame wins: one that comes while another is looked at waits, and the next
// takes its place. One goroutine gives the device its work, the camera's frames before
// clients' photos, so that no client slows the camera down, by being many, slow, or
// hostile. A source that is lost is opened again, and a device that fails is tried
// again, for as long as the server runs.
//
// What a teaching method has returned from without error is on the disk, and is served.
package serve

import (
	"context"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
)

// Options say what a server does.
type Options struct {
	Source Source // of frames; nil: clients post them
	// Vote is the number of frames that vote on a label; 0 is 1.
	Vote int
	// Notify is a command that is run for each notice, with its action, its label, true
	// or false, and its sentence as arguments. Told, if not nil, is called with each, and
	// must not block.
	Notify string
	Told   func(Notice)
	// Hosts are names of this machine that clients may use besides those it knows itself.
	Hosts []string
	Log   *slog.Logger // nil for silence
}

// A Server answers frames and clients with the model of a workspace. Its methods may be
// called from several goroutines.
type Server struct {
	dir       string
	workspace imprint.Options
	options   Options
	log       *slog.Logger
	live      *live.Live
	started   time.Time
	metrics   *metrics
	hub       hub

	accepting sync.Mutex
	frames    uint64 // that came
	arrivals  arrivals
	queue     *latest
	jobs      chan *job
	notices   chan Notice
	view      *board[*picture] // the newest frame
	result    *board[*Result]  // of the newest frame that was answered
	source    sourceCondition
	device    deviceCondition
	completed atomic.Uint64 // photos that the device has answered
	stopped   chan struct{} // closed when the loop has ended

	// Of the loop.
	vote       vote
	cost       time.Duration // of a client's photo
	deviceWait backoff

	holds    holds
	changing chan struct{} // holds one value while somebody changes the workspace
	listing  sync.Mutex
	classes  *Classes // of the generation that it names; nil at first
	list     chan struct{}

	times    times
	bodies   *semaphore.Weighted // bytes of requests
	decoding chan struct{}       // holds one value for each photo that is being decoded
	streams  chan struct{}       // and for each stream
}

// Open makes a server of the workspace in dir, which need not exist yet. The options of
// the workspace are as for live.Open.
func Open(ctx context.Context, dir string, kit imprint.Options, o Options) (*Server, error) {
	live, err := live.Open(ctx, dir, kit)
	if err != nil {
		return nil, err
	}
	s := &Server{
		dir: dir, workspace: kit, options: o, log: o.Log, live: live, started: time.Now(),
		queue: newLatest(), jobs: make(chan *job), notices: make(chan Notice, notifyQueue), view: newBoard[*picture](), result: newBoard[*Result](),
		vote: vote{size: o.Vote}, deviceWait: backoff{longest: longestDeviceWait},
		changing: make(chan struct{}, 1), list: make(chan struct{}, 1), stopped: make(chan struct{}),
		times: usualTimes, bodies: semaphore.NewWeighted(maxBodies), decoding: make(chan struct{}, max(runtime.GOMAXPROCS(0)/2, 1)), streams: make(chan struct{}, maxStreams),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.source.source, s.source.state = "none", "none"
	if o.Source != nil {
		s.source.source, s.source.state = o.Source.String(), "starting"
	}
	s.device.state = "unused"
	s.source.changed, s.device.changed = s.stateChanged, s.stateChanged
	s.metrics = newMetrics(s)
	return s, nil
}

// Run answers frames, and the clients that come to the listeners, until ctx ends or
// something fails for good. It returns nil after ctx has ended, and closes all.
func (s *Server) Run(ctx context.Context, listeners ...Listener) error {
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var work sync.WaitGroup
	work.Go(func() { s.answer(ctx) })
	if s.options.Source != nil {
		work.Go(func() { s.read(ctx) })
	}
	work.Go(func() { s.watch(ctx) })
	work.Go(func() { s.keepList(ctx) })
	work.Go(func() { s.runNotify(ctx) })
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
	s.drop(s.queue.take())
	if h := s.holding(""); h != nil {
		h.timer.Stop()
	}
	s.changing <- struct{}{} // what a button has begun is finished
	err := s.Close()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}

// Close ends a server that was not Run, or has.
func (s *Server) Close() error {
	err := s.live.Close()
	if s.options.Source != nil {
		err = errors.Join(err, s.options.Source.Close())
	}
	return err
}

// reload serves what the workspace holds now.
func (s *Server) reload(ctx context.Context) (live.Reloaded, error) {
	r, err := s.live.Reload(ctx)
	s.reloaded(r, err)
	return r, err
}

// Generation is the data of the event "generation".
type Generation struct {
	Generation uint64  `json:"generation"`
	Classes    int     `json:"classes"`
	ElapsedMS  float64 `json:"elapsed_ms"`
}

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
	s.metrics.reload.Observe(r.Elapsed.Seconds())
	s.hub.publish("generation", Generation{r.Generation, r.Classes, milliseconds(r.Elapsed)})
	select {
	case s.list <- struct{}{}:
	default:
	}
}

// watch reloads when another process has changed the workspace.
func (s *Server) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := s.live.Watch(ctx, func(r live.Reloaded, err error) {
			s.reloaded(r, err)
			if err != nil {
				s.tell("reload", "", "", err)
			}
		})
		if ctx.Err() == nil {
			s.log.Error("the workspace can't be watched", "error", err)
			sleep(ctx, longestWait)
		}
	}
}

// keepList keeps the list of classes up to date, and the photos few, away from those
// who wait.
func (s *Server) keepList(ctx context.Context) {
	var swept time.Time
	for {
		if time.Since(swept) > photoAge/4 {
			swept = time.Now()
			if err := s.sweepPhotos(ctx); err != nil && ctx.Err() == nil {
				s.log.Error("old photos can't be thrown away", "error", err)
			}
		}
		c, err := s.Classes(ctx)
		if err == nil {
			s.hub.publish("classes", c)
		} else if ctx.Err() == nil {
			s.log.Error("the classes can't be listed", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-s.list:
		}
	}
}

// Warnings tell of damage that Open worked around.
func (s *Server) Warnings() []string { return s.live.Warnings() }
