package report

import (
	"encoding/xml"
	"flag"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/imprint/evaluate"
)

var update = flag.Bool("update", false, "update the golden files in testdata")

// TestCharts compares the three charts with the golden files in testdata.
func TestCharts(t *testing.T) {
	results := []evaluate.Accuracy{
		{Head: "auto", Support: 1, Mean: 61.1, Std: 4.2}, {Head: "auto", Support: 2, Mean: 70.9, Std: 2.5}, {Head: "auto", Support: 10, Mean: 87.4, Std: 1.6}, {Head: "auto", Support: 20, Mean: 99.5, Std: 0.9},
		{Head: "mean", Support: 1, Mean: 2.5, Std: 4.1}, {Head: "mean", Support: 2, Mean: 68.3, Std: 3}, {Head: "mean", Support: 20, Mean: 85.3, Std: 1.2},
	}
	d := &evaluate.HeadReport{
		Calibration:  evaluate.Calibration{Error: 0.0312, Bins: []evaluate.Bin{{Count: 4, Score: 0.05, Accuracy: 0}, {Count: 300, Score: 0.55, Accuracy: 0.5}, {Count: 200, Score: 0.96, Accuracy: 1}}},
		Uncalibrated: evaluate.Calibration{Bins: []evaluate.Bin{{Count: 250, Score: 0.45, Accuracy: 0.61}, {Count: 250, Score: 0.91, Accuracy: 0.89}}},
		RiskCoverage: []evaluate.RiskCoverage{{Threshold: 0.9, Coverage: 0.01, Accuracy: 1}, {Threshold: 0.5, Coverage: 0.333, Accuracy: 0.947}, {Threshold: 0.2, Coverage: 1, Accuracy: 0.742}},
	}
	for name, got := range map[string]string{
		"learning":    string(learningCurve(results, []string{"auto", "mean"}, []int{20, 1, 2, 10})),
		"calibration": string(calibrationCurve(d)),
		"coverage":    string(coverageCurve(d)),
	} {
		file := filepath.Join("testdata", name+".svg")
		if *update {
			if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got+"\n" != string(want) {
			t.Errorf("the chart differs from %s; see testdata/README.md:\n%s", file, got)
		}
	}
}

// TestTicks checks the round numbers that an axis chooses for its ticks.
func TestTicks(t *testing.T) {
	for _, test := range []struct {
		min, max float64
		want     []float64
	}{
		{0, 100, []float64{0, 20, 40, 60, 80, 100}},
		{0, 1000, []float64{0, 200, 400, 600, 800, 1000}},
		{0, 7, []float64{0, 2, 4, 6}},
		{0, 1, []float64{0, 0.2, 0.4, 0.6, 0.8, 1}},
		{50, 100, []float64{50, 60, 70, 80, 90, 100}},
		{85, 100, []float64{85, 90, 95, 100}},
	} {
		a := axis{min: test.min, max: test.max}
		var got []string
		for _, v := range a.marks() {
			got = append(got, number(v))
		}
		var want []string
		for _, v := range test.want {
			want = append(want, number(v))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%v to %v: got %v, want %v", test.min, test.max, got, want)
		}
	}
}

// TestChartIsWellFormed draws random charts with hostile labels and parses them.
func TestChartIsWellFormed(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		c := chart{name: hostile, x: axis{label: hostile, max: float64(1 + r.IntN(1000))}, y: axis{label: hostile, max: 100}, diagonal: r.IntN(2) == 0}
		for range r.IntN(9) {
			var s series
			s.marks = r.IntN(2) == 0
			for range r.IntN(5) {
				y := 100 * r.Float64()
				s.points = append(s.points, point{x: c.x.max * r.Float64(), y: y, low: y - 30*r.Float64(), high: y})
			}
			c.series = append(c.series, s)
		}
		svg := string(c.svg())
		d := xml.NewDecoder(strings.NewReader(svg))
		for {
			token, err := d.Token()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("%v in %s", err, svg)
			}
			if e, ok := token.(xml.StartElement); ok && !slices.Contains([]string{"svg", "g", "path", "text", "circle"}, e.Name.Local) {
				t.Fatalf("the chart contains <%s>: %s", e.Name.Local, svg)
			}
		}
		if strings.Contains(svg, "NaN") || strings.Contains(svg, "Inf") {
			t.Fatalf("the chart contains NaN or Inf: %s", svg)
		}
	}
}
