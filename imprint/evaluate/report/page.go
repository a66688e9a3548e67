// Package page makes a page of an evaluation, for people to read: one HTML file with
// everything in it, that loads nothing and runs no script. Call [Evaluation].
package report

import (
	"bytes"
	"context"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

//go:embed page.html
var files embed.FS

const (
	// mostPhotos is of how many photos a section shows at most.
	mostPhotos = 24
	// mostInGroup is how many photos of a group that are alike are shown.
	mostInGroup = 6
	// mostClasses is up to how many classes the confusion matrix is shown whole.
	mostClasses = 30
	// thumbnailSide is the width and height of a thumbnail in pixels.
	thumbnailSide = 112
)

// Evaluation gives the page of an evaluation; the details are those of the first head.
// Thumbnails show photos as way fits them, where the file is still there and the same.
func HTML(ctx context.Context, ev *evaluate.Evaluation, way dataset.Resize) ([]byte, error) {
	if len(ev.Heads) == 0 {
		return nil, errors.New("an evaluation without a head has no report")
	}
	v := &view{Evaluation: ev, Detail: &ev.Heads[0]}
	v.Hard = v.Detail.Hardest(mostPhotos)
	v.Pulls = ev.LabelSuspects[:min(mostPhotos, len(ev.LabelSuspects))]
	v.Alike = ev.NearDuplicates[:min(mostPhotos, len(ev.NearDuplicates))]
	v.Mistakes = v.Detail.Confusions(12)
	v.Matrix = len(ev.Classes) <= mostClasses
	for _, r := range ev.Results {
		if !slices.Contains(v.Heads, r.Head) {
			v.Heads = append(v.Heads, r.Head)
		}
		if !slices.Contains(v.Shots, r.Support) {
			v.Shots = append(v.Shots, r.Support)
		}
	}
	var err error
	if v.thumbnails, err = thumbnails(ctx, v.shown(), way); err != nil {
		return nil, fmt.Errorf("make the report: %w", err)
	}
	if err := v.draw(); err != nil {
		return nil, fmt.Errorf("make the report: %w", err)
	}
	t, err := template.New("page.html").Funcs(template.FuncMap{"percent": percent, "base": filepath.Base}).ParseFS(files, "page.html")
	if err != nil {
		return nil, fmt.Errorf("make the report: %w", err)
	}
	var b bytes.Buffer
	if err := t.Execute(&b, v); err != nil {
		return nil, fmt.Errorf("make the report: %w", err)
	}
	return b.Bytes(), nil
}

// view is what the page shows.
type view struct {
	*evaluate.Evaluation
	Detail   *evaluate.HeadReport
	Heads    []string
	Shots    []int
	Hard     []evaluate.PhotoReport
	Pulls    []evaluate.LabelSuspect
	Alike    []evaluate.NearDuplicates
	Mistakes []evaluate.Confused
	Matrix   bool

	LearningCurve, Reliability, AcceptCurve template.HTML

	thumbnails map[int]template.URL // of rows
}

func (v *view) draw() (err error) {
	if len(v.Shots) > 1 {
		if v.LearningCurve, err = learningCurve(v.Results, v.Heads); err != nil {
			return err
		}
	}
	if v.Reliability, err = reliability(v.Detail); err == nil {
		v.AcceptCurve, err = acceptCurve(v.Detail)
	}
	return err
}

// shown are the photos that the page shows.
func (v *view) shown() []evaluate.PhotoRef {
	var all []evaluate.PhotoRef
	for _, p := range v.Hard {
		all = append(all, p.PhotoRef)
	}
	for _, p := range v.Pulls {
		all = append(all, p.PhotoRef)
	}
	for _, g := range v.Alike {
		all = append(all, v.Some(g)...)
	}
	slices.SortFunc(all, func(a, b evaluate.PhotoRef) int { return a.Row - b.Row })
	return slices.CompactFunc(all, func(a, b evaluate.PhotoRef) bool { return a.Row == b.Row })
}

// Some are the photos of a group that are shown.
func (v *view) Some(g evaluate.NearDuplicates) []evaluate.PhotoRef {
	return g.Photos[:min(mostInGroup, len(g.Photos))]
}

// Thumbnail is the photo's picture as an address; "" if there is none.
func (v *view) Thumbnail(p evaluate.PhotoRef) template.URL { return v.thumbnails[p.Row] }

// At is the accuracy of a head with so many photos; nil if it was not measured.
func (v *view) At(head string, shots int) *evaluate.Accuracy {
	for _, r := range v.Results {
		if r.Head == head && r.Support == shots {
			return &r
		}
	}
	return nil
}

// Shade is how dark a field of the confusion matrix is, 0 to 9.
func (v *view) Shade(class, answer int) int {
	sum := 0
	for _, n := range v.Detail.Confusion[class] {
		sum += n
	}
	if sum == 0 {
		return 0
	}
	n := v.Detail.Confusion[class][answer]
	shade := 9 * n / sum
	if n > 0 {
		shade = max(shade, 1)
	}
	return shade
}

// Accepted are points of the accept curve near round shares.
func (v *view) Accepted() []evaluate.RiskCoverage {
	var points []evaluate.RiskCoverage
	for _, share := range []float64{0.25, 0.5, 0.75, 0.9, 1} {
		i := slices.IndexFunc(v.Detail.RiskCoverage, func(a evaluate.RiskCoverage) bool { return a.Coverage >= share })
		if i >= 0 && (len(points) == 0 || points[len(points)-1] != v.Detail.RiskCoverage[i]) {
			points = append(points, v.Detail.RiskCoverage[i])
		}
	}
	return points
}

// thumbnails makes those of photos whose file is there and is the photo that was
// evaluated.
func thumbnails(ctx context.Context, photos []evaluate.PhotoRef, way dataset.Resize) (map[int]template.URL, error) {
	var items []dataset.Item
	var shown []evaluate.PhotoRef
	for _, p := range photos {
		if p.Path != "" {
			items, shown = append(items, dataset.Item{Path: p.Path}), append(shown, p)
		}
	}
	found := make(map[int]template.URL)
	if len(items) == 0 {
		return found, ctx.Err()
	}
	work := func(_ context.Context, _ int, f *dataset.File) ([]byte, error) {
		sum := f.SHA256()
		if i := slices.IndexFunc(shown, func(p evaluate.PhotoRef) bool { return p.Path == f.Path }); fmt.Sprintf("%x", sum) != shown[i].SHA256 {
			return nil, errors.New("another photo is there now")
		}
		return f.Thumbnail(thumbnailSide, way)
	}
	err := dataset.Load(ctx, items, dataset.DefaultLimits(), 0, work, func(i int, jpeg []byte, err error) error {
		if err == nil {
			found[shown[i].Row] = template.URL("data:image/jpeg;base64," + base64.StdEncoding.EncodeToString(jpeg))
		}
		return nil
	})
	return found, err
}

func percent(share float64) string { return fmt.Sprintf("%.1f", 100*share) }
