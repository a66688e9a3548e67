package main

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

// maxNamed is the largest number of mistakes or photos that a line names.
const maxNamed = 3

// evaluationLines returns the two lines of an evaluation: the accuracy, and what to do next. With
// compare, the first line has all heads, not only the first.
func evaluationLines(ev evaluated, compare bool) []string {
	lines := []string{evaluationAccuracy(ev, compare)}
	if line := evaluationAdvice(ev); line != "" {
		lines = append(lines, line)
	}
	return lines
}

func evaluationAccuracy(ev evaluated, compare bool) string {
	var parts []string
	for i := range ev.Heads {
		d := &ev.Heads[i]
		part := d.Head + " " + percent(d.Accuracy.Value, 0)
		if curve := curveText(ev.Results, d.Head); curve != "" {
			part = curve
			if compare && len(ev.Heads) > 1 {
				part = d.Head + " " + curve
			}
		} else if !compare || len(ev.Heads) == 1 {
			return accuracyLine(*d.Estimate, ev.classes)
		}
		parts = append(parts, part)
		if !compare {
			break
		}
	}
	return "accuracy " + strings.Join(parts, "; ")
}

// curveText returns the accuracy of a head for each number of photos per class.
func curveText(results []evaluate.Accuracy, head string) string {
	var parts []string
	for _, r := range results {
		if r.Head != head {
			continue
		}
		part := fmt.Sprintf("%s with %d", percent(r.Mean/100, 0), r.Support)
		if len(parts) == 0 {
			part = fmt.Sprintf("%s with %s per class", percent(r.Mean/100, 0), count(r.Support, "photo"))
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, ", ")
}

// evaluationAdvice returns the most useful line of advice.
func evaluationAdvice(ev evaluated) string {
	switch tip := tipLine(ev.advice); {
	case len(ev.Others) > 0:
		return othersLine(ev.Others)
	case len(ev.OpenSet) > 0:
		return openSetLine(ev.OpenSet[0])
	case len(ev.LabelSuspects) > 0:
		return suspectsLine(ev.LabelSuspects[:1], len(ev.LabelSuspects), "-v")
	case tip != "":
		return tip
	case len(ev.Heads) > 0:
		return mistakesLine(&ev.Heads[0], 1)
	}
	return ""
}

// evaluationReport returns the full report of an evaluation, for --verbose.
func evaluationReport(ev evaluated) []string {
	head := fmt.Sprintf("%s: %s, %s", plain(ev.Set), count(len(ev.Classes), "class"), count(ev.Photos, "photo"))
	if len(ev.Devices) > 0 {
		head += ", embedded on " + devicesText(ev.Devices)
	}
	lines := append([]string{head}, ev.details...)
	if len(ev.Results) > 0 {
		lines = append(lines, fmt.Sprintf("accuracy in %%, mean ± standard deviation of %s", count(ev.Results[0].Episodes, "episode")))
		lines = append(lines, accuracyTable(ev.Results)...)
	}
	for i := range ev.Heads {
		lines = append(lines, headReport(&ev.Heads[i], ev.classes, i == 0)...)
	}
	for _, r := range ev.OpenSet {
		lines = append(lines, fmt.Sprintf("%s, half of the classes, %s each: %s; AUROC %.2f; %.1f %% of trained classes classified correctly", r.Head, count(r.Support, "photo"), openSetLine(r), r.AUC, r.Correct))
	}
	if len(ev.Others) > 0 {
		lines = append(lines, table(othersTable(ev.Others), tabwriter.AlignRight)...)
	}
	if len(ev.NearDuplicates) > 0 {
		lines = append(lines, nearDuplicatesLine(ev.NearDuplicates))
	}
	if n := len(ev.LabelSuspects); n > 0 {
		lines = append(lines, suspectsLine(ev.LabelSuspects[:min(maxNamed, n)], n, "--report FILE"))
	}
	if tip := tipLine(ev.advice); tip != "" {
		lines = append(lines, tip)
	}
	return lines
}

func openSetLine(r evaluate.OpenSet) string {
	return fmt.Sprintf("false accepts: %.1f %% (target %.0f %%); %.0f %% of trained classes would be rejected", r.FAR, r.TargetFAR, 100-r.TPR)
}

func nearDuplicatesLine(groups []evaluate.NearDuplicates) string {
	photos, several := 0, 0
	for _, g := range groups {
		photos += len(g.Photos)
		if g.Labels > 1 {
			several++
		}
	}
	line := fmt.Sprintf("near-duplicates: %s in %s", count(photos, "photo"), count(len(groups), "group"))
	if several > 0 {
		line += fmt.Sprintf(", %d of them with several labels", several)
	}
	return line + "; first: " + photoNames(groups[0].Photos)
}

// suspectsLine names suspects, the first of n photos that are likely mislabeled. If there are
// more, it says which flag shows them.
func suspectsLine(suspects []evaluate.LabelSuspect, n int, flag string) string {
	var parts []string
	for _, p := range suspects {
		parts = append(parts, fmt.Sprintf("%s (%s, looks like %s)", plain(filepath.Base(p.Name())), plain(p.Label), plain(p.LooksLike)))
	}
	if len(suspects) < n {
		parts = append(parts, fmt.Sprintf("%d more (%s shows them)", n-len(suspects), flag))
	}
	return "likely mislabeled: " + strings.Join(parts, ", ")
}

// mistakesLine names the most frequent mistakes. It returns "" if there are none.
func mistakesLine(d *evaluate.HeadReport, most int) string {
	var parts []string
	for _, m := range d.Confusions(most) {
		parts = append(parts, fmt.Sprintf("%s of %s classified as %s", percent(m.Fraction, 0), plain(m.Label), plain(m.Answer)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "most common mistakes: " + strings.Join(parts, ", ")
}

func accuracyTable(results []evaluate.Accuracy) []string {
	rows := [][]string{{"head"}}
	for i, r := range results {
		if r.Head == results[0].Head {
			rows[0] = append(rows[0], count(r.Support, "photo"))
		}
		if i == 0 || r.Head != results[i-1].Head {
			rows = append(rows, []string{r.Head})
		}
		last := len(rows) - 1
		rows[last] = append(rows[last], fmt.Sprintf("%.1f ± %.1f", r.Mean, r.Std))
	}
	return table(rows, tabwriter.AlignRight)
}

// headReport returns the lines about a head: all of them for the first head, only the accuracy for
// the others.
func headReport(d *evaluate.HeadReport, classes []imprint.Class, first bool) []string {
	a := d.Accuracy
	var lines []string
	if d.Support > 0 {
		head := d.Head
		if d.Recipe != "" && d.Recipe != d.Head {
			head += " (" + d.Recipe + ")"
		}
		lines = append(lines, fmt.Sprintf("%s with %s per class: accuracy %.1f %% (%s), %s", head, count(d.Support, "photo"), 100*a.Value, percentRange(a.Low, a.High), count(a.N, "query photo")))
	} else {
		lines = append(lines, "head: "+d.Recipe, accuracyLine(*d.Estimate, classes))
		if line := estimateLine(*d.Estimate, classes); line != "" {
			lines = append(lines, line)
		}
	}
	if !first || a.N == 0 || len(d.Classes) < 2 {
		return lines
	}
	lines = append(lines, fmt.Sprintf("calibration error %.1f %%, uncalibrated %.1f %%", 100*d.Calibration.Error, 100*d.Uncalibrated.Error))
	if i := slices.IndexFunc(d.RiskCoverage, func(p evaluate.RiskCoverage) bool { return p.Coverage >= 0.5 }); i >= 0 {
		p := d.RiskCoverage[i]
		lines = append(lines, fmt.Sprintf("coverage %.0f %% at scores of %s or more, with accuracy %.1f %%", 100*p.Coverage, percent(p.Threshold, 0), 100*p.Accuracy))
	}
	if line := mistakesLine(d, maxNamed); line != "" {
		lines = append(lines, line)
	}
	return lines
}

func photoNames(photos []evaluate.PhotoRef) string {
	var parts []string
	for i, p := range photos {
		if i == maxNamed {
			parts = append(parts, "…")
			break
		}
		parts = append(parts, fmt.Sprintf("%s (%s)", plain(filepath.Base(p.Name())), plain(p.Label)))
	}
	return strings.Join(parts, ", ")
}
