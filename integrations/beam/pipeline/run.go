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
	"github.com/apache/beam/sdks/v2/go/pkg/beam/register"

	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// Options say how pipelines run.
type Options struct {
	Runner   string                         // name of a Beam runner; "" means prism
	Threads  int                            // maximum number of cores to use in one process; 0 means all
	Attempts int                            // how often a pipeline that fails runs; 0 means 3
	Progress func(done, total int)          // called about once a second, if not nil
	Retry    func(attempt int, cause error) // called before a pipeline runs again, if not nil
	patience time.Duration                  // with a worker process that ended; 0 means endedFor
}

// Beam finds functions and types by name, in worker processes too, so it must know them before main.
func init() {
	register.DoFn4x1[context.Context, int, func(int, []byte), func(string), error](&embedFn{})
	register.DoFn3x0[int, func(*[]byte) bool, func(string)](&duplicatesFn{})
	register.DoFn2x1[int, func(*string) bool, error](&collectFn{})
	register.DoFn1x1[sums, error](&saveFn{})
	register.DoFn3x1[context.Context, pairTask, func(int, []byte), error](&pairsFn{})
	register.DoFn3x1[int, func(*[]byte) bool, func(string), error](&groupsFn{})
	register.DoFn2x1[queryTask, func(int, int), error](&correctFn{})
	register.Combiner2[sums, rowRange](&sumsFn{})
	register.Emitter1[string]()
	register.Emitter2[int, []byte]()
	register.Emitter2[int, int]()
	register.Iter1[string]()
	register.Iter1[[]byte]()
	register.Function1x2(withKey)
	register.Function2x1(sumLine)
	beam.RegisterType(reflect.TypeFor[pairTask]())
	beam.RegisterType(reflect.TypeFor[queryTask]())
	beam.RegisterType(reflect.TypeFor[rowRange]())
	beam.RegisterCoder(reflect.TypeFor[sums](), encodeSums, decodeSums)
}

// run runs the pipeline that build makes, and again if it fails: a runner may give up when a worker
// dies. It returns the counters.
func run(ctx context.Context, o Options, build func(beam.Scope)) (map[string]int64, error) {
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
	stop, err := watchWorkers(cancel, cmp.Or(o.patience, endedFor))
	if err != nil {
		return nil, fmt.Errorf("watch the worker processes: %w", err)
	}
	defer stop()
	p, s := beam.NewPipelineWithRoot()
	build(s)
	result, err := beam.Run(watched, cmp.Or(o.Runner, "prism"), p)
	if err != nil {
		if cause := context.Cause(watched); errors.Is(cause, errWorkerEnded) {
			err = cause
		}
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

// WorkerArguments returns the flags for Beam's worker if a runner started this process with
// --environment_type=PROCESS, else nil. Such a runner passes only the worker's name and one address. The
// command that runs the pipeline notices from then on when this process ends.
func WorkerArguments(args []string) []string {
	var id, endpoint string
	for _, a := range args {
		if v, ok := strings.CutPrefix(a, "--id="); ok {
			id = strings.Trim(v, "'")
		}
		if v, ok := strings.CutPrefix(a, "--provision_endpoint="); ok {
			endpoint = v
		}
	}
	if id == "" || endpoint == "" {
		return nil
	}
	connect()
	return []string{"--worker", "--id=" + id, "--logging_endpoint=" + endpoint, "--control_endpoint=" + endpoint}
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
