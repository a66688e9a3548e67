package main

import (
	"fmt"
	"io"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

func unknownRateFlag() cli.Flag {
	return &cli.Float64Flag{Name: "unknown", Usage: `answer "unknown" to photos of other things, all but a share of ` + "`RATE`" + ` of them, such as 0.05; 0 is never`, DefaultText: "the workspace's, or 0"}
}

func negativeFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "negative", Usage: "keep photos of nothing taught, a photo or `DIR`, to tell what is unknown", DefaultText: "none"}
}

// unknownRate puts --unknown into o.
func unknownRate(c *cli.Context, o *imprint.Options) error {
	if !c.IsSet("unknown") {
		return nil
	}
	rate := c.Float64("unknown")
	if !(rate >= 0 && rate <= 0.5) {
		return usagef("--unknown %v: it must be a share from 0 to 0.5, such as 0.05", rate)
	}
	o.Unknown = &rate
	return nil
}

// negatives finds the photos that --negative names, and what it had to leave out.
func negatives(c *cli.Context) ([]dataset.Item, []imprint.Skipped, error) {
	paths := c.StringSlice("negative")
	if len(paths) == 0 {
		return nil, nil, nil
	}
	found, left, err := dataset.Walk(paths, "negative")
	if err != nil {
		return nil, nil, err
	}
	if len(found) == 0 {
		return nil, nil, fmt.Errorf("take photos of nothing taught: %w found in %q", imprint.ErrNoPhotos, paths)
	}
	return found, leftOut(left), nil
}

// tellAdvice says what more photos would probably buy.
func tellAdvice(w io.Writer, k *imprint.Workspace) {
	if a := k.Advice(); a != nil {
		fmt.Fprintf(w, "%d more photos of %s would probably bring most: of its photos %.0f %% are named right now, and then about %.0f %%\n", a.Photos, plain(a.Label), 100*a.Recall, 100*a.ExpectedRecall)
	}
}

// tellUnknown says how the model knows what is unknown.
func tellUnknown(w io.Writer, k *imprint.Workspace) {
	if n := len(k.Negatives()); n > 0 {
		fmt.Fprintf(w, "%d %s of nothing taught\n", n, plural(n, "photo"))
	}
	if k.Settings().Unknown == 0 {
		return
	}
	r := k.Rejection()
	if r == nil {
		fmt.Fprintln(w, "unknown: cannot be told yet; it takes four classes, or photos of other things given with --negative")
		return
	}
	fmt.Fprintf(w, "unknown: of %d photos that stood for other things %d are taken for a class, %.1f %% (%.1f %% asked)", r.Negatives, r.FalseAccepts,
		100*float64(r.FalseAccepts)/float64(r.Negatives), 100*r.TargetFAR)
	if r.Positives > 0 {
		fmt.Fprintf(w, "; of %d taught, left out, %d are taken for unknown, %.1f %%", r.Positives, r.Rejected, 100*float64(r.Rejected)/float64(r.Positives))
	}
	fmt.Fprintln(w)
}
