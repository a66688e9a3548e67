package pipeline

import (
	"context"
	"os"
	"strings"

	"github.com/apache/beam/sdks/v2/go/pkg/beam/core/util/hooks"
	fnpb "github.com/apache/beam/sdks/v2/go/pkg/beam/model/fnexecution_v1"
)

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
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		os.Stdout = null // the command's output; Beam would print there
	}
	connect()
	renameMetrics()
	return []string{"--worker", "--id=" + id, "--logging_endpoint=" + endpoint, "--control_endpoint=" + endpoint}
}

// renameMetrics gives the metrics of each bundle names of their own. A worker calls its metrics 1, 2 and so on.
// Prism 2.77.0 mixes up metrics of the same name of several workers, and loses those of one of two bundles
// that end at almost the same time.
func renameMetrics() {
	type bundle struct{} // key of the context
	const name = "imprint metrics"
	hooks.RegisterHook(name, func([]string) hooks.Hook {
		return hooks.Hook{
			Req: func(ctx context.Context, r *fnpb.InstructionRequest) (context.Context, error) {
				names, prefix := r.GetMonitoringInfos().GetMonitoringInfoId(), ""
				for i, full := range names {
					at := strings.LastIndexByte(full, '/') + 1
					prefix, names[i] = full[:at], full[at:]
				}
				return context.WithValue(ctx, bundle{}, prefix), nil
			},
			Resp: func(ctx context.Context, q *fnpb.InstructionRequest, r *fnpb.InstructionResponse) error {
				if b := r.GetProcessBundle(); b != nil {
					b.MonitoringData = renamed(b.MonitoringData, q.GetInstructionId()+"/")
				}
				if b := r.GetProcessBundleProgress(); b != nil {
					b.MonitoringData = renamed(b.MonitoringData, q.GetProcessBundleProgress().GetInstructionId()+"/")
				}
				if m := r.GetMonitoringInfos(); m != nil {
					prefix, _ := ctx.Value(bundle{}).(string)
					m.MonitoringInfo = renamed(m.MonitoringInfo, prefix)
				}
				return nil
			},
		}
	})
	hooks.EnableHook(name) // it is registered
	hooks.SerializeHooksToOptions()
}

func renamed[T any](metrics map[string]T, prefix string) map[string]T {
	all := make(map[string]T, len(metrics))
	for name, v := range metrics {
		all[prefix+name] = v
	}
	return all
}
