package report

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/xml"
	"errors"
	"fmt"
	stdjpeg "image/jpeg"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hostile is a label that breaks the page wherever it is not escaped.
const hostile = `</style></title><script>alert(1)</script><img src=x onerror="alert(2)">'"&{{.}}`

// evaluation returns an evaluation with content for every section of the page, and writes its
// photos to dir.
func evaluation(t *testing.T, dir string) *evaluate.Evaluation {
	t.Helper()
	photo := func(row int, label string) evaluate.PhotoRef {
		content := backbonetest.Photo(uint64(row), 1)
		p := evaluate.PhotoRef{Row: row, Label: label, Path: filepath.Join(dir, fmt.Sprintf("%d <b>&\"'.png", row)), SHA256: fmt.Sprintf("%x", sha256.Sum256(content))}
		if err := os.WriteFile(p.Path, content, 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	proportion := evaluate.Proportion{Value: 0.5, Low: 0.25, High: 0.75, N: 4}
	half := 0.5
	calibration := evaluate.Calibration{Error: 0.1, Bins: []evaluate.Bin{{Count: 2, Score: 0.6, Accuracy: 0.5}, {Count: 2, Score: 0.9, Accuracy: 0.8}}}
	d := evaluate.HeadReport{Head: "auto", Recipe: "ridge λ=0.3", Support: 5, Accuracy: proportion, Confusion: [][]int{{2, 2}, {0, 0}},
		Classes:     []evaluate.ClassReport{{Label: hostile, Recall: &proportion, Precision: &half}, {Label: "b"}},
		Calibration: calibration, Uncalibrated: calibration, RiskCoverage: []evaluate.RiskCoverage{{Threshold: 0.9, Coverage: 0.5, Accuracy: 1}, {Threshold: 0.1, Coverage: 1, Accuracy: 0.5}},
		Photos: []evaluate.PhotoReport{{PhotoRef: photo(0, hostile), Answer: hostile, Score: 0.9, TrueScore: 0.1, Queries: 3, Wrong: 2}}}
	return &evaluate.Evaluation{Set: hostile, Classes: []string{hostile, "b"}, Photos: 5,
		Results:        []evaluate.Accuracy{{Head: "auto", Support: 1, Mean: 40, Std: 5, Episodes: 3}, {Head: "auto", Support: 5, Mean: 100, Std: 0, Episodes: 3}, {Head: "mean", Support: 1, Mean: 30, Std: 5, Episodes: 3}},
		Heads:          []evaluate.HeadReport{d},
		LabelSuspects:  []evaluate.LabelSuspect{{PhotoRef: photo(1, hostile), Corrected: 2, Margin: 0.5, LooksLike: hostile}},
		NearDuplicates: []evaluate.NearDuplicates{{Photos: []evaluate.PhotoRef{photo(2, "b"), photo(3, hostile)}, Cosine: 0.99, SameHash: true, Labels: 2}}}
}

func pageOf(t *testing.T, ev *evaluate.Evaluation) string {
	t.Helper()
	b, err := HTML(context.Background(), ev, dataset.Crop)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// elements parses a page, fails if it is not well formed, and calls f for each start tag.
func elements(t *testing.T, page string, f func(xml.StartElement)) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		token, err := d.Token()
		if err == io.EOF {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := token.(xml.StartElement); ok {
			f(e)
		}
	}
}

var data = regexp.MustCompile(`^data:image/jpeg;base64,([A-Za-z0-9+/=]+)$`)

// TestHTML checks that the page has every section, escapes labels and loads nothing.
func TestHTML(t *testing.T) {
	page := pageOf(t, evaluation(t, t.TempDir()))
	pictures, charts := 0, 0
	elements(t, page, func(e xml.StartElement) {
		switch e.Name.Local {
		case "script", "link", "iframe", "object", "embed", "base", "form", "b:b":
			t.Errorf("the page contains <%s>", e.Name.Local)
		case "svg":
			charts++
		}
		named := false
		for _, a := range e.Attr {
			name := strings.ToLower(a.Name.Local)
			named = named || name == "aria-label" && a.Value != ""
			switch {
			case strings.HasPrefix(name, "on"), name == "href", name == "srcset", name == "action":
				t.Errorf("<%s> has %s=%q", e.Name.Local, name, a.Value)
			case name == "src":
				m := data.FindStringSubmatch(a.Value)
				if m == nil {
					t.Errorf("<%s> loads %q", e.Name.Local, a.Value)
					continue
				}
				b, err := base64.StdEncoding.DecodeString(m[1])
				if err == nil {
					_, err = stdjpeg.Decode(bytes.NewReader(b))
				}
				if err != nil {
					t.Errorf("thumbnail: %v", err)
				}
				pictures++
			}
		}
		if e.Name.Local == "svg" && !named {
			t.Error("a chart has no accessible name")
		}
	})
	if pictures != 4 || charts != 3 {
		t.Errorf("got %d thumbnails and %d charts, want 4 and 3", pictures, charts)
	}
	for _, bad := range []string{"<script", "onerror=\"", "url(", "@import", "http://", "https://", "ZgotmplZ", "xlink", "NaN"} {
		if strings.Contains(page, bad) {
			t.Errorf("the page contains %q", bad)
		}
	}
	for _, want := range []string{"50.0 % correct", "25.0–75.0 %", "40.0 ± 5.0", "var(--line1)", "prefers-color-scheme: dark", "usually correct", "wrong 2 of 3 times", "2 more photos correct without it",
		"2 different labels", "cosine similarity 0.990, same image hash", "0 &lt;b&gt;&amp;&#34;&#39;.png", "ridge λ=0.3", `lang="en"`, "width=device-width", "default-src 'none'"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// TestEmptySections renders an evaluation that leaves all sections of the page empty.
func TestEmptySections(t *testing.T) {
	ev := &evaluate.Evaluation{Set: "ws", Classes: []string{"a"}, Photos: 1, Heads: []evaluate.HeadReport{{Head: "auto", Classes: []evaluate.ClassReport{{Label: "a"}}, Confusion: [][]int{{0}}, Estimate: &classifier.Estimate{Excluded: 1}}}}
	page := pageOf(t, ev)
	elements(t, page, func(xml.StartElement) {})
	if !strings.Contains(page, "Accuracy unknown") || strings.Contains(page, "NaN") {
		t.Errorf("got page %s, want it to say that the accuracy is unknown", page)
	}
	if _, err := HTML(context.Background(), &evaluate.Evaluation{}, dataset.Crop); err == nil {
		t.Error("evaluation without heads: got no error")
	}
}

// TestMissingPhoto checks that deleted and replaced photos have no thumbnail.
func TestMissingPhoto(t *testing.T) {
	dir := t.TempDir()
	ev := evaluation(t, dir)
	if err := os.Remove(ev.LabelSuspects[0].Path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ev.Heads[0].Photos[0].Path, backbonetest.Photo(9, 9), 0o644); err != nil {
		t.Fatal(err)
	}
	page := pageOf(t, ev)
	if got := strings.Count(page, "<img"); got != 2 || strings.Count(page, "no thumbnail") != 2 {
		t.Errorf("got %d thumbnails, want 2 and 2 placeholders", got)
	}
}

// TestReplacedPhoto evaluates two photos with the same path. The file still contains only the
// second photo.
func TestReplacedPhoto(t *testing.T) {
	ev := evaluation(t, t.TempDir())
	group := ev.NearDuplicates[0].Photos
	group[0].Path = group[1].Path
	page := pageOf(t, ev)
	if got := strings.Count(page, "<img"); got != 3 || strings.Count(page, "no thumbnail") != 1 {
		t.Errorf("got %d thumbnails, want 3 and 1 placeholder", got)
	}
}

// TestManyClasses checks that the page leaves out a confusion matrix that is too large.
func TestManyClasses(t *testing.T) {
	ev := evaluation(t, t.TempDir())
	for i := range 2 * maxMatrix {
		ev.Classes = append(ev.Classes, fmt.Sprint(i))
	}
	if page := pageOf(t, ev); strings.Contains(page, `class="matrix"`) {
		t.Errorf("the page shows a matrix of %d classes", len(ev.Classes))
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := HTML(ctx, evaluation(t, t.TempDir()), dataset.Crop); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want %v", err, context.Canceled)
	}
}
