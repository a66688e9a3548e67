package report

import (
	"fmt"
	"html"
	"html/template"
	"math"
	"slices"
	"strconv"
	"strings"
)

// The sizes of a chart and its plot area, in units of the viewBox. The page scales charts to the
// available width.
const (
	chartWidth, chartHeight = 360, 240
	plotLeft, plotTop       = 46, 10
	plotWidth, plotHeight   = 300, 188
)

const (
	lineColors = 6 // number of line colors in the page's style sheet
	digitWidth = 7 // width of a digit in a label
	dodge      = 4 // distance between the error bars of two series at the same x
)

// A chart is a line chart. The page's style sheet sets its colors and fonts by the classes "chart",
// "grid", "axis", "diagonal", "line0", "line1", …. SVG attributes keep the chart readable without a
// style sheet.
type chart struct {
	name     string // read aloud by screen readers
	x, y     axis
	diagonal bool // draws y = x
	series   []series
}

// An axis shows the values from min to max.
type axis struct {
	label    string
	min, max float64
	ticks    []float64 // nil means round numbers
}

// A series is one line of a chart. An empty series is not drawn, but the colors of later series
// stay the same.
type series struct {
	points []point
	marks  bool // draws a dot at each point
}

// A point has an error bar from low to high, unless low equals high.
type point struct{ x, y, low, high float64 }

func (p point) hasBar() bool { return p.low != p.high }

// svg returns the chart as an SVG element.
func (c *chart) svg() template.HTML {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg class="chart" role="img" aria-label="%s" viewBox="0 0 %d %d" font-size="11" fill="none" stroke="currentColor">`+"\n",
		html.EscapeString(c.name), chartWidth, chartHeight)
	c.drawAxes(&b)
	if c.diagonal {
		low, high := max(c.x.min, c.y.min), min(c.x.max, c.y.max)
		fmt.Fprintf(&b, `<path class="diagonal" stroke-dasharray="4 3" d="M%s %sL%s %s"/>`+"\n", c.left(low), c.top(low), c.left(high), c.top(high))
	}
	for i, s := range c.series {
		if len(s.points) > 0 {
			c.drawSeries(&b, i, s)
		}
	}
	b.WriteString("</svg>")
	return template.HTML(b.String())
}

// drawAxes draws the grid, both axes, and their ticks and labels.
func (c *chart) drawAxes(b *strings.Builder) {
	var grid, axes, labels strings.Builder
	for _, v := range c.y.marks() {
		fmt.Fprintf(&grid, "M%d %sh%d", plotLeft, c.top(v), plotWidth)
		fmt.Fprintf(&labels, `<text x="%d" y="%s" text-anchor="end" dominant-baseline="central">%s</text>`, plotLeft-7, c.top(v), number(v))
	}
	fmt.Fprintf(&axes, "M%d %dv%dh%d", plotLeft, plotTop, plotHeight, plotWidth)
	end := math.Inf(-1) // right edge of the last label
	for _, v := range c.x.marks() {
		fmt.Fprintf(&axes, "M%s %dv4", c.left(v), plotTop+plotHeight)
		width := float64(digitWidth * len(number(v)))
		if x := c.x.place(v) * plotWidth; x-width/2 > end {
			end = x + width/2
			fmt.Fprintf(&labels, `<text x="%s" y="%d" text-anchor="middle">%s</text>`, c.left(v), plotTop+plotHeight+16, number(v))
		}
	}
	fmt.Fprintf(&labels, `<text x="%d" y="%d" text-anchor="middle">%s</text>`, plotLeft+plotWidth/2, chartHeight-6, html.EscapeString(c.x.label))
	fmt.Fprintf(&labels, `<text transform="translate(11 %d) rotate(-90)" text-anchor="middle">%s</text>`, plotTop+plotHeight/2, html.EscapeString(c.y.label))
	fmt.Fprintf(b, `<path class="grid" stroke-opacity=".2" d="%s"/>`+"\n", grid.String())
	fmt.Fprintf(b, `<path class="axis" d="%s"/>`+"\n", axes.String())
	fmt.Fprintf(b, `<g class="labels" fill="currentColor" stroke="none">%s</g>`+"\n", labels.String())
}

// drawSeries draws series i: its line, error bars and dots.
func (c *chart) drawSeries(b *strings.Builder, i int, s series) {
	shift := 0.0
	if slices.ContainsFunc(s.points, point.hasBar) {
		shift = (float64(i) - float64(len(c.series)-1)/2) * dodge
	}
	var line, bars, dots strings.Builder
	for j, p := range s.points {
		x, y := coordinate(plotLeft+float64(c.x.place(p.x)*plotWidth)+shift), c.top(p.y)
		command := "L"
		if j == 0 {
			command = "M"
		}
		fmt.Fprintf(&line, "%s%s %s", command, x, y)
		if p.hasBar() {
			fmt.Fprintf(&bars, "M%s %sV%sm-3 0h6M%s %sm-3 0h6", x, c.top(p.low), c.top(p.high), x, c.top(p.low))
		}
		if s.marks {
			fmt.Fprintf(&dots, `<circle cx="%s" cy="%s" r="3"/>`, x, y)
		}
	}
	fmt.Fprintf(b, `<g class="%s"><path stroke-width="2" stroke-linejoin="round" d="%s"/>`, color(i), line.String())
	if bars.Len() > 0 {
		fmt.Fprintf(b, `<path d="%s"/>`, bars.String())
	}
	if dots.Len() > 0 {
		fmt.Fprintf(b, `<g fill="currentColor" stroke="none">%s</g>`, dots.String())
	}
	b.WriteString("</g>\n")
}

// left and top return the distance of a value from the left and the top of the chart. The
// conversions to float64 prevent a fused multiply-add, which could change a digit.
func (c *chart) left(v float64) string {
	return coordinate(plotLeft + float64(c.x.place(v)*plotWidth))
}
func (c *chart) top(v float64) string {
	return coordinate(plotTop + plotHeight - float64(c.y.place(v)*plotHeight))
}

// place returns the position of v on the axis, from 0 at min to 1 at max.
func (a *axis) place(v float64) float64 {
	return min(max((v-a.min)/(a.max-a.min), 0), 1)
}

// marks returns the values of the axis's ticks: a.ticks, or about five multiples of 1, 2 or 5
// times a power of ten.
func (a *axis) marks() []float64 {
	if a.ticks != nil {
		return a.ticks
	}
	rough := (a.max - a.min) / 5
	step := math.Pow(10, math.Floor(math.Log10(rough)))
	for _, f := range []float64{1, 2, 5, 10} {
		if f*step >= rough*0.99 {
			step *= f
			break
		}
	}
	var ticks []float64
	for i := math.Ceil(a.min / step); i*step <= a.max*(1+1e-9); i++ {
		ticks = append(ticks, i*step)
	}
	return ticks
}

// coordinate formats a coordinate rounded to a tenth.
func coordinate(v float64) string { return number(math.Round(10*v) / 10) }

// number formats v with up to six digits and no trailing zeros.
func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }
