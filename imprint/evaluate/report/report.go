// Package report renders an evaluation as an HTML page. The page loads nothing and runs no scripts,
// so you can share it as a single file. Start with [HTML].
package report

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"
	"sync"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

//go:embed page.html
var files embed.FS

// page returns the template page.html. It parses the template on first use, not when the program
// starts.
var page = sync.OnceValue(func() *template.Template {
	functions := template.FuncMap{"percent": percent, "base": filepath.Base, "color": color}
	return template.Must(template.New("page.html").Funcs(functions).ParseFS(files, "page.html"))
})

// Limits on the contents of the page.
const (
	maxPhotos      = 24  // photos per section
	maxGroup       = 6   // photos per group of near-duplicates
	maxConfusions  = 12  // items in the list above the confusion matrix
	maxMatrix      = 30  // classes in a confusion matrix; a larger one is left out
	thumbnailWidth = 112 // width and height, in pixels
)

// HTML returns ev as a page. It charts the learning curves of all heads and describes the first
// head in detail. Thumbnails show photos resized with the given mode. A photo has no thumbnail if
// its file is missing or has changed. HTML fails if ev has no heads or ctx ends.
func HTML(ctx context.Context, ev *evaluate.Evaluation, resize dataset.Resize) ([]byte, error) {
	if len(ev.Heads) == 0 {
		return nil, errors.New("make the report: the evaluation has no heads")
	}
	v := newView(ev)
	var err error
	if v.thumbnails, err = thumbnails(ctx, v.pictured(), resize); err != nil {
		return nil, fmt.Errorf("make the report: %w", err)
	}
	var b bytes.Buffer
	if err := page().Execute(&b, v); err != nil {
		return nil, fmt.Errorf("make the report: %w", err)
	}
	return b.Bytes(), nil
}

// view is the data for page.html.
type view struct {
	*evaluate.Evaluation
	Head       *evaluate.HeadReport // the first head, which the page describes in detail
	HeadNames  []string             // heads in the learning curve
	Support    []int                // numbers of support photos in the learning curve
	Hardest    []evaluate.PhotoReport
	Suspects   []evaluate.LabelSuspect
	Groups     []evaluate.NearDuplicates
	Confusions []evaluate.Confused
	ShowMatrix bool

	LearningCurve, CalibrationCurve, CoverageCurve template.HTML

	thumbnails map[int]template.URL // thumbnails by PhotoRef.Row
}

func newView(ev *evaluate.Evaluation) *view {
	d := &ev.Heads[0]
	v := &view{
		Evaluation: ev,
		Head:       d,
		Hardest:    d.Hardest(maxPhotos),
		Suspects:   ev.LabelSuspects[:min(maxPhotos, len(ev.LabelSuspects))],
		Groups:     ev.NearDuplicates[:min(maxPhotos, len(ev.NearDuplicates))],
		Confusions: d.Confusions(maxConfusions),
		ShowMatrix: len(ev.Classes) <= maxMatrix,
	}
	for _, r := range ev.Results {
		if !slices.Contains(v.HeadNames, r.Head) {
			v.HeadNames = append(v.HeadNames, r.Head)
		}
		if !slices.Contains(v.Support, r.Support) {
			v.Support = append(v.Support, r.Support)
		}
	}
	if len(v.Support) > 1 {
		v.LearningCurve = learningCurve(ev.Results, v.HeadNames, v.Support)
	}
	v.CalibrationCurve, v.CoverageCurve = calibrationCurve(d), coverageCurve(d)
	return v
}

// pictured returns the photos that the page shows, in the set's order.
func (v *view) pictured() []evaluate.PhotoRef {
	var all []evaluate.PhotoRef
	for _, p := range v.Hardest {
		all = append(all, p.PhotoRef)
	}
	for _, p := range v.Suspects {
		all = append(all, p.PhotoRef)
	}
	for _, g := range v.Groups {
		all = append(all, v.Members(g)...)
	}
	slices.SortFunc(all, func(a, b evaluate.PhotoRef) int { return a.Row - b.Row })
	return slices.CompactFunc(all, func(a, b evaluate.PhotoRef) bool { return a.Row == b.Row })
}

// Members returns the photos of a group that the page shows.
func (v *view) Members(g evaluate.NearDuplicates) []evaluate.PhotoRef {
	return g.Photos[:min(maxGroup, len(g.Photos))]
}

// Thumbnail returns the photo's thumbnail as a data URL, or "".
func (v *view) Thumbnail(p evaluate.PhotoRef) template.URL { return v.thumbnails[p.Row] }

// AccuracyOf returns the accuracy of a head trained with the given number of support photos, or
// nil if it was not measured.
func (v *view) AccuracyOf(head string, support int) *evaluate.Accuracy {
	for _, r := range v.Results {
		if r.Head == head && r.Support == support {
			return &r
		}
	}
	return nil
}

// Shade returns the shade of a cell of the confusion matrix, from 0 for a count of zero to 9 for
// a cell with all predictions of its row.
func (v *view) Shade(class, predicted int) int {
	sum := 0
	for _, n := range v.Head.Confusion[class] {
		sum += n
	}
	n := v.Head.Confusion[class][predicted]
	if n == 0 {
		return 0
	}
	return max(9*n/sum, 1)
}

// Thresholds returns points of the coverage curve for a table: the first points with a coverage
// of at least 25, 50, 75, 90 and 100 %.
func (v *view) Thresholds() []evaluate.RiskCoverage {
	var points []evaluate.RiskCoverage
	for _, coverage := range []float64{0.25, 0.5, 0.75, 0.9, 1} {
		i := slices.IndexFunc(v.Head.RiskCoverage, func(a evaluate.RiskCoverage) bool { return a.Coverage >= coverage })
		if i >= 0 && (len(points) == 0 || points[len(points)-1] != v.Head.RiskCoverage[i]) {
			points = append(points, v.Head.RiskCoverage[i])
		}
	}
	return points
}

// thumbnails returns the thumbnails of photos, by row. It leaves out a photo if its file is missing
// or has changed since the evaluation.
func thumbnails(ctx context.Context, photos []evaluate.PhotoRef, resize dataset.Resize) (map[int]template.URL, error) {
	var items []dataset.Item
	var refs []evaluate.PhotoRef // refs[i] belongs to items[i]
	for _, p := range photos {
		if p.Path != "" {
			items, refs = append(items, dataset.Item{Path: p.Path}), append(refs, p)
		}
	}
	found := make(map[int]template.URL)
	if len(items) == 0 {
		return found, ctx.Err()
	}
	type thumbnail struct {
		photo [sha256.Size]byte
		jpeg  []byte
	}
	work := func(_ context.Context, _ int, f *dataset.File) (thumbnail, error) {
		jpeg, err := f.Thumbnail(thumbnailWidth, resize)
		return thumbnail{f.SHA256(), jpeg}, err
	}
	err := dataset.Load(ctx, items, dataset.DefaultLimits(), 0, work, func(i int, t thumbnail, err error) error {
		if err == nil && fmt.Sprintf("%x", t.photo) == refs[i].SHA256 {
			found[refs[i].Row] = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(t.jpeg))
		}
		return nil
	})
	return found, err
}

// percent formats a proportion as a percentage, without the percent sign.
func percent(p float64) string { return fmt.Sprintf("%.1f", 100*p) }

// Write writes ev to a file as an HTML page, durably. A reader sees either the old file or the new
// one.
func Write(ctx context.Context, path string, ev *evaluate.Evaluation, resize dataset.Resize) error {
	b, err := HTML(ctx, ev, resize)
	if err != nil {
		return err
	}
	return store.WriteFile(path, b)
}

// color returns the CSS class of series i of a chart.
func color(i int) string { return fmt.Sprintf("line%d", i%lineColors) }
