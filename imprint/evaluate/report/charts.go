package report

import (
	"fmt"
	"html/template"
	"slices"

	"github.com/imprintkit/imprint/imprint/evaluate"
)

// learningCurve plots accuracy by the number of support photos, one line per head with
// the standard deviation over episodes as error bars.
func learningCurve(results []evaluate.Accuracy, heads []string, support []int) template.HTML {
	c := chart{
		name: "Learning curve: accuracy by training photos per class. The table below lists the values.",
		x:    axis{label: "training photos per class", max: float64(slices.Max(support))},
		y:    axis{label: "accuracy, %", max: 100},
	}
	for _, k := range slices.Sorted(slices.Values(support)) {
		c.x.ticks = append(c.x.ticks, float64(k))
	}
	for _, h := range heads {
		s := series{marks: true}
		for _, r := range results {
			if r.Head == h {
				s.points = append(s.points, point{x: float64(r.Support), y: r.Mean, low: max(r.Mean-r.Std, 0), high: min(r.Mean+r.Std, 100)})
			}
		}
		c.series = append(c.series, s)
	}
	return c.svg()
}

// calibrationCurve plots accuracy by score, with and without temperature scaling. It leaves out
// bins with less than 1 % of the predictions, because their accuracy is mostly chance.
func calibrationCurve(d *evaluate.HeadReport) template.HTML {
	c := chart{
		name:     fmt.Sprintf("Calibration curve: accuracy by score. The expected calibration error is %s %%.", percent(d.Calibration.Error)),
		x:        axis{label: "score, %", max: 100},
		y:        axis{label: "accuracy, %", max: 100},
		diagonal: true,
	}
	for _, calibration := range []evaluate.Calibration{d.Calibration, d.Uncalibrated} {
		s := series{marks: true}
		all := 0
		for _, b := range calibration.Bins {
			all += b.Count
		}
		for _, b := range calibration.Bins {
			if 100*b.Count >= all {
				s.points = append(s.points, point{x: 100 * b.Score, y: 100 * b.Accuracy})
			}
		}
		c.series = append(c.series, s)
	}
	return c.svg()
}

// coverageCurve plots accuracy against coverage for the predictions above a threshold. Coverage is
// their share of all predictions.
func coverageCurve(d *evaluate.HeadReport) template.HTML {
	var s series
	for _, a := range d.RiskCoverage {
		s.points = append(s.points, point{x: 100 * a.Coverage, y: 100 * a.Accuracy})
	}
	c := chart{
		name:   "Accuracy by coverage. The table below lists some thresholds.",
		x:      axis{label: "coverage, %", max: 100},
		y:      axis{label: "accuracy, %", max: 100},
		series: []series{s},
	}
	return c.svg()
}
