package kernels

import "fmt"

// Conv2DParams are the options of CONV_2D.
type Conv2DParams struct {
	Window
	Activation Activation
	Stage      *Stage // the Edge TPU's arithmetic, which has the activation in it, or nil
}

type conv2D struct {
	geometry
	product
	depth, channels int
	pixels          int  // n·outH·outW
	rows            int  // pixels of one part, of which a run takes some together
	columns         int  // parts into which the channels divide
	plain           bool // the input's pixels are the rows of the product
	strips          bool // windows are read from strips of the input
	padding         byte // the input's zero point
	pitch           int  // from one row to the next: the depth, or more to copy quickly
	seen            int  // bytes of scratch for gathered rows, before the product's
}

// NewConv2D prepares CONV_2D of in (n, h, w, c) with a constant filter of
// shape (channels, kh, kw, c) and a constant int32 bias of channels
// elements or nil. Types are uint8, int8 with a symmetric filter that may have
// one scale per channel (Axis 0), or float32.
func NewConv2D(p Conv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	k, err := newConv2D(p, in, filter, bias, out)
	if err != nil {
		return nil, fmt.Errorf("conv_2d: %w", err)
	}
	return k, nil
}

func newConv2D(p Conv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	if in != nil && in.Type == Float32 {
		return newFloatConv(p.Window, p.Activation, false, in, filter, bias, out)
	}
	if err := checkFilter(in, filter, out, 0); err != nil {
		return nil, err
	}
	g, err := p.Window.over(in, filter.Shape[1], filter.Shape[2])
	if err != nil {
		return nil, err
	}
	channels := filter.Shape[0]
	if err := g.checkOutput(out, channels); err != nil {
		return nil, err
	}
	if filter.Shape[3] != g.inC {
		return nil, fmt.Errorf("%w: filter of shape %v for %d channels", ErrInvalid, filter.Shape, g.inC)
	}
	b, err := biasCodes(bias, channels)
	if err != nil {
		return nil, err
	}
	w, err := newWeights(filter, channels, b, in, out, p.Activation, in.Type == Int8, p.Stage)
	if err != nil {
		return nil, err
	}
	plain := g.kH == 1 && g.kW == 1 && g.StrideH == 1 && g.StrideW == 1
	if !plain && g.DilationW == 1 && g.outW >= leastStrip {
		w.line, w.pitch = g.kW*g.inC, g.stripWidth()*g.inC
	}
	m, err := newProduct(w)
	if err != nil {
		return nil, err
	}
	c := &conv2D{geometry: g, product: m, depth: w.depth, channels: channels, pixels: g.n * g.outH * g.outW, columns: 1, plain: plain}
	c.padding = byte(in.zero())
	c.rows = blockRows(c.pixels)
	switch c.pitch = c.depth; {
	case plain:
	case w.line > 0:
		c.strips, c.rows, c.pitch = true, g.outW, g.StrideW*g.inC
		c.seen = g.kH * w.pitch
	default:
		c.pitch = (c.depth + 15) &^ 15
		c.seen = (min(maxRows, c.pixels)*c.pitch + gatherWidth + 63) &^ 63
	}
	if blocks := (c.pixels + c.rows - 1) / c.rows; blocks < 8 {
		// Few pixels: divide the channels too, so that threads find work.
		c.columns = min(16/blocks, m.panels())
	}
	return c, nil
}

// checkWeighted verifies what operators with weights have in common; axis is
// the one along which the filter's scales may vary.
func checkWeighted(in, filter, out *Tensor, axis int) error {
	if err := in.checkQuantised("input"); err != nil {
		return err
	}
	if err := out.checkQuantised("output"); err != nil {
		return err
	}
	if err := filter.check("filter"); err != nil {
		return err
	}
	if err := sameType(in, filter, out); err != nil {
		return err
	}
	if filter.Data == nil {
		return fmt.Errorf("%w: filter is not constant", ErrUnsupported)
	}
	switch len(filter.Scale) {
	case 0:
		return fmt.Errorf("%w: filter has no scale", ErrInvalid)
	case 1:
	default:
		if in.Type != Int8 {
			return fmt.Errorf("%w: %v filter with a scale per channel", ErrUnsupported, in.Type)
		}
		if filter.Axis != axis || axis >= len(filter.Shape) || len(filter.Scale) != filter.Shape[axis] {
			return fmt.Errorf("%w: filter of shape %v has %d scales along axis %d", ErrInvalid, filter.Shape, len(filter.Scale), filter.Axis)
		}
	}
	return nil
}

// checkFilter verifies the filter of a convolution. TensorFlow Lite takes int8
// filters for symmetric and does not look at their zero point.
func checkFilter(in, filter, out *Tensor, axis int) error {
	if err := checkWeighted(in, filter, out, axis); err != nil {
		return err
	}
	if len(filter.Shape) != 4 {
		return fmt.Errorf("%w: filter has shape %v, want 4 axes", ErrInvalid, filter.Shape)
	}
	for _, z := range filter.ZeroPoint {
		if in.Type == Int8 && z != 0 {
			return fmt.Errorf("%w: int8 filter with zero point %d", ErrUnsupported, z)
		}
	}
	return nil
}

func (c *conv2D) Parts() int { return (c.pixels + c.rows - 1) / c.rows * c.columns }

func (c *conv2D) Scratch() int { return c.seen + c.product.scratch(min(maxRows, c.pixels)) }

// blockRows is how many of some pixels make a part: few if there are few, so that
// threads get equal shares, and all if there are so few that the weights are
// more than the pixels; then channels are divided.
func blockRows(pixels int) int {
	switch {
	case pixels <= maxRows:
		return pixels
	case pixels < 32*leastRows:
		return leastRows
	}
	return 2 * leastRows
}

// leastRows is a number of rows that fills the tiles of all products.
const leastRows = 8

func (c *conv2D) Run(a *Args, lo, hi int) {
	prepared := -1
	var x []byte
	var stride, rows int
	for p := lo; p < hi; {
		// What comes next to one another is computed together: blocks of all
		// channels as far as maxRows allows, or columns of one block.
		block, column := p/c.columns, p%c.columns
		first, blocks, columns := block*c.rows, 1, min(c.columns-column, hi-p)
		if c.columns == 1 && !c.strips {
			blocks = min(maxRows/c.rows, hi-p)
		}
		p += max(blocks, columns)
		if block != prepared {
			prepared = block
			rows = min(blocks*c.rows, c.pixels-first)
			switch x = a.Scratch[:c.seen]; {
			case c.plain:
				x = a.In[0][first*c.depth:][:rows*c.depth]
			case c.strips:
				c.strip(x, a.In[0], block)
			default:
				c.gather(x, a.In[0], first, rows)
				x = x[:(rows-1)*c.pitch+c.depth]
			}
			x, stride = c.prepare(a.Scratch[c.seen:], x, c.pitch, rows)
		}
		c.multiply(x, stride, rows, a.Out[first*c.channels:], c.channels, column*c.panels()/c.columns, (column+columns)*c.panels()/c.columns)
	}
}

// gatherWidth is the number of bytes that gather copies at once when it can.
const gatherWidth = 16

// gather copies what the window sees of rows output pixels. It may write up to
// gatherWidth bytes too many behind each line of a window, where the next comes.
func (c *conv2D) gather(x, in []byte, first, rows int) {
	n := c.inC
	width := c.kW * n
	ox, oy, image := first%c.outW, first/c.outW%c.outH, first/(c.outW*c.outH)
	for r := range rows {
		x0 := ox*c.StrideW - c.padLeft
		inside := c.DilationW == 1 && x0 >= 0 && x0+c.kW <= c.inW
		for ky := range c.kH {
			row := x[r*c.pitch+ky*width:]
			y := oy*c.StrideH - c.padTop + ky*c.DilationH
			if y < 0 || y >= c.inH {
				fill(row[:width], c.padding)
				continue
			}
			line := (image*c.inH + y) * c.inW * n
			if from := line + x0*n; inside {
				if width <= gatherWidth && from+gatherWidth <= len(in) {
					*(*[gatherWidth]byte)(row) = *(*[gatherWidth]byte)(in[from:])
				} else {
					copy(row, in[from:][:width])
				}
				continue
			}
			for kx := range c.kW {
				pixel := row[kx*n:][:n]
				if px := x0 + kx*c.DilationW; px < 0 || px >= c.inW {
					fill(pixel, c.padding)
				} else {
					copy(pixel, in[line+px*n:][:n])
				}
			}
		}
		if ox++; ox == c.outW {
			ox = 0
			if oy++; oy == c.outH {
				oy = 0
				image++
			}
		}
	}
}

func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// leastStrip is the number of output pixels in a row for which strips are worth it.
const leastStrip = 16

// stripWidth is the number of pixels of a line that the windows of an output row see.
func (g *geometry) stripWidth() int { return (g.outW-1)*g.StrideW + g.kW }

// strip copies the lines that the windows of an output row see.
func (c *conv2D) strip(x, in []byte, row int) {
	n, width := c.inC, c.stripWidth()
	image, y := row/c.outH, row%c.outH*c.StrideH-c.padTop
	before := min(c.padLeft, width)
	inside := min(c.inW, width-before)
	for ky := range c.kH {
		line := x[ky*width*n:][:width*n]
		if y := y + ky*c.DilationH; y < 0 || y >= c.inH {
			fill(line, c.padding)
		} else {
			fill(line[:before*n], c.padding)
			copy(line[before*n:], in[(image*c.inH+y)*c.inW*n:][:inside*n])
			fill(line[(before+inside)*n:], c.padding)
		}
	}
}
