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

// mostNamed is how many mistakes and photos are named at most.
const mostNamed = 3

// evaluationLines are the two lines of an evaluation: accuracy, and what to do next.
// With compare, the first line has all heads instead of only the first.
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

// curveText is the accuracy of a head by the number of photos it was trained on.
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

// evaluationAdvice is the one line that helps most.
func evaluationAdvice(ev evaluated) string {
	switch tip := tipLine(ev.advice); {
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

// evaluationReport is everything about an evaluation, for --verbose.
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
		lines = append(lines, fmt.Sprintf("%s, half of the classes, %s each: %s; AUROC %.2f; %.1f %% of them classified correctly", r.Head, count(r.Support, "photo"), openSetLine(r), r.AUC, r.Correct))
	}
	if len(ev.NearDuplicates) > 0 {
		lines = append(lines, nearDuplicatesLine(ev.NearDuplicates))
	}
	if n := len(ev.LabelSuspects); n > 0 {
		lines = append(lines, suspectsLine(ev.LabelSuspects[:min(mostNamed, n)], n, "--report FILE"))
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
		line += fmt.Sprintf(", %d of them under several labels", several)
	}
	return line + "; first: " + photoNames(groups[0].Photos)
}

// suspectsLine names photos, of n, that probably have the wrong label. The flag shows more
// of them.
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

// mistakesLine names the most frequent mistakes; "" if there are none.
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

// headReport is what is known of a head; of the first everything.
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
		lines = append(lines, fmt.Sprintf("coverage %.0f %% with scores of %s or more, accuracy %.1f %% there", 100*p.Coverage, percent(p.Threshold, 0), 100*p.Accuracy))
	}
	if line := mistakesLine(d, mostNamed); line != "" {
		lines = append(lines, line)
	}
	return lines
}

func photoNames(photos []evaluate.PhotoRef) string {
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
