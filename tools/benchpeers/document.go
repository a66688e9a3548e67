package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

// Marks enclose a text in the document that this program writes.
type marks struct{ begin, end string }

var (
	tfliteMarks = marks{"<!-- begin: written by make bench-peers -->\n", "<!-- end: written by make bench-peers -->\n"}
	litertMarks = marks{"<!-- begin: LiteRT, written by make bench-peers -->\n", "<!-- end: LiteRT, written by make bench-peers -->\n"}
)

// write replaces the text between the marks in a file.
func (m marks) write(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(b, []byte(m.begin))
	_, after, closed := bytes.Cut(rest, []byte(m.end))
	if !ok || !closed {
		return fmt.Errorf("%s lacks the lines %q and %q", path, strings.TrimSpace(m.begin), strings.TrimSpace(m.end))
	}
	return os.WriteFile(path, []byte(string(before)+m.begin+text+m.end+string(after)), 0o644)
}

// document returns the results as Markdown.
func document(machine string, rows []row, rounds int) string {
	var w strings.Builder
	fmt.Fprintf(&w, "%s\n\n", machine)
	fmt.Fprintf(&w, "Times are milliseconds per inference: medians of %d alternating rounds, each the median of many inferences. Ratios are medians of the ratios within a round.\n", rounds)
	fmt.Fprintf(&w, "\n| model | million MACs | TFLite kernels | TFLite, 1 core | imprint, 1 core | speedup | TFLite, 2 cores | imprint, 2 cores | speedup | imprint, 2 cores vs. 1 | bytes |\n")
	fmt.Fprintf(&w, "|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		kernels := "default"
		if r.xnnpack {
			kernels = "XNNPACK"
		}
		fmt.Fprintf(&w, "| %s | %d | %s", r.name, r.macs/1e6, kernels)
		for i := range 2 {
			fmt.Fprintf(&w, " | %s | %s | **%.1f×**", ms(r.theirs[i]), ms(r.ours[i]), r.speedup[i])
		}
		fmt.Fprintf(&w, " | %.2f× | %s |\n", r.scaling, r.bytes)
	}
	fmt.Fprintf(&w, "\nBytes: imprint's output compared with the output of TFLite's default kernels for the same input.\n")
	for _, r := range rows {
		if r.xnnpack {
			fmt.Fprintf(&w, "XNNPACK's output for %s, compared with the default kernels': %s.\n", r.name, r.xnnpackBytes)
		}
	}
	for _, r := range rows {
		if r.peakRate > 0 {
			fmt.Fprintf(&w, "\nOn one core imprint runs %s at %.0f GMAC/s, %.0f %% of the %.0f GMAC/s of a loop of dot products, measured in the same rounds.\n",
				r.name, r.rate(r.ours[0]), 100*r.peakFraction, r.peakRate)
		}
	}
	return w.String()
}

// ms returns d in milliseconds.
func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}
