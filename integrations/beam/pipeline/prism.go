package pipeline

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/graphx"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/runtime/metricsx"
	jobpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/jobmanagement_v1"
	pipepb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/pipeline_v1"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/prism"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/extworker"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners/universal/runnerlib"
	"google.golang.org/protobuf/proto"
)

// onPrism reports whether pipelines run on Prism in this process.
func (o Options) onPrism() bool {
	return (o.Runner == "" || o.Runner == "prism") && *jobopts.EnvironmentType == "" && *jobopts.Endpoint == ""
}

// workerScope is the beginning of the names of scopes whose functions run in a worker of their own.
const workerScope = "worker"

// share divides elements evenly among the workers, and calls build for each. It joins what build returns.
// Prism sends all elements for a function to one worker, so each worker has its own functions.
func share[T any](s beam.Scope, o Options, elements []T, build func(beam.Scope, beam.PCollection) []beam.PCollection) []beam.PCollection {
	n := 1 // other runners divide the elements themselves
	if o.onPrism() {
		n = min(cmp.Or(o.Workers, o.Threads, runtime.GOMAXPROCS(0)), max(len(elements), 1))
	}
	var parts [][]beam.PCollection
	for w := range n {
		own := []T{}
		for i := w; i < len(elements); i += n {
			own = append(own, elements[i])
		}
		scope := s.Scope(workerScope + strconv.Itoa(w))
		for i, part := range build(scope, beam.Reshuffle(scope, beam.CreateList(scope, own))) {
			if w == 0 {
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], part)
		}
	}
	var all []beam.PCollection
	for _, p := range parts {
		all = append(all, beam.Flatten(s, p...))
	}
	return all
}

// separate gives each scope that share made an environment, for which Prism starts a worker. The first
// scope shares its environment with the rest of the pipeline.
func separate(p *pipepb.Pipeline) {
	c := p.GetComponents()
	var move func(id, environment string)
	move = func(id, environment string) {
		t := c.Transforms[id]
		if t.EnvironmentId != "" {
			t.EnvironmentId = environment
		}
		for _, part := range t.Subtransforms {
			move(part, environment)
		}
	}
	for _, id := range p.RootTransformIds {
		t := c.Transforms[id]
		number, ok := strings.CutPrefix(t.UniqueName, workerScope)
		if !ok || number == "0" || t.EnvironmentId == "" {
			continue
		}
		own := t.EnvironmentId + number
		c.Environments[own] = proto.Clone(c.Environments[t.EnvironmentId]).(*pipepb.Environment)
		move(id, own)
	}
}

// prismServer is Prism's job server in this process. It lives as long as the process.
var prismServer = sync.OnceValues(func() (jobpb.JobServiceClient, error) {
	return prism.CreateJobServer(context.Background(), prism.Options{})
})

// runOnPrism runs a pipeline with worker processes, or in this process if workers is 0. It returns the counters.
func runOnPrism(ctx context.Context, p *beam.Pipeline, workers int) (map[string]int64, error) {
	kind, config := graphx.URNEnvProcess, processConfig
	if workers == 0 {
		server, err := extworker.StartLoopback(ctx, 0)
		if err != nil {
			return nil, err
		}
		defer server.Stop(ctx)
		kind, config = graphx.URNEnvExternal, server.EnvironmentConfig
	}
	edges, _, err := p.Build()
	if err != nil {
		return nil, err
	}
	environment, err := graphx.CreateEnvironment(ctx, kind, config)
	if err != nil {
		return nil, err
	}
	environment.Dependencies = nil // the program is already there
	model, err := graphx.Marshal(edges, &graphx.Options{Environment: environment})
	if err != nil {
		return nil, err
	}
	separate(model)
	renameMetrics()
	client, err := prismServer()
	if err != nil {
		return nil, fmt.Errorf("start Prism: %w", err)
	}
	prepared, _, token, err := runnerlib.Prepare(ctx, client, model, &runnerlib.JobOptions{Name: jobopts.GetJobName()})
	if err != nil {
		return nil, err
	}
	job, err := runnerlib.Submit(ctx, client, prepared, token)
	if err != nil {
		return nil, err
	}
	if err := runnerlib.WaitForCompletion(ctx, client, job); err != nil {
		// End the other workers. The job may have ended already.
		limited, stop := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer stop()
		client.Cancel(limited, &jobpb.CancelJobRequest{JobId: job})
		return nil, err
	}
	metrics, err := client.GetJobMetrics(ctx, &jobpb.GetJobMetricsRequest{JobId: job})
	if err != nil {
		return nil, err
	}
	counters := make(map[string]int64)
	for _, c := range metricsx.FromMonitoringInfos(model, metrics.GetMetrics().GetAttempted(), metrics.GetMetrics().GetCommitted()).AllMetrics().Counters() {
		counters[c.Name()] += c.Result()
	}
	return counters, nil
}

// processConfig says that this program is the worker; see WorkerArguments.
func processConfig(context.Context) string {
	program, err := os.Executable()
	if err != nil {
		program = os.Args[0]
	}
	config, _ := json.Marshal(map[string]string{"command": program}) // strings can be encoded
	return string(config)
}
