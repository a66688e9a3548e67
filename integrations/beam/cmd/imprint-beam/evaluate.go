package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/integrations/beam/pipeline"
)

// evaluateSet prints an evaluation: with --json, all that imprint eval --json prints.
func evaluateSet(ctx context.Context, w io.Writer, o options, args []string, run pipeline.Options) error {
	if len(args) != 1 {
		return fmt.Errorf("%w: evaluate needs one folder", errUsage)
	}
	if o.episodes < 1 || o.episodes > 1000 {
		return fmt.Errorf("%w: --episodes %d is not 1 to 1000", errUsage, o.episodes)
	}
	method, err := classifier.ParseMethod(o.head)
	if err != nil {
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	var support []int
	if o.json {
		for word := range strings.SplitSeq(o.support, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(word))
			if err != nil || n < 1 {
				return fmt.Errorf("%w: --support %q is not a list of positive numbers", errUsage, o.support)
			}
			support = append(support, n)
		}
	}
	dir, err := filepath.Abs(args[0])
	if err != nil {
		return err
	}
	ev, err := pipeline.Evaluate(ctx, dir, []classifier.Method{method}, support, o.episodes, run)
	if err != nil {
		return err
	}
	if o.json {
		e := json.NewEncoder(w)
		e.SetEscapeHTML(false) // as imprint does
		return e.Encode(ev)
	}
	a := ev.Heads[0].Accuracy
	fmt.Fprintf(w, "accuracy %.0f %% (%.0f–%.0f %%) on %d photos left out\n", 100*a.Value, 100*a.Low, 100*a.High, a.N)
	fmt.Fprintf(w, "%d groups of near-duplicates, %d photos that are likely mislabeled; see --json\n", len(ev.NearDuplicates), len(ev.LabelSuspects))
	return nil
}
