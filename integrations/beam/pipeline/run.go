// Package pipeline embeds photos, and trains and evaluates models on the embeddings, with Apache Beam.
// Start with [Embed], then call [Fit] or [Evaluate] for the folder that it filled.
//
// All workers and the caller read and write the same folder. Only small elements pass through Beam: the
// numbers of chunks and rows, exact sums, and the hashes of photos.
package pipeline

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"

	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// Options say how pipelines run.
type Options struct {
	Runner   string                         // name of a Beam runner; "" means prism
	Workers  int                            // number of worker processes that prism starts; 0 means to use this process
	Threads  int                            // maximum number of cores to use in one process; 0 means all
	Attempts int                            // how often a pipeline that fails runs; 0 means 3
	Progress func(done, total int)          // called about once a second, if not nil
	Retry    func(attempt int, cause error) // called before a pipeline runs again, if not nil
	patience time.Duration                  // with a worker process that ended; 0 means endedFor
}

// Beam finds functions and types by name, in worker processes too, so it must know them before main. Package
// register would make calls faster, but here they take long anyway, and its code takes minutes to compile.
func init() {
	for _, fn := range []any{
		&embedFn{}, &duplicatesFn{}, &collectFn{}, &saveFn{}, &sumsFn{}, &pairsFn{}, &groupsFn{},
		&nearestFn{}, &bordersFn{}, &comparedFn{}, &correctFn{},
	} {
		beam.RegisterType(reflect.TypeOf(fn))
	}
	for _, fn := range []any{withKey, sumLine, addSums} {
		beam.RegisterFunction(fn)
	}
	beam.RegisterType(reflect.TypeFor[cell]())
	beam.RegisterType(reflect.TypeFor[cellTask]())
	beam.RegisterType(reflect.TypeFor[pairTask]())
	beam.RegisterType(reflect.TypeFor[queryTask]())
	beam.RegisterType(reflect.TypeFor[rowRange]())
	beam.RegisterCoder(reflect.TypeFor[sums](), encodeSums, decodeSums)
}

// run runs the pipeline that build makes, and again if it fails: a runner may give up when a worker
// dies. It returns the counters.
func run(ctx context.Context, o Options, build func(beam.Scope)) (map[string]int64, error) {
	if o.Workers > 0 && !o.onPrism() {
		return nil, fmt.Errorf("start %d workers: runner %q starts workers itself", o.Workers, o.Runner)
	}
	var failed []error
	for attempt := range cmp.Or(o.Attempts, 3) {
		if attempt > 0 && o.Retry != nil {
			o.Retry(attempt, failed[attempt-1])
		}
		counters, err := runOnce(ctx, o, build)
		if err == nil {
			return counters, nil
		}
		failed = append(failed, err)
		if ctx.Err() != nil {
			break
		}
	}
	return nil, errors.Join(failed...)
}

func runOnce(ctx context.Context, o Options, build func(beam.Scope)) (map[string]int64, error) {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	p, s := beam.NewPipelineWithRoot()
	build(s)
	if o.onPrism() {
		if o.Workers > 0 {
			stop, err := watchWorkers(cancel, cmp.Or(o.patience, endedFor))
			if err != nil {
				return nil, fmt.Errorf("watch the worker processes: %w", err)
			}
			defer stop()
		}
		counters, err := runOnPrism(watched, p, o.Workers)
		if cause := context.Cause(watched); err != nil && errors.Is(cause, errWorkerEnded) {
			err = cause
		}
		return counters, err
	}
	result, err := beam.Run(ctx, o.Runner, p)
	if err != nil {
		return nil, err
	}
	counters := make(map[string]int64)
	for _, c := range result.Metrics().AllMetrics().Counters() {
		counters[c.Name()] += c.Result()
	}
	return counters, nil
}

// engines holds the engines of this process, so that all functions in it share the weights. They live
// as long as the process.
var engines struct {
	sync.Mutex
	open map[bulk.Options]*engine
}

// An engine also limits how many functions work at once: a runner may start any number of them, and
// each needs memory.
type engine struct {
	*bulk.Engine
	embedding, adding chan struct{}
}

// engineOf returns the process's engine for a job.
func engineOf(j *embeddings.Job, threads int) (*engine, error) {
	engines.Lock()
	defer engines.Unlock()
	o := j.Options(threads)
	if e := engines.open[o]; e != nil {
		return e, nil
	}
	inner, err := bulk.Open(o)
	if err != nil {
		return nil, err
	}
	if engines.open == nil {
		engines.open = make(map[bulk.Options]*engine)
	}
	if threads == 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	// While one chunk is embedded on all cores, another may be read or written.
	engines.open[o] = &engine{inner, make(chan struct{}, 2), make(chan struct{}, threads)}
	return engines.open[o], nil
}

// take waits for a place in slots. The caller must call free.
func take(slots chan struct{}) (free func()) {
	slots <- struct{}{}
	return func() { <-slots }
}

// A place is the folder of a job and what is open of it, shared by the functions of all pipelines.
type place struct {
	Dir     string
	Threads int
	job     *embeddings.Job
	set     *embeddings.Set
	engine  *engine
	units   *embeddings.Units
}

// openJob opens the job and the engine.
func (p *place) openJob() (err error) {
	if p.engine != nil {
		return nil
	}
	if p.job, err = embeddings.OpenJob(p.Dir); err != nil {
		return err
	}
	if p.engine, err = engineOf(p.job, p.Threads); err != nil {
		return err
	}
	p.units = embeddings.NewUnits(p.engine.Engine)
	return nil
}

// openSet also opens the set.
func (p *place) openSet() (err error) {
	if p.set != nil {
		return nil
	}
	if err = p.openJob(); err == nil {
		p.set, err = embeddings.Open(p.Dir)
	}
	return err
}

func (p *place) close() error {
	if p.set == nil {
		return nil
	}
	defer func() { p.set = nil }()
	return p.set.Close()
}

// collect writes all lines to a file, sorted.
func collect(s beam.Scope, path string, lines beam.PCollection) {
	s = s.Scope("collect")
	all := beam.Flatten(s, lines, beam.Create(s, "")) // the empty line makes the file exist
	beam.ParDo0(s, &collectFn{path}, beam.GroupByKey(s, beam.ParDo(s, withKey, all)))
}

func withKey(line string) (int, string) { return 0, line }

type collectFn struct{ Path string }

func (f *collectFn) ProcessElement(_ int, lines func(*string) bool) error {
	var all []string
	var line string
	for lines(&line) {
		if line != "" {
			all = append(all, line)
		}
	}
	slices.Sort(all)
	all = slices.Compact(all)
	return embeddings.WriteFile(f.Path, []byte(strings.Join(all, "\n")))
}
