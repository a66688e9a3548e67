package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/imprintkit/imprint/imprint/evaluate"
)

// mostNamed is how many classes, mistakes and photos are named where only the first few
// are of interest.
const mostNamed = 3

// printEvaluation prints the short form.
func printEvaluation(w io.Writer, ev *evaluate.Evaluation) error {
	fmt.Fprintf(w, "%s: %d %s, %d %s%s\n", plain(ev.Set), len(ev.Classes), classes(len(ev.Classes)), ev.Photos, plural(ev.Photos, "photo"), onDevices(ev.Devices))
	if len(ev.Results) > 0 {
		fmt.Fprintf(w, "accuracy in %%, mean ± standard deviation of %d %s\n", ev.Results[0].Episodes, plural(ev.Results[0].Episodes, "draw"))
		if err := printAccuracies(w, ev.Results); err != nil {
			return err
		}
	}
	for i := range ev.Heads {
		printDetail(w, &ev.Heads[i], i == 0)
	}
	for _, r := range ev.OpenSet {
		fmt.Fprintf(w, "unknown, %s taught half of the classes with %d %s each: area under the ROC curve %.3f; %.1f %% of other classes accepted (%.1f %% asked), %.1f %% of those taught kept, %.1f %% named right\n",
			r.Head, r.Support, plural(r.Support, "photo"), r.AUC, r.FAR, r.TargetFAR, r.TPR, r.Correct)
	}
	if n := len(ev.NearDuplicates); n > 0 {
		photos, several := 0, 0
		for _, g := range ev.NearDuplicates {
			photos += len(g.Photos)
			if g.Labels > 1 {
				several++
			}
		}
		fmt.Fprintf(w, "nearly the same: %d photos in %d %s", photos, n, plural(n, "group"))
		if several > 0 {
			fmt.Fprintf(w, ", %d of them under several labels", several)
		}
		fmt.Fprintf(w, "; the first: %s\n", names(ev.NearDuplicates[0].Photos))
	}
	if n := len(ev.LabelSuspects); n > 0 {
		var parts []string
		for _, p := range ev.LabelSuspects[:min(mostNamed, n)] {
			parts = append(parts, fmt.Sprintf("%s (%s, looks like %s)", plain(filepath.Base(p.Name())), plain(p.Label), plain(p.LooksLike)))
		}
		fmt.Fprintf(w, "pulling their class away: %d %s, %s\n", n, plural(n, "photo"), strings.Join(parts, ", "))
	}
	return nil
}

func printAccuracies(w io.Writer, results []evaluate.Accuracy) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	line := "head\t"
	for _, r := range results {
		if r.Head == results[0].Head {
			line += fmt.Sprintf("%d %s\t", r.Support, plural(r.Support, "photo"))
		}
	}
	for i, r := range results {
		if i == 0 || r.Head != results[i-1].Head {
			fmt.Fprintln(t, line)
			line = r.Head + "\t"
		}
		line += fmt.Sprintf("%.1f ± %.1f\t", r.Mean, r.Std)
	}
	fmt.Fprintln(t, line)
	return t.Flush()
}

// printDetail prints what is known of a head, of the first all.
func printDetail(w io.Writer, d *evaluate.HeadReport, first bool) {
	a := d.Accuracy
	if d.Support > 0 {
		head := d.Head
		if d.Recipe != "" && d.Recipe != d.Head {
			head += " (" + d.Recipe + ")"
		}
		fmt.Fprintf(w, "%s with %d %s a class: %.1f %% right, 95 %% interval %.1f to %.1f, from %d photos\n", head, d.Support, plural(d.Support, "photo"), 100*a.Value, 100*a.Low, 100*a.High, a.N)
	} else {
		fmt.Fprintf(w, "head %s\n%s\n", d.Recipe, estimateLine(*d.Estimate, len(d.Classes)))
	}
	if !first || a.N == 0 || len(d.Classes) < 2 {
		return
	}
	fmt.Fprintf(w, "calibration error %.1f %%, without temperature %.1f %%\n", 100*d.Calibration.Error, 100*d.Uncalibrated.Error)
	for _, p := range d.RiskCoverage {
		if p.Coverage >= 0.5 {
			fmt.Fprintf(w, "of the surest %.0f %%, those with a score of %.2f or more, %.1f %% are right\n", 100*p.Coverage, p.Threshold, 100*p.Accuracy)
			break
		}
	}
	var parts []string
	for _, m := range d.Confusions(mostNamed) {
		parts = append(parts, fmt.Sprintf("%.0f %% of %s named %s", 100*m.Fraction, plain(m.Label), plain(m.Answer)))
	}
	if len(parts) > 0 {
		fmt.Fprintf(w, "mistakes: %s\n", strings.Join(parts, ", "))
	}
}

func names(photos []evaluate.PhotoRef) string {
	var parts []string
	for i, p := range photos {
		if i == mostNamed {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", plain(filepath.Base(p.Name())), plain(p.Label)))
	}
	return strings.Join(parts, ", ")
}

func classes(n int) string {
	if n == 1 {
		return "class"
	}
	return "classes"
}
