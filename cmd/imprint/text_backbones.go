package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

// comparisonLines returns a table of backbones: the accuracy for each number of support photos, the
// interval for the largest, and what each backbone costs.
func comparisonLines(all comparison) []string {
	rows := [][]string{{"backbone"}}
	for _, r := range all.Backbones[0].Results {
		rows[0] = append(rows[0], count(r.Support, "photo"))
	}
	rows[0] = append(rows[0], "interval", "time", "size", "compiled")
	for _, b := range all.Backbones {
		row := []string{plain(b.Backbone)}
		for _, r := range b.Results {
			row = append(row, fmt.Sprintf("%.1f ± %.1f", r.Mean, r.Std))
		}
		twin := "no"
		if b.Compiled != "" {
			twin = "yes"
		}
		took := time.Duration(b.MS * float64(time.Millisecond))
		rows = append(rows, append(row, percentRange(b.Accuracy.Low, b.Accuracy.High), duration(took), megabytes(int64(b.Bytes)), twin))
	}
	return append([]string{fmt.Sprintf("accuracy in %%, mean ± standard deviation of %s", count(all.Backbones[0].Results[0].Episodes, "episode"))}, table(rows, 0)...)
}

// backboneChoiceLine says which backbone was chosen and why.
func backboneChoiceLine(choice *evaluate.BackboneChoice) string {
	best, n := choice.Candidates[0], len(choice.Candidates)
	switch {
	case n == 1:
		return fmt.Sprintf("%s is the only backbone on this computer; imprint models list shows others", best.Name)
	case choice.Photos == 0:
		return fmt.Sprintf("chose %s of %d backbones for its accuracy on other photos: yours are too few to compare them", best.Name, n)
	}
	next := choice.Candidates[1]
	line := fmt.Sprintf("chose %s of %d backbones: %s of your photos left out were correct, ", best.Name, n, percent(best.Estimate.Accuracy(), 0))
	if best.Estimate.Correct == next.Estimate.Correct && best.Estimate.Total == next.Estimate.Total {
		return line + "as many as with " + next.Name
	}
	return line + fmt.Sprintf("with %s %s", next.Name, percent(next.Estimate.Accuracy(), 0))
}

// modelLines returns the tables of imprint models list: backbones, and detectors.
func modelLines(all []modelRow, timed bool) []string {
	first := slices.IndexFunc(all, func(m modelRow) bool { return m.Detector })
	detectors := [][]string{{"detector", "size", "", "compiled"}}
	for _, row := range modelTable(all[first:])[1:] {
		detectors = append(detectors, slices.Delete(row, 3, 5)) // no accuracy
	}
	models := all[:first]
	rows := modelTable(models)
	if timed {
		for i := range rows {
			took := "time"
			if i > 0 {
				took = ""
				if ms := models[i-1].MS; ms > 0 {
					took = duration(time.Duration(ms * float64(time.Millisecond)))
				}
			}
			rows[i] = slices.Insert(rows[i], 3, took)
		}
	}
	return slices.Concat(described(rows, models), []string{""}, described(detectors, all[first:]))
}

// described returns a table with a row for each model, and a description below each.
func described(rows [][]string, models []modelRow) []string {
	var lines []string
	for i, line := range table(rows, 0) {
		lines = append(lines, strings.TrimRight(line, " "))
		if i > 0 {
			for _, about := range wrap(models[i-1].About, 98) {
				lines = append(lines, "  "+about)
			}
		}
	}
	return lines
}

// modelTable returns a row of columns for each model, after the names of the columns.
func modelTable(models []modelRow) [][]string {
	rows := [][]string{{"model", "size", "", "clothing", "flowers", "compiled"}}
	for _, m := range models {
		row := []string{m.Name, "", "", "", "", ""}
		if m.Size > 0 {
			row[1] = megabytes(m.Size)
		}
		switch {
		case m.Name == builtin.Name:
			row[2] = "built in"
		case m.Path != "":
			row[2] = "pulled"
		}
		if a := m.Accuracy; a != nil {
			row[3], row[4] = fmt.Sprintf("%.0f %%", a.Clothing), fmt.Sprintf("%.0f %%", a.Flowers)
		}
		if m.Compiled != "" {
			row[5] = "yes"
		}
		rows = append(rows, row)
	}
	return rows
}
