package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

func othersFlag() cli.Flag {
	return &cli.StringSliceFlag{Name: "others", Usage: "also measure how the answer \"unknown\" rejects the photos in `DIR`, which show other things; the target rate is that of --unknown, or 0.05", DefaultText: "none"}
}

// evalOthers measures how models trained on set, which b has embedded, reject the photos that
// --others names. The rate is the value of --unknown, or 0.05.
func evalOthers(c *cli.Context, set *evaluate.Set, b *backbone.Backbone, ev *evaluated, heads []classifier.Method, support []int) error {
	dirs := c.StringSlice("others")
	if len(dirs) == 0 {
		return nil
	}
	if b == nil {
		return usagef("--others needs a folder of photos, not --embeddings")
	}
	rate := 0.05
	var o imprint.Options
	if err := unknownRate(c, &o); err != nil {
		return err
	}
	if o.Unknown != nil && *o.Unknown > 0 {
		rate = *o.Unknown
	}
	n, err := threads(c)
	if err != nil {
		return err
	}
	var others []evaluate.Photos
	for _, dir := range dirs {
		if err := mustExist(dir); err != nil {
			return err
		}
		if info, err := os.Stat(dir); err == nil && !info.IsDir() {
			return usagef("--others %s: it is not a folder of photos", dir)
		}
		stored, err := evaluate.ReadSet(dir, ev.resize)
		if err == nil {
			others = append(others, evaluate.Photos{Name: stored.Name, Units: stored.Units})
			continue
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return dataError{err}
		}
		items, left, err := dataset.WalkContext(c.Context, []string{dir}, "other")
		if err != nil {
			return err
		}
		show, clear := progress(c, "photo")
		p, skipped, err := evaluate.EmbedOthers(c.Context, filepath.Base(filepath.Clean(dir)), b, items, evaluate.EmbedOptions{Resize: ev.resize, Threads: n, Progress: show})
		clear()
		if err != nil {
			return err
		}
		note(c, skippedLines(leftOut(append(left, skipped...)), verbose(c))...)
		others = append(others, p)
	}
	ev.Others, err = set.EvaluateOthers(c.Context, heads, support, rate, b, others)
	return err
}

// othersLine says how many photos are accepted by a model that answers "unknown", with the first head and as
// many classes and support photos as there are.
func othersLine(all []evaluate.Others) string {
	r := all[0]
	for _, o := range all {
		if o.Head == r.Head {
			r = o
		}
	}
	var parts []string
	for _, s := range r.Sets {
		parts = append(parts, fmt.Sprintf("%s %.1f %%", plain(s.Set), s.Accepted))
	}
	return fmt.Sprintf("other things accepted: %s (target %.0f %%); %.0f %% of photos of trained classes would be rejected", strings.Join(parts, ", "), r.TargetFAR, 100-r.Kept)
}

// othersTable has a row for each number of classes and of support photos.
func othersTable(all []evaluate.Others) [][]string {
	var rows [][]string
	for i, r := range all {
		if i == 0 {
			head := []string{"head", "classes", "photos", "kept", "correct", "forced"}
			for _, s := range r.Sets {
				head = append(head, plain(s.Set), "kept at 5 %")
			}
			rows = append(rows, head)
		}
		row := []string{r.Head, fmt.Sprint(r.Classes), fmt.Sprint(r.Support)}
		for _, v := range []float64{r.Kept, r.Correct, r.Forced} {
			row = append(row, fmt.Sprintf("%.1f", v))
		}
		for _, s := range r.Sets {
			row = append(row, fmt.Sprintf("%.1f", s.Accepted), fmt.Sprintf("%.1f", s.KeptAt5))
		}
		rows = append(rows, row)
	}
	return rows
}
