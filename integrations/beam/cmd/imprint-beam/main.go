// Imprint-beam embeds many photos with Apache Beam, trains the same model on them as imprint add, and
// evaluates it as imprint eval does.
//
//	imprint-beam embed --out DIR PHOTOS...
//	imprint-beam fit [--out DIR] DIR
//	imprint-beam evaluate [--json] DIR
//
// Run "imprint-beam embed -h" for the flags.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/apache/beam/sdks/v2/go/pkg/beam"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/log"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/options/jobopts"
	"github.com/apache/beam/sdks/v2/go/pkg/beam/runners"
	_ "github.com/apache/beam/sdks/v2/go/pkg/beam/x/beamx" // the runners

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
	"github.com/imprintkit/imprint/integrations/beam/pipeline"
)

const usage = `usage:
  imprint-beam embed --out DIR [FLAGS] PHOTOS...   embed photos into the folder DIR
  imprint-beam embed --out DIR --list FILE         the photos in a list of path, tab, label
  imprint-beam fit [--out MODEL] [FLAGS] DIR       train a model on the embeddings in DIR
  imprint-beam evaluate [--json] [FLAGS] DIR       measure its accuracy, and find near-duplicates

PHOTOS are folders with a subfolder for each label, tar files, or patterns such as 'photos/*/*.jpg'.
`

// maxWorkers is the largest number of worker processes on one computer.
const maxWorkers = 256

// errUsage means that the arguments make no sense.
var errUsage = errors.New("usage")

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := command(ctx, os.Args[1:])
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "imprint: error: %v\n%s", err, usage)
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "imprint: error: %v\n", err)
		os.Exit(1)
	}
}

// options are the flags of all commands. Beam adds its own.
type options struct {
	out, list, backbone, resize, head string
	support                           string
	workers, threads, chunk, episodes int
	verbose, json                     bool
}

func command(ctx context.Context, args []string) error {
	if worker := pipeline.WorkerArguments(args); worker != nil {
		args = worker
	}
	verb := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		verb, args = args[0], args[1:]
	}
	var o options
	f := flag.CommandLine // Beam's flags are there
	f.StringVar(&o.out, "out", "", "`folder` to write to")
	f.StringVar(&o.list, "list", "", "read the paths and labels of photos from `FILE`")
	f.StringVar(&o.backbone, "backbone", "", "`model` that embeds photos (default: the built-in one)")
	f.StringVar(&o.resize, "resize", "", "resize `mode`: crop, squash or pad (default: the model's, or crop)")
	f.StringVar(&o.head, "head", string(classifier.Auto), "training `method`")
	f.IntVar(&o.workers, "workers", 0, "start `N` worker processes (default: work in this process); for Prism only")
	f.IntVar(&o.threads, "threads", 0, "maximum number of cores in one process (default: all)")
	f.IntVar(&o.chunk, "chunk", embeddings.ChunkSize, "number of photos that a worker embeds at a time")
	f.BoolVar(&o.json, "json", false, "evaluate: print everything as JSON")
	f.StringVar(&o.support, "support", "1,5,10,20", "evaluate --json: train on `N` photos of each class, for each of these numbers")
	f.IntVar(&o.episodes, "episodes", 10, "evaluate --json: repeat that `N` times, with other photos each time")
	f.BoolVar(&o.verbose, "v", false, "print Beam's log")
	f.Usage = func() {
		fmt.Fprint(f.Output(), usage, "\nFlags, those of Beam included:\n")
		f.PrintDefaults()
	}
	if err := f.Parse(args); err != nil {
		return err
	}
	quiet := slog.LevelError + 1 // commands return errors
	if o.verbose {
		quiet = slog.LevelInfo
	}
	log.SetLogger(&log.Standard{Level: map[bool]log.Severity{true: log.SevInfo, false: log.SevFatal}[o.verbose]})
	beam.Init() // in a worker process, this works and ends
	slog.SetDefault(slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: quiet})))
	if *jobopts.WorkerBinary == "" && !jobopts.IsLoopback() {
		if binary, err := os.Executable(); err == nil {
			*jobopts.WorkerBinary = binary // Beam would build one
		}
	}
	if o.workers < 0 || o.workers > maxWorkers {
		return fmt.Errorf("%w: --workers %d is not 0 to %d", errUsage, o.workers, maxWorkers)
	}
	run := pipeline.Options{Runner: *runners.Runner, Workers: o.workers, Threads: o.threads, Retry: func(n int, cause error) {
		fmt.Fprintf(os.Stderr, "\nthe pipeline failed, attempt %d: %v\n", n+1, cause)
	}}
	switch verb {
	case "embed":
		return embed(ctx, o, f.Args(), run)
	case "fit":
		return fit(ctx, o, f.Args(), run)
	case "evaluate":
		return evaluateSet(ctx, os.Stdout, o, f.Args(), run)
	}
	return fmt.Errorf("%w: there is no command %q", errUsage, verb)
}

func embed(ctx context.Context, o options, sources []string, run pipeline.Options) error {
	if o.chunk < 1 || o.chunk > 1<<16 {
		return fmt.Errorf("%w: --chunk %d is not 1 to 65536", errUsage, o.chunk)
	}
	if o.out == "" || (len(sources) == 0) == (o.list == "") {
		return fmt.Errorf("%w: embed needs --out, and photos or --list", errUsage)
	}
	out, err := filepath.Abs(o.out)
	if err != nil {
		return err
	}
	var photos []embeddings.Photo
	var labels []string
	if o.list != "" {
		photos, labels, err = embeddings.ReadList(o.list)
	} else {
		photos, labels, err = embeddings.Find(sources)
	}
	if err != nil {
		return err
	}
	engine := bulk.Options{Backbone: o.backbone, Threads: o.threads}
	if _, err := os.Stat(o.backbone); err == nil { // workers may have another working directory
		if engine.Backbone, err = filepath.Abs(o.backbone); err != nil {
			return err
		}
	}
	if o.resize != "" {
		if engine.Resize, err = dataset.ParseResize(o.resize); err != nil {
			return fmt.Errorf("%w: %w", errUsage, err)
		}
	}
	j, err := create(out, engine, photos, labels, o.chunk)
	if err != nil {
		return err
	}
	clear := ""
	if info, err := os.Stderr.Stat(); err == nil && info.Mode()&os.ModeCharDevice != 0 { // a terminal
		run.Progress, clear = func(done, total int) { fmt.Fprintf(os.Stderr, "\r%d of %d photos", done, total) }, "\r\033[K"
	}
	e, err := pipeline.Embed(ctx, j, run)
	fmt.Fprint(os.Stderr, clear)
	if err != nil {
		return err
	}
	rate := float64(len(photos)) / e.Elapsed.Seconds()
	fmt.Printf("embedded %d photos of %d classes in %.1f s (%.0f a second)\n", e.Photos, len(j.Classes), e.Elapsed.Seconds(), rate)
	if e.Skipped > 0 {
		fmt.Printf("skipped %d: see %s\n", e.Skipped, filepath.Join(o.out, "skipped.tsv"))
	}
	return nil
}

// create writes the list of photos.
func create(out string, o bulk.Options, photos []embeddings.Photo, labels []string, chunk int) (*embeddings.Job, error) {
	e, err := bulk.Open(o)
	if err != nil {
		return nil, err
	}
	defer e.Close()
	return embeddings.Create(out, e, o, photos, labels, chunk)
}

func fit(ctx context.Context, o options, args []string, run pipeline.Options) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: fit needs one folder", errUsage)
	}
	method, err := classifier.ParseMethod(o.head)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	if o.out == "" {
		o.out = dir
	}
	m, err := pipeline.Fit(ctx, dir, o.out, method, run)
	if err != nil {
		return err
	}
	fmt.Printf("trained on %d photos in %.1f s: %s\n", m.Photos, m.Elapsed.Seconds(), filepath.Join(o.out, "model.tflite"))
	low, high := m.Fitted.Estimate.Interval()
	fmt.Printf("accuracy %.0f %% (%.0f–%.0f %%) on photos left out\n", 100*m.Fitted.Estimate.Accuracy(), 100*low, 100*high)
	return nil
}
