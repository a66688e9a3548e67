package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/fleet"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu"
)

// The functions in this file turn results into lines of output and do nothing else. text_details.go
// has the lines that --verbose adds; text_eval.go and text_inspect.go have the long reports.

// count formats a number with its noun: "1 photo", "2 classes".
func count(n int, noun string) string {
	switch {
	case n == 1:
	case strings.HasSuffix(noun, "s"), strings.HasSuffix(noun, "x"):
		noun += "es"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}

// enumerate joins words: "a", "a and b", "a, b and c".
func enumerate(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " and " + words[last]
}

// percent formats a proportion as a percentage. It rounds no value below 1 to 100 %.
func percent(p float64, decimals int) string {
	unit := math.Pow10(decimals)
	v := math.Round(100*p*unit) / unit
	if v >= 100 && p < 1 {
		v = 100 - 1/unit
	}
	return fmt.Sprintf("%.*f %%", decimals, v)
}

// percentRange formats an interval of proportions: "80–95 %".
func percentRange(low, high float64) string {
	return fmt.Sprintf("%.0f–%.0f %%", 100*low, 100*high)
}

// duration formats a duration for people: "25 µs", "4.1 ms", "62 ms", "0.4 s".
func duration(d time.Duration) string {
	ms := float64(d) / float64(time.Millisecond)
	switch {
	case ms < 0.1:
		return fmt.Sprintf("%d µs", d.Microseconds())
	case ms < 10:
		return fmt.Sprintf("%.1f ms", ms)
	case ms < 100:
		return fmt.Sprintf("%.0f ms", ms)
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}

// plain replaces the control characters in a text from a file.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// table returns rows as lines with aligned columns; flags are the flags of tabwriter.
func table(rows [][]string, flags uint) []string {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 0, 2, ' ', flags)
	for _, row := range rows {
		line := strings.Join(row, "\t")
		if flags&tabwriter.AlignRight != 0 {
			line += "\t" // also aligns the last column
		}
		fmt.Fprintln(t, line)
	}
	t.Flush()
	return strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
}

// A summary has the parts of a workspace's state that commands print.
type summary struct {
	classes    []imprint.Class
	negatives  int
	estimate   classifier.Estimate
	settings   imprint.Settings
	model      string // path of model.tflite
	generation uint64
	recipe     classifier.Recipe
	candidates []classifier.Candidate
	written    *imprint.Written
	advice     *classifier.Advice
	rejection  *classifier.Rejection
	unknownOff string // why the model never answers "unknown"; "" if it does or the settings say so
}

// total returns the size of the workspace: "(3 classes, 60 photos)".
func (s summary) total() string {
	photos := 0
	for _, c := range s.classes {
		photos += len(c.Photos)
	}
	return fmt.Sprintf("(%s, %s)", count(len(s.classes), "class"), count(photos, "photo"))
}

// photosOf describes photos by class. With the preposition " to ", it returns "20 photos to hat".
func photosOf(classes map[string]int, negatives int, preposition string) string {
	photos := 0
	var labels, parts []string
	for _, label := range slices.Sorted(maps.Keys(classes)) {
		photos += classes[label]
		labels = append(labels, plain(label))
	}
	switch {
	case len(labels) > 3:
		parts = append(parts, count(photos, "photo")+preposition+count(len(labels), "class"))
	case len(labels) > 0:
		parts = append(parts, count(photos, "photo")+preposition+enumerate(labels))
	}
	if negatives > 0 {
		parts = append(parts, count(negatives, "negative"))
	}
	return cmp.Or(enumerate(parts), "nothing new")
}

// addedLines returns the output of imprint add.
func addedLines(a *imprint.Added, s summary) []string {
	line := fmt.Sprintf("added %s %s", photosOf(a.Classes, a.Negatives, " to "), s.total())
	if a.Photos+a.Negatives > 0 {
		line += " in " + duration(a.Elapsed)
	}
	return []string{line, accuracyLine(a.Estimate, s.classes)}
}

// addedDetails returns the lines that --verbose adds to the output of imprint add. b is the
// backbone of a new workspace, or nil.
func addedDetails(a *imprint.Added, b *backbone.Backbone, s summary) []string {
	var lines []string
	if b != nil {
		lines = append(lines, backboneLine(b, s.settings.Resize))
	}
	if a.ResizeChoice != nil {
		lines = append(lines, resizeLine(a.ResizeChoice))
	}
	if len(a.Classes) > 1 {
		lines = append(lines, classCounts(a.Classes))
	}
	if len(a.Devices) > 0 {
		lines = append(lines, "photos embedded on "+devicesText(a.Devices))
	}
	return append(lines, s.details()...)
}

// classCounts lists the number of photos per class: "photos added: cone 2, duck 1".
func classCounts(classes map[string]int) string {
	var parts []string
	for _, label := range slices.Sorted(maps.Keys(classes)) {
		parts = append(parts, fmt.Sprintf("%s %d", plain(label), classes[label]))
	}
	return "photos added: " + strings.Join(parts, ", ")
}

// mergedLines returns the output of imprint merge; workspaces is the number of merged workspaces.
func mergedLines(m *fleet.Merged, workspaces int, s summary) []string {
	line := fmt.Sprintf("merged %s: added %s %s", count(workspaces, "workspace"), photosOf(m.Classes, m.Negatives, " to "), s.total())
	if n := len(m.Conflicts); n > 0 {
		line += fmt.Sprintf("; %s with several labels got the %s one", count(n, "photo"), m.Conflicts[0].Rule)
	}
	return []string{line, accuracyLine(m.Estimate, s.classes)}
}

// conflictLines lists photos to which workspaces give several labels.
func conflictLines(conflicts []fleet.Conflict) []string {
	var lines []string
	for _, c := range conflicts {
		line := c.String()
		if c.Rule != fleet.Refuse {
			line += fmt.Sprintf(": %s (%s)", fleet.Quote(c.Label), c.Rule)
		}
		lines = append(lines, line)
	}
	return lines
}

func mergedDetails(m *fleet.Merged, s summary) []string {
	var lines []string
	if len(m.Classes) > 1 {
		lines = append(lines, classCounts(m.Classes))
	}
	if m.Duplicates > 0 {
		lines = append(lines, count(m.Duplicates, "duplicate photo")+" counted once")
	}
	lines = append(lines, conflictLines(m.Conflicts)...)
	return append(lines, s.details()...)
}

// removedLines returns the output of imprint remove. what is, for example, "12 photos of cone".
func removedLines(what string, s summary) []string {
	if len(s.classes) == 0 {
		return []string{"removed " + what, emptyLine}
	}
	return []string{fmt.Sprintf("removed %s %s", what, s.total()), accuracyLine(s.estimate, s.classes)}
}

// emptyLine is printed after a change that removed the last class.
const emptyLine = "no classes left: model.tflite removed"

// undoneLines returns the output of imprint undo.
func undoneLines(u imprint.Undone, s summary) []string {
	line := "undid: " + u.Verb
	photos := u.Negatives
	var labels []string
	for _, label := range slices.Sorted(maps.Keys(u.Photos)) {
		photos += u.Photos[label]
		labels = append(labels, plain(label))
	}
	if u.Negatives > 0 {
		labels = append(labels, "negatives")
	}
	switch {
	case u.Verb == "retrain" && u.From != "":
		line += fmt.Sprintf(" with %s; the backbone is %s again", plain(u.To), plain(u.From))
	case u.Verb == "rename":
		line += fmt.Sprintf(" %s to %s", plain(u.From), plain(u.To))
	case u.Verb == "move":
		line += fmt.Sprintf(" %s to %s", count(photos, "photo"), plain(u.To))
	case len(labels) > 3:
		line += fmt.Sprintf(" %s (%s)", count(len(labels), "class"), count(photos, "photo"))
	case len(labels) > 0:
		line += fmt.Sprintf(" %s (%s)", enumerate(labels), count(photos, "photo"))
	}
	if len(s.classes) == 0 {
		return []string{line, emptyLine}
	}
	return []string{line, accuracyLine(s.estimate, s.classes)}
}

func renamedLines(from, to string) []string {
	return []string{fmt.Sprintf("renamed %s to %s", plain(from), plain(to))}
}

func retrainedLines(took time.Duration, s summary) []string {
	return []string{fmt.Sprintf("retrained %s in %s", s.total(), duration(took)), accuracyLine(s.estimate, s.classes)}
}

// reloadedLine says that a running server uses the model of the given generation.
func reloadedLine(generation uint64) string {
	return fmt.Sprintf("imprint serve uses it now (generation %d)", generation)
}

// wroteLines says that a model was written to path. in is nil unless the model is compiled.
func wroteLines(path string, in *imprint.Written) []string {
	lines := []string{"wrote " + path}
	if in != nil && in.Disagreements > 0 {
		lines = append(lines, writtenLine(in))
	}
	return lines
}

// accuracyLine states the leave-one-out accuracy, or which photos are needed to measure it.
func accuracyLine(e classifier.Estimate, classes []imprint.Class) string {
	var single []string // labels of classes with one photo
	for _, c := range classes {
		if len(c.Photos) == 1 {
			single = append(single, plain(c.Label))
		}
	}
	switch {
	case len(classes) == 0:
		return "no classes yet"
	case len(classes) == 1:
		return "accuracy: needs two classes"
	case e.Total == 0 && len(single) > 2:
		return "accuracy: needs a second photo of each class"
	case e.Total == 0 && len(single) > 0:
		return "accuracy: needs a second photo of " + enumerate(single)
	case e.Total == 0:
		return "accuracy: needs photos that differ more (other angles, other light)"
	}
	low, high := e.Interval()
	return fmt.Sprintf("accuracy %s (%s) on photos left out", percent(e.Accuracy(), 0), percentRange(low, high))
}

// unknownLine states how well unknown things are rejected, or why they are not. It returns "" if the
// settings turn rejection off.
func unknownLine(s summary) string {
	r := s.rejection
	switch {
	case s.unknownOff != "":
		return fmt.Sprintf("unknown: off, because %s", plain(s.unknownOff))
	case s.settings.Unknown == 0:
		return ""
	case r == nil && (s.estimate.Total >= 10 || s.settings.KeepClasses):
		return "unknown: off until the next change, because an older version made the model"
	case r == nil:
		return "unknown: off until ten photos can be left out, or there are ten negatives"
	}
	line := fmt.Sprintf("false accepts: %s (target %.4g %%)", percent(float64(r.FalseAccepts)/float64(max(r.Negatives, 1)), 1), 100*r.TargetFAR)
	if r.Background {
		line = fmt.Sprintf("false accepts: target %.4g %%", 100*r.TargetFAR)
		if r.TargetFAR < 0.001 {
			line = "false accepts: target below 0.1 %"
		}
	}
	if r.Own {
		line = "unknown: what is unlike your photos"
		if r.Negatives == 0 {
			line += "; ten negatives would show what else"
		}
	}
	if r.Positives > 0 {
		line += fmt.Sprintf("; %s of your own photos would be rejected", percent(float64(r.Rejected)/float64(r.Positives), 0))
	}
	return line
}

// withoutBackground reports whether only the user's photos show what is unknown, or will show it.
func (s summary) withoutBackground() bool {
	return s.settings.Unknown > 0 && s.unknownOff == "" && (s.rejection == nil || s.rejection.Own)
}

// tipLine names the class for which more photos should help most. It returns "" if they should not
// help.
func tipLine(a *classifier.Advice) string {
	if a == nil || math.Round(100*a.ExpectedRecall) <= math.Round(100*a.Recall) {
		return ""
	}
	return fmt.Sprintf("tip: %s of %s should help most (%.0f → %.0f %%)", count(a.Photos, "more photo"), plain(a.Label), 100*a.Recall, 100*a.ExpectedRecall)
}

// classLines lists the classes of a workspace and, if photos is true, each photo.
func classLines(classes []imprint.Class, photos bool) []string {
	var lines []string
	for _, class := range classes {
		lines = append(lines, fmt.Sprintf("%s  %s", plain(class.Label), count(len(class.Photos), "photo")))
		if !photos {
			continue
		}
		for _, p := range class.Photos {
			line := fmt.Sprintf("    %.12s  %s", p.SHA256, p.Path)
			if p.Box != nil {
				line += " at " + p.Box.String()
			}
			lines = append(lines, line)
		}
	}
	return lines
}

// resultLines returns the output for a classified photo, or for each object in it: its class or, if
// top is more than 1, its best classes.
func resultLines(r predict.Result, top int, verbose bool) []string {
	decimals := 0
	if verbose {
		decimals = 1
	}
	var lines []string
	for _, b := range r.Boxes {
		answer := answerText(predict.Result{Label: b.Label, Score: b.Score, Top: b.Top, Unknown: b.Unknown}, top, decimals)
		lines = append(lines, fmt.Sprintf("%s: %s (%s %s) at %s", r.Path, answer, plain(b.Object), percent(float64(b.ObjectScore), decimals), b.Box))
	}
	switch {
	case r.Boxes == nil:
		lines = []string{r.Path + ": " + answerText(r, top, decimals)}
	case len(lines) == 0:
		lines = []string{r.Path + ": nothing found"}
	}
	if verbose {
		lines[0] += fmt.Sprintf(", in %s on %s", duration(r.Elapsed), r.Device)
	}
	return lines
}

// answerText returns the class of r or, if top is more than 1, its best classes.
func answerText(r predict.Result, top, decimals int) string {
	score := func(s predict.Score) string { return plain(s.Label) + " " + percent(s.Score, decimals) }
	switch {
	case top > 1:
		var parts []string
		for _, s := range r.Top {
			parts = append(parts, score(s))
		}
		return strings.Join(parts, ", ")
	case r.Unknown:
		answer := cmp.Or(plain(r.Label), "unknown")
		if i := slices.IndexFunc(r.Top, func(s predict.Score) bool { return s.Label != r.Label }); i >= 0 {
			answer += fmt.Sprintf(" (nearest: %s)", plain(r.Top[i].Label))
		}
		return answer
	}
	return score(predict.Score{Label: r.Label, Score: r.Score})
}

// ranLine states how long a model ran, or the median of several runs.
func ranLine(model string, median time.Duration, runs int, device string) string {
	if runs == 1 {
		return fmt.Sprintf("ran %s in %s on %s", model, duration(median), device)
	}
	return fmt.Sprintf("ran %s %d times on %s, %s each", model, runs, device, duration(median))
}

// findingLines lists the findings of imprint doctor and how to fix them.
func findingLines(found []tpu.Finding) []string {
	var lines []string
	for _, f := range found {
		where := ""
		if f.Port != (tpu.Port{}) {
			where = "usb:" + f.Port.String() + ": "
		}
		lines = append(lines, fmt.Sprintf("%v: %s%s", f.Severity, where, f.Text))
		if f.Fix != "" {
			lines = append(lines, "  do: "+f.Fix)
		}
	}
	return lines
}

func deviceState(boot bool) string {
	if boot {
		return "boot mode"
	}
	return "ready"
}

// fileSize formats a number of bytes in kB or MB.
func fileSize(bytes int) string {
	if bytes < 1e6 {
		return fmt.Sprintf("%d kB", (bytes+500)/1000)
	}
	return megabytes(int64(bytes))
}

func megabytes(bytes int64) string { return fmt.Sprintf("%.1f MB", float64(bytes)/1e6) }
