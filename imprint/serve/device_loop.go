package serve

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

const (
	// jobTimeout is the longest time that a client's photo waits for the device.
	jobTimeout = 5 * time.Second
	// jobPriority is the wait after which a client's photo takes precedence over camera frames.
	jobPriority = time.Second
)

var (
	// ErrBusy means that the server has no time or memory for a client's photo.
	ErrBusy = errors.New("the server is busy")
	// errStopping is the error for clients that are waiting when the server stops.
	errStopping = errors.New("the server is shutting down")
)

// deviceLoop runs the model in one goroutine. Camera frames have priority, and the whole picture and
// its regions take turns. A client's photo starts only if it should be finished before the next
// frame arrives, or once it has waited for jobPriority; after that, it need not wait for regions.
type deviceLoop struct {
	live    *live.Live
	frames  *intake
	regions *regions
	holds   *holds
	doubts  *doubts
	events  *hub
	metrics *metrics
	status  *deviceStatus

	jobs      chan *job
	results   *latestValue[*Result] // results of frames
	completed atomic.Uint64         // number of frames and photos classified
	stopped   chan struct{}         // closed when run returns

	// The fields below are used only by the goroutine of run.
	vote    vote
	jobCost time.Duration // moving average of the time for a job
	retry   backoff
}

// newDeviceLoop returns a loop for s. The other fields of s must already be set.
func newDeviceLoop(s *Server) *deviceLoop {
	return &deviceLoop{
		live: s.live, frames: s.intake, regions: s.regions, holds: s.holds, doubts: s.doubts, events: s.events, metrics: s.metrics, status: newDeviceStatus(s.publishHealth),
		jobs: make(chan *job), results: newLatestValue[*Result](), stopped: make(chan struct{}),
		vote: vote{size: s.options.Vote}, retry: backoff{longest: longestDeviceWait},
	}
}

// A job is a client's photo to classify.
type job struct {
	picture *live.Picture
	since   time.Time
	done    chan<- jobResult // has room for one result
}

type jobResult struct {
	result predict.Result
	err    error
}

// submit passes a client's photo to the loop and waits for the result.
func (l *deviceLoop) submit(ctx context.Context, p *live.Picture) (predict.Result, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, jobTimeout, ErrBusy)
	defer cancel()
	done := make(chan jobResult, 1)
	select {
	case l.jobs <- &job{p, time.Now(), done}:
	case <-ctx.Done():
		return predict.Result{}, context.Cause(ctx)
	case <-l.stopped:
		return predict.Result{}, errStopping
	}
	select {
	case r := <-done:
		return r.result, r.err
	case <-ctx.Done():
		return predict.Result{}, context.Cause(ctx)
	case <-l.stopped:
		return predict.Result{}, errStopping
	}
}

func (l *deviceLoop) run(ctx context.Context) {
	defer close(l.stopped)
	l.warmUp(ctx)
	var waiting *job
	afterRegion := false // whether the last picture was that of a region
	for ctx.Err() == nil {
		jobs := l.jobs
		var due <-chan time.Time
		if waiting != nil {
			jobs = nil
			d := min(l.frames.arrivals.delay(time.Now(), l.jobCost), time.Until(waiting.since.Add(jobPriority)))
			if d <= 0 && (afterRegion || !l.regions.pending()) {
				l.classifyJob(ctx, waiting)
				waiting, afterRegion = nil, false
				continue
			}
			due = time.After(max(d, 0))
		}
		if p := l.regions.take(); p != nil {
			l.classifyFrame(ctx, p)
			if afterRegion = p.part != nil; waiting == nil {
				select {
				case waiting = <-jobs:
				default:
				}
			}
			continue
		}
		var again <-chan time.Time
		if l.status.health().State == "down" {
			again = time.After(longestDeviceWait)
		}
		select {
		case <-ctx.Done():
		case <-l.frames.waiting.ready:
		case waiting = <-jobs:
		case <-due:
		case <-again: // without a camera, nothing else tries the device
			l.warmUp(ctx)
		}
	}
}

// warmUp opens the Edge TPUs, if any are used: it takes seconds, which no frame should wait
// for, and health should say from the start whether there are any.
func (l *deviceLoop) warmUp(ctx context.Context) {
	device, err := l.live.WarmUp(ctx)
	if ctx.Err() == nil && (err != nil || device != "") {
		l.status.set(device, err)
	}
}

func (l *deviceLoop) classifyJob(ctx context.Context, j *job) {
	start := time.Now()
	if start.Sub(j.since) > jobTimeout {
		return // the client has given up
	}
	r, err := l.classify(ctx, func() (predict.Result, error) { return l.live.ObservePicture(ctx, j.picture, topClasses) })
	l.jobCost = (3*l.jobCost + time.Since(start)) / 4
	j.done <- jobResult{r, err}
}

func (l *deviceLoop) classifyFrame(ctx context.Context, p *picture) {
	r, err := l.classify(ctx, func() (predict.Result, error) { return p.classify(ctx, l.live) })
	if err != nil {
		l.failed(ctx, p, err)
		return
	}
	l.retry.reset()
	l.holds.collect(p, r)
	l.doubts.offer(p, r)
	if p.part != nil {
		l.regions.answer(p, r)
		return
	}
	v := newResult(p, r)
	v.Voted = l.vote.add(r.Generation, v.Voted)
	l.metrics.answered.Inc()
	l.metrics.latency.Update(v.LatencyMS / 1000)
	if v.Unknown {
		l.metrics.unknown.Inc()
	}
	l.results.put(&v)
	l.events.publish("result", v)
	p.answer(reply{result: v})
}

// failed records that a frame could not be classified.
func (l *deviceLoop) failed(ctx context.Context, p *picture, err error) {
	if p.part != nil {
		l.regions.fail(p.part.of)
	} else {
		l.metrics.failedFrames.Inc()
		p.answer(reply{err: err})
	}
	switch {
	case isUnreadable(err):
		l.frames.status.unreadable(err)
	case ctx.Err() == nil:
		sleep(ctx, l.retry.wait())
	}
}

// classify calls run to run the model, and updates the device's status and metrics.
func (l *deviceLoop) classify(ctx context.Context, run func() (predict.Result, error)) (predict.Result, error) {
	r, err := run()
	switch {
	case ctx.Err() != nil:
		return r, errStopping
	case isUnreadable(err), errors.Is(err, imprint.ErrOtherResize):
		return r, err
	}
	l.status.set(r.Device, err)
	if err != nil {
		l.metrics.deviceFailed(err)
		return r, err
	}
	l.metrics.inferred(r.Device, r.Elapsed)
	l.completed.Add(1)
	return r, nil
}
