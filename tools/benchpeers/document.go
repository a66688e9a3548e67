package main

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"time"
)

// The marks between which a document holds what this program printed.
const (
	begin = "<!-- what make bench-peers printed -->\n"
	end   = "<!-- end of what make bench-peers printed -->\n"
)

// writeBetweenMarks replaces what is between the marks in a file.
func writeBetweenMarks(path, text string) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	before, rest, ok := bytes.Cut(b, []byte(begin))
	_, after, closed := bytes.Cut(rest, []byte(end))
	if !ok || !closed {
		return fmt.Errorf("%s has no place between the lines %q and %q", path, strings.TrimSpace(begin), strings.TrimSpace(end))
	}
	return os.WriteFile(path, []byte(string(before)+begin+text+end+string(after)), 0o644)
}

// document is the result as Markdown.
func document(machine string, rows []row, rounds int) string {
	var w strings.Builder
	fmt.Fprintf(&w, "%s\n\n", machine)
	fmt.Fprintf(&w, "Milliseconds an inference: the median of %d runs that took turns, each the median of many inferences. Ratios are medians of those of single turns.\n", rounds)
	fmt.Fprintf(&w, "\n| model | million MACs | compared with | TFLite, 1 core | imprint, 1 core | ratio | TFLite, 2 cores | imprint, 2 cores | ratio | imprint, 2 cores against 1 | bytes |\n")
	fmt.Fprintf(&w, "|---|---|---|---|---|---|---|---|---|---|---|\n")
	for _, r := range rows {
		against := "default"
		if r.xnnpack {
			against = "XNNPACK"
		}
		fmt.Fprintf(&w, "| %s | %d | %s", r.name, r.macs/1e6, against)
		for i := range 2 {
			fmt.Fprintf(&w, " | %s | %s | **%.1f×**", ms(r.theirs[i]), ms(r.ours[i]), r.ratio[i])
		}
		fmt.Fprintf(&w, " | %.2f× | %s |\n", r.gain, r.equal)
	}
	fmt.Fprintf(&w, "\nBytes: imprint's output against that of TFLite's default kernels on the same input.\n")
	for _, r := range rows {
		if r.xnnpack {
			fmt.Fprintf(&w, "XNNPACK's output against that, %s: %s.\n", r.name, r.xnnpackEqual)
		}
	}
	for _, r := range rows {
		if r.peakRate > 0 {
			fmt.Fprintf(&w, "\nOn one core and %s imprint does %.0f thousand million MACs a second, %.0f %% of what a loop that does nothing else did in turn with it (%.0f).\n",
				r.name, r.rate(r.ours[0]), 100*r.share, r.peakRate)
		}
	}
	return w.String()
}

func ms(d time.Duration) string {
	return fmt.Sprintf("%.2f", float64(d)/float64(time.Millisecond))
}
