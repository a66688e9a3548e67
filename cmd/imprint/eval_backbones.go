package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/modelfile"
)

// allBackbones is the value of --backbone that means all backbones at hand.
const allBackbones = "all"

// severalBackbones returns the backbones that --backbone lists, or nil if it names only one.
func severalBackbones(c *cli.Context) []string {
	given := text(c, "backbone")
	if given == allBackbones {
		return backbonesAtHand(c)
	}
	if _, err := os.Stat(given); err == nil || !strings.Contains(given, ",") {
		return nil
	}
	var names []string
	for name := range strings.SplitSeq(given, ",") {
		if name = strings.TrimSpace(name); name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// backbonesAtHand returns the built-in backbone and the pulled ones that run on the CPU. It says which
// pulled ones are damaged.
func backbonesAtHand(c *cli.Context) []string {
	names := []string{builtin.Name}
	for _, m := range models.List() {
		if m.Embedding == 0 || m.Compiled() {
			continue
		}
		switch _, err := (models.Store{}).Path(m.Name); {
		case err == nil:
			names = append(names, m.Name)
		case !errors.Is(err, models.ErrNotPulled):
			note(c, fmt.Sprintf("skipped %v", err))
		}
	}
	return names
}

// A comparedBackbone is one row of imprint eval with several backbones.
type comparedBackbone struct {
	Backbone string              `json:"backbone"`
	Results  []evaluate.Accuracy `json:"results"`
	Accuracy evaluate.Proportion `json:"accuracy"` // with the largest number of support photos
	MS       float64             `json:"ms"`       // time to embed one photo, without decoding it
	Bytes    int                 `json:"bytes"`    // size of the model
	Compiled string              `json:"compiled,omitempty"`
	Devices  map[string]int      `json:"devices,omitempty"`
}

// comparison is the result of imprint eval with several backbones, the most accurate first.
type comparison struct {
	Set       string             `json:"set"`
	Classes   []string           `json:"classes"`
	Photos    int                `json:"photos"`
	Backbones []comparedBackbone `json:"backbones"`
}

// evalBackbones evaluates a folder of photos with each of several backbones.
func evalBackbones(c *cli.Context, names []string, heads []classifier.Method, support []int) error {
	for _, f := range []string{"report", "unknown", "others", "embeddings", "embedding"} {
		if c.IsSet(f) {
			return usagef("--%s takes one backbone, not several", f)
		}
	}
	if c.NArg() == 0 {
		return usagef("several backbones need a folder of photos to compare them on")
	}
	if len(heads) > 1 {
		return usagef("several backbones take one --head")
	}
	if heads == nil {
		heads = []classifier.Method{classifier.Auto}
	}
	for _, name := range names {
		if err := mustBeModel(name); err != nil {
			return err
		}
	}
	var all comparison
	for _, name := range names {
		row, ev, err := evalBackbone(c, name, heads, support)
		if err != nil {
			return fmt.Errorf("backbone %s: %w", name, err)
		}
		all.Set, all.Classes, all.Photos = ev.Set, ev.Classes, ev.Photos
		all.Backbones = append(all.Backbones, row)
	}
	slices.SortStableFunc(all.Backbones, func(a, b comparedBackbone) int { return cmp.Compare(b.Accuracy.Value, a.Accuracy.Value) })
	if asJSON(c) {
		return printJSON(c.App.Writer, all)
	}
	say(c, comparisonLines(all)...)
	return nil
}

func evalBackbone(c *cli.Context, name string, heads []classifier.Method, support []int) (row comparedBackbone, ev *evaluate.Evaluation, err error) {
	var found evaluated
	if found.resize, err = resizeMode(c); err != nil {
		return row, nil, err
	}
	set, b, err := embedSet(c, c.Args().First(), name, &found, slices.Max(support))
	if err != nil {
		return row, nil, err
	}
	if ev, err = set.MeasureAccuracy(c.Context, heads, support); err != nil {
		return row, nil, tooFew(err)
	}
	n, err := threads(c)
	if err != nil {
		return row, nil, err
	}
	took, err := timeBackbone(c.Context, b, n)
	if err != nil {
		return row, nil, err
	}
	bytes, twin := modelFacts(name)
	return comparedBackbone{name, ev.Results, ev.Heads[0].Accuracy, ms(took), bytes, twin, ev.Devices}, ev, nil
}

// modelFacts returns the size of a backbone's file, and the name of the same model compiled for the
// Edge TPU, or "" if none is known. A file's compiled model lies next to it.
func modelFacts(name string) (bytes int, compiled string) {
	if name == builtin.Name {
		return len(builtin.Model()), ""
	}
	if path, err := modelfile.Locate(name); err == nil {
		if info, err := os.Stat(path); err == nil {
			bytes = int(info.Size())
		}
		if twin := strings.TrimSuffix(path, ".tflite") + "_edgetpu.tflite"; mustExist(twin) == nil {
			compiled = twin
		}
	}
	if m, err := models.Find(name); err == nil && !m.Compiled() {
		compiled = m.Counterpart
	}
	return bytes, compiled
}

// timeBackbone returns the time that b takes to embed one photo with n threads, or on all cores if n
// is 0: the shortest of several runs, because other programs only ever add to it.
func timeBackbone(ctx context.Context, b *backbone.Backbone, n int) (time.Duration, error) {
	const most, enough = 15, 200 * time.Millisecond
	r := b.NewRunner(cmp.Or(n, runtime.GOMAXPROCS(0)))
	defer r.Close()
	if _, err := r.Embed(ctx); err != nil { // the first photo also warms the caches
		return 0, err
	}
	shortest := time.Duration(math.MaxInt64)
	start := time.Now()
	for i := 0; i < most && (i < 3 || time.Since(start) < enough); i++ {
		begin := time.Now()
		if _, err := r.Embed(ctx); err != nil {
			return 0, err
		}
		shortest = min(shortest, time.Since(begin))
	}
	return shortest, nil
}
