package serve

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

const (
	// jobPatience is how long a client's photo waits at most for the device, and fairness
	// after how long it may hold up a frame of the camera.
	jobPatience = 5 * time.Second
	fairness    = time.Second
	// topClasses is how many classes a result names.
	topClasses = 5
	// The waits after a source or the device has failed.
	firstWait, longestWait = 100 * time.Millisecond, 5 * time.Second
	longestDeviceWait      = time.Second
)

var (
	// ErrBusy is wrapped when the device had no time for a client's photo.
	ErrBusy = errors.New("the device has no time")
	// ErrDropped is returned for a posted frame that a newer one replaced before it was
	// looked at.
	ErrDropped = errors.New("a newer frame came first")
	// errStopping is returned by a server that is being stopped.
	errStopping = errors.New("the server is stopping")
)

// A backoff is how long to wait after failures in a row.
type backoff struct {
	next, longest time.Duration
}

func (b *backoff) reset() { b.next = 0 }

// wait returns how long to wait after another failure.
func (b *backoff) wait() time.Duration {
	b.next = min(max(2*b.next, firstWait), b.longest)
	return b.next
}

func sleep(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// read takes frames from the source until ctx or the source ends. A source that fails
// is asked again and again.
func (s *Server) read(ctx context.Context) {
	source, wait := s.options.Source, backoff{longest: longestWait}
	for ctx.Err() == nil {
		f, err := source.Next(ctx)
		switch {
		case ctx.Err() != nil:
		case err == io.EOF:
			s.source.set("ended", nil)
			return
		case err != nil:
			s.source.set("lost", err)
			sleep(ctx, wait.wait())
		default:
			wait.reset()
			s.source.set("ok", nil)
			s.accept(&picture{Frame: f})
		}
	}
}

// accept numbers a frame and puts it where the loop takes the newest.
func (s *Server) accept(p *picture) {
	s.accepting.Lock()
	defer s.accepting.Unlock()
	p.number = s.frames + 1
	s.frames = p.number
	s.arrivals.tick(time.Now())
	s.view.put(p)
	s.drop(s.queue.put(p))
}

// drop counts a frame that nobody will look at, if there is one.
func (s *Server) drop(p *picture) {
	if p != nil {
		s.metrics.frames.WithLabelValues("dropped").Inc()
		p.tell(answer{err: ErrDropped})
	}
}

func (p *picture) tell(a answer) {
	if p.reply != nil {
		p.reply <- a
	}
}

// A job is a client's photo.
type job struct {
	picture *live.Picture
	since   time.Time
	done    chan<- jobDone // with room for one
}

type jobDone struct {
	result predict.Result
	err    error
}

// submit has the loop classify a client's photo when the camera leaves it time.
func (s *Server) submit(ctx context.Context, p *live.Picture) (predict.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, jobPatience, ErrBusy)
	defer cancel()
	done := make(chan jobDone, 1)
	select {
	case s.jobs <- &job{p, time.Now(), done}:
	case <-ctx.Done():
		return predict.Result{}, context.Cause(ctx)
	case <-s.stopped:
		return predict.Result{}, errStopping
	}
	select {
	case d := <-done:
		return d.result, d.err
	case <-ctx.Done():
		return predict.Result{}, context.Cause(ctx)
	case <-s.stopped:
		return predict.Result{}, errStopping
	}
}

// answer is the loop: the one goroutine that gives the device work. A frame of the
// camera goes first, and a client's photo only begins when it will be done before the
// next frame is expected, unless it has waited for long.
func (s *Server) answer(ctx context.Context) {
	defer close(s.stopped)
	var waiting *job
	for {
		jobs := s.jobs
		var due <-chan time.Time
		if waiting != nil {
			jobs = nil
			d := min(s.arrivals.clear(time.Now(), s.cost), time.Until(waiting.since.Add(fairness)))
			if d <= 0 && len(s.queue.ready) == 0 {
				s.work(ctx, waiting)
				waiting = nil
				continue
			}
			due = time.After(max(d, 0))
		}
		select {
		case <-ctx.Done():
			return
		case <-s.queue.ready:
			if p := s.queue.take(); p != nil {
				s.frame(ctx, p)
			}
		case waiting = <-jobs:
		case <-due:
		}
	}
}

// work does a client's job.
func (s *Server) work(ctx context.Context, j *job) {
	start := time.Now()
	if start.Sub(j.since) > jobPatience {
		return // nobody waits for it
	}
	r, err := s.account(ctx, func() (predict.Result, error) { return s.live.ObservePicture(ctx, j.picture, topClasses) })
	s.cost = (3*s.cost + time.Since(start)) / 4
	j.done <- jobDone{r, err}
}

// account runs the model by look, and keeps account of the device.
func (s *Server) account(ctx context.Context, look func() (predict.Result, error)) (predict.Result, error) {
	r, err := look()
	switch {
	case ctx.Err() != nil:
		return r, errStopping
	case isSpoilt(err), errors.Is(err, imprint.ErrOtherResize):
		return r, err
	}
	s.device.set(r.Device, err)
	if err != nil {
		s.metrics.failed(err)
		return r, err
	}
	s.metrics.inference.WithLabelValues(r.Device).Observe(r.Elapsed.Seconds())
	s.completed.Add(1)
	return r, nil
}

// frame answers one frame of the camera.
func (s *Server) frame(ctx context.Context, p *picture) {
	r, err := s.account(ctx, func() (predict.Result, error) { return p.observe(ctx, s.live) })
	if err != nil {
		s.metrics.frames.WithLabelValues("failed").Inc()
		p.tell(answer{err: err})
		switch {
		case isSpoilt(err):
			s.source.spoilt(err)
		case ctx.Err() == nil:
			sleep(ctx, s.deviceWait.wait())
		}
		return
	}
	s.deviceWait.reset()
	v := newResult(p, r)
	v.Voted = s.vote.add(r.Generation, v.Voted)
	s.collect(p, r)
	s.metrics.frames.WithLabelValues("answered").Inc()
	s.metrics.latency.Observe(v.LatencyMS / 1000)
	if v.Unknown {
		s.metrics.unknown.Inc()
	}
	s.result.put(&v)
	s.hub.publish("result", v)
	p.tell(answer{result: v})
}

// arrivals says when the next frame of the camera is expected.
type arrivals struct {
	mu     sync.Mutex
	last   time.Time
	period time.Duration // mean; 0 until it is known
}

func (a *arrivals) tick(now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if d := now.Sub(a.last); !a.last.IsZero() && d < time.Second {
		if a.period == 0 {
			a.period = d
		}
		a.period = (7*a.period + d) / 8
	}
	a.last = now
}

// clear returns how long work of that length has to wait until it comes in no
// frame's way.
func (a *arrivals) clear(now time.Time, work time.Duration) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.period == 0 {
		return 0
	}
	expected := a.last.Add(a.period)
	if now.Sub(expected) > a.period || now.Add(work).Before(expected) {
		return 0 // no camera any more, or time enough
	}
	return max(expected.Sub(now), 0) + time.Millisecond
}
