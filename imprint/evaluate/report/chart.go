package report

import (
	"bytes"
	"fmt"
	"html/template"
	"image/color"
	"math"
	"strings"

	"github.com/imprintkit/imprint/imprint/evaluate"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgsvg"
)

// The size of a chart in points; on the page it is as wide as there is room.
const chartWidth, chartHeight = 360, 250

// Colours are written as numbers that stand for the page's own, which differ between
// light and dark.
var (
	ink   = color.NRGBA{0x10, 0xAA, 0x01, 0xFF}
	faint = color.NRGBA{0x10, 0xAA, 0x02, 0xFF}
	// series are the colours of lines, in the order of the page's legends.
	series = []color.NRGBA{{0x10, 0xAA, 0x10, 0xFF}, {0x10, 0xAA, 0x11, 0xFF}, {0x10, 0xAA, 0x12, 0xFF}, {0x10, 0xAA, 0x13, 0xFF}, {0x10, 0xAA, 0x14, 0xFF}, {0x10, 0xAA, 0x15, 0xFF}}
)

// inPageColours puts the page's colours in place of those numbers.
func inPageColours(svg string) string {
	for c, name := range map[color.NRGBA]string{ink: "--ink", faint: "--faint"} {
		svg = strings.ReplaceAll(svg, hex(c), "var("+name+")")
	}
	for i, c := range series {
		svg = strings.ReplaceAll(svg, hex(c), fmt.Sprintf("var(--line%d)", i))
	}
	return svg
}

func hex(c color.NRGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }

// newChart is an empty chart; y is a percentage.
func newChart(x, y string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = nil
	p.X.Label.Text, p.Y.Label.Text = x, y
	p.Y.Min, p.Y.Max = 0, 100
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.Label.TextStyle.Color, a.Tick.Label.Color, a.Tick.Color = ink, ink, ink, ink
		a.Label.TextStyle.Font = font.From(plot.DefaultFont, 11)
		a.Tick.Label.Font = font.From(plot.DefaultFont, 11)
		a.Label.Padding = 3
	}
	p.Y.Tick.Marker = every(20)
	grid := plotter.NewGrid()
	grid.Vertical.Color, grid.Horizontal.Color = nil, faint
	p.Add(grid)
	return p
}

// every marks multiples of a step.
type every float64

// Ticks implements plot.Ticker.
func (e every) Ticks(low, high float64) []plot.Tick {
	var ticks []plot.Tick
	for v := math.Ceil(low/float64(e)) * float64(e); v <= high; v += float64(e) {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// line adds a line, with dots if there are few.
func line(p *plot.Plot, points plotter.XYs, colour color.Color, dots bool) error {
	if len(points) == 0 {
		return nil
	}
	l, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	l.Color, l.Width = colour, 2
	p.Add(l)
	if !dots {
		return nil
	}
	s, err := plotter.NewScatter(points)
	if err != nil {
		return err
	}
	s.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: 3, Shape: draw.CircleGlyph{}}
	p.Add(s)
	return nil
}

// svg draws a chart; name says what it shows to those who can't see it.
func svg(p *plot.Plot, name string) (template.HTML, error) {
	c := vgsvg.New(chartWidth, chartHeight)
	// The last mark on an axis may stand out beyond its end.
	p.Draw(draw.Crop(draw.New(c), 0, -vg.Length(8), 0, -vg.Length(6)))
	var b bytes.Buffer
	if _, err := c.WriteTo(&b); err != nil {
		return "", err
	}
	_, body, ok := strings.Cut(b.String(), "<g ")
	if !ok {
		return "", fmt.Errorf("draw a chart: its SVG has no group")
	}
	// Sizes in points and names of fonts are the page's matter.
	head := fmt.Sprintf(`<svg role="img" aria-label="%s" viewBox="0 0 %d %d"><g `, template.HTMLEscapeString(name), chartWidth, chartHeight)
	return template.HTML(head + inPageColours(body)), nil
}

// learningCurve is accuracy over photos a class, one line for each head.
func learningCurve(results []evaluate.Accuracy, heads []string) (template.HTML, error) {
	p := newChart("photos taught of each class", "accuracy in %")
	var all []float64
	for i, h := range heads {
		var points plotter.XYs
		var bars plotter.YErrors
		for _, r := range results {
			if r.Head == h {
				points = append(points, plotter.XY{X: float64(r.Support), Y: r.Mean})
				bars = append(bars, struct{ Low, High float64 }{r.Std, min(r.Std, 100-r.Mean)})
				all = append(all, float64(r.Support))
			}
		}
		colour := series[i%len(series)]
		if err := line(p, points, colour, true); err != nil {
			return "", err
		}
		e, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{points, bars})
		if err != nil {
			return "", err
		}
		e.Color = colour
		p.Add(e)
	}
	p.X.Min, p.Y.Min, p.Y.Max = 0, 0, 100
	p.X.Tick.Marker = shotTicks(all)
	return svg(p, "Learning curve: accuracy over the number of photos taught of each class; the table below has the numbers")
}

// shotTicks marks the numbers of photos there are.
func shotTicks(shots []float64) plot.ConstantTicks {
	var ticks plot.ConstantTicks
	for _, v := range shots {
		ticks = append(ticks, plot.Tick{Value: v, Label: fmt.Sprintf("%g", v)})
	}
	return ticks
}

// reliability compares scores with shares of right answers, as scaled and not, where a
// tenth of the scale has at least one in a hundred answers.
func reliability(d *evaluate.HeadReport) (template.HTML, error) {
	p := newChart("score in %", "right answers in %")
	p.X.Min, p.X.Max = 0, 100
	p.X.Tick.Marker = every(20)
	ideal, err := plotter.NewLine(plotter.XYs{{X: 0, Y: 0}, {X: 100, Y: 100}})
	if err != nil {
		return "", err
	}
	ideal.Color, ideal.Dashes = ink, []vg.Length{3, 3}
	p.Add(ideal)
	for i, c := range []evaluate.Calibration{d.Calibration, d.Uncalibrated} {
		var points plotter.XYs
		all := 0
		for _, b := range c.Bins {
			all += b.Count
		}
		for _, b := range c.Bins {
			if 100*b.Count < all { // their share is chance
				continue
			}
			points = append(points, plotter.XY{X: 100 * b.Score, Y: 100 * b.Accuracy})
		}
		if err := line(p, points, series[i], true); err != nil {
			return "", err
		}
	}
	return svg(p, fmt.Sprintf("Reliability curve: share of right answers over score; the expected calibration error is %.1f %%", 100*d.Calibration.Error))
}

// acceptCurve is accuracy over the share of answers accepted.
func acceptCurve(d *evaluate.HeadReport) (template.HTML, error) {
	p := newChart("answers accepted in %", "of those right in %")
	p.X.Min, p.X.Max = 0, 100
	p.X.Tick.Marker = every(20)
	var points plotter.XYs
	for _, a := range d.RiskCoverage {
		points = append(points, plotter.XY{X: 100 * a.Coverage, Y: 100 * a.Accuracy})
	}
	if err := line(p, points, series[0], false); err != nil {
		return "", err
	}
	return svg(p, "Accept and reject curve: accuracy over the share of answers accepted; the table below has some points of it")
}
