package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/tpu"
)

const unknownIsOff = "unknown: off; imprint retrain --unknown 0.05 turns it on"

// details returns the lines about a workspace that --verbose adds.
func (s summary) details() []string {
	if len(s.classes) == 0 {
		return nil
	}
	lines := []string{
		fmt.Sprintf("model: %s, generation %d, layout %s", s.model, s.generation, s.settings.Layout),
		headLine(s.recipe, s.candidates, s.settings.Head),
	}
	if s.settings.KeepClasses {
		lines = append(lines, "the backbone's own classes are kept: a photo may also show one of those")
	}
	if line := estimateLine(s.estimate, s.classes); line != "" {
		lines = append(lines, line)
	}
	if s.written != nil {
		lines = append(lines, writtenLine(s.written))
	}
	if s.negatives > 0 {
		lines = append(lines, count(s.negatives, "negative"))
	}
	line := unknownLine(s)
	if line == "" {
		line = unknownIsOff
	}
	lines = append(lines, line)
	if line := tipLine(s.advice); line != "" {
		lines = append(lines, line)
	}
	return lines
}

// headLine says how the last layer was trained, and why that method was chosen.
func headLine(r classifier.Recipe, candidates []classifier.Candidate, asked classifier.Method) string {
	line := "head: " + r.String()
	if asked == classifier.Auto && r.Method == classifier.Ridge {
		return line + ", too few distinct photos to compare others"
	}
	chosen := slices.IndexFunc(candidates, func(c classifier.Candidate) bool { return c.Recipe == r })
	if chosen < 0 {
		return line
	}
	next, choices, mean := -1, 0, ""
	for i, c := range candidates {
		if c.Method == classifier.Mean { // only measured for comparison
			mean = fmt.Sprintf("; mean %.2f", c.LogLoss)
			continue
		}
		if choices++; i != chosen && (next < 0 || c.LogLoss < candidates[next].LogLoss) {
			next = i
		}
	}
	line += fmt.Sprintf(", best of %d by leave-one-out log loss (%.2f", choices, candidates[chosen].LogLoss)
	if next >= 0 {
		line += fmt.Sprintf("; next %s %.2f", candidates[next].Recipe, candidates[next].LogLoss)
	}
	return line + mean + ")"
}

// estimateLine says which photos the accuracy was measured on. If there was no measurement, it
// returns "".
func estimateLine(e classifier.Estimate, classes []imprint.Class) string {
	if len(classes) < 2 || e.Total == 0 {
		return ""
	}
	line := fmt.Sprintf("accuracy: %d of %d correct, each photo left out once", e.Correct, e.Total)
	if e.Bursts < e.Total {
		line += fmt.Sprintf(" with its near-duplicates (%s)", count(e.Bursts, "group"))
	}
	single := 0
	for _, c := range classes {
		if len(c.Photos) == 1 {
			single++
		}
	}
	switch {
	case e.Excluded == 0:
	case e.Excluded == single:
		line += fmt.Sprintf("; %s excluded", count(single, "single-photo class"))
	default:
		line += fmt.Sprintf("; %s excluded, near-duplicates of all others in the class", count(e.Excluded, "photo"))
	}
	return line
}

// writtenLine says for how many photos quantization changes a compiled model's prediction.
func writtenLine(w *imprint.Written) string {
	return fmt.Sprintf("quantization changes the prediction for %d of %s; logits scaled by %.2g", w.Disagreements, count(w.Examples, "training photo"), w.LogitScale)
}

// lossy reports whether quantization changes more than 10 % of predictions. This happens when the
// model's output has too few codes for the logits.
func lossy(w *imprint.Written) bool { return w != nil && 10*w.Disagreements > w.Examples }

// backboneLine describes the model that embeds photos.
func backboneLine(b *backbone.Backbone, mode dataset.Resize) string {
	return fmt.Sprintf("backbone: %s, photos %d×%d, resize mode %s, embedding %s of %d values", b.Name, b.Width, b.Height, mode, shortName(b.Embedding.Name), b.Dim())
}

// resizeLine says which resize mode was chosen, and why.
func resizeLine(choice *evaluate.ResizeChoice) string {
	var parts []string
	for _, c := range choice.Candidates {
		if c.LogLoss == nil {
			return fmt.Sprintf("resize mode: %s, too few distinct photos to compare it with squash", choice.Resize)
		}
		parts = append(parts, fmt.Sprintf("%s %.2f, %d of %d correct", c.Resize, *c.LogLoss, c.Estimate.Correct, c.Estimate.Total))
	}
	return fmt.Sprintf("resize mode: %s by leave-one-out log loss (%s; squash must win by %.2f)", choice.Resize, strings.Join(parts, "; "), choice.StdErr)
}

// devicesText lists devices and, if there are several, the number of photos on each.
func devicesText(counts map[string]int) string {
	var parts []string
	for _, device := range slices.Sorted(maps.Keys(counts)) {
		if len(counts) > 1 {
			device += fmt.Sprintf(" (%d)", counts[device])
		}
		parts = append(parts, device)
	}
	return enumerate(parts)
}

// exportDetails returns the lines that --verbose adds to the output of imprint export.
func exportDetails(layout classifier.Layout, in *imprint.Written) []string {
	lines := []string{fmt.Sprintf("layout: %s", layout)}
	if in != nil && in.Disagreements == 0 {
		lines = append(lines, writtenLine(in))
	}
	return lines
}

func ranDetails(fastest, median time.Duration) string {
	return fmt.Sprintf("fastest %s, median %s", duration(fastest), duration(median))
}

// udevLines says what to do once the udev rules are installed. The members of group may open
// devices, unless group is "".
func udevLines(group string) []string {
	lines := []string{fmt.Sprintf("wrote %s; now run sudo udevadm control --reload-rules, then unplug the Edge TPU and plug it in again", tpu.UdevRulesPath)}
	if group != "" {
		lines = append(lines, fmt.Sprintf("users who are not logged in at the screen must join the group %s: sudo usermod -aG %[1]s USER, then log in again", group))
	}
	return lines
}

// contributionLines lists the workspaces that were merged into this one.
func contributionLines(list []fleet.Contribution) []string {
	var lines []string
	for _, c := range list {
		lines = append(lines, fmt.Sprintf("from %s: %s", plain(c.Workspace), count(c.Photos, "photo")))
	}
	return lines
}
