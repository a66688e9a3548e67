package kernels

import "fmt"

// Conv2DParams are the options of CONV_2D.
type Conv2DParams struct {
	Window
	Activation Activation
	// Stage, if not nil, selects the Edge TPU's arithmetic and includes the activation.
	Stage *Stage
}

// conv2D implements Kernel for CONV_2D. A row holds the window of one output pixel. A
// product multiplies rows by the filters.
type conv2D struct {
	geometry
	product
	depth, channels int
	pixels          int  // n·outH·outW
	rows            int  // pixels in a part; one run may compute several parts together
	columns         int  // number of parts that the channels are divided into
	plain           bool // each input pixel is a row, so none are copied
	strips          bool // rows are read from a strip of input lines
	padding         byte // the input's zero point
	pitch           int  // bytes from one row to the next: at least depth
	gathered        int  // bytes of scratch for rows or a strip; the product's scratch follows
}

// NewConv2D returns a Kernel for CONV_2D on uint8, int8 or float32. The input has shape
// (n, h, w, c), and the constant filter has shape (channels, kh, kw, c). bias is nil or a
// constant with one element per channel: float32 for float32 input, otherwise int32. For
// float32 input, the filter is float32 or int8. An int8 filter must be symmetric, and may
// have one scale for each channel (Axis 0).
func NewConv2D(p Conv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	k, err := newConv2D(p, in, filter, bias, out)
	if err != nil {
		return nil, fmt.Errorf("conv_2d: %w", err)
	}
	return k, nil
}

func newConv2D(p Conv2DParams, in, filter, bias, out *Tensor) (Kernel, error) {
	if isHybrid(in, filter) {
		return newHybridConv(p.Window, p.Activation, false, in, filter, bias, out)
	}
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
		return nil, fmt.Errorf("%w: filter has shape %v for %d input channels", ErrInvalid, filter.Shape, g.inC)
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
		// Weights are multiplied in groups of 4, so single ones are better in one group.
		w.step = g.StrideW * g.inC
		w.tails = w.line%4 == 1 && g.kH == 3 && w.step >= 3 && w.step <= tailsPadding
	}
	m, err := newProduct(w)
	if err != nil {
		return nil, err
	}
	c := &conv2D{geometry: g, product: m, depth: w.depth, channels: channels, pixels: g.n * g.outH * g.outW, columns: 1, plain: plain}
	c.padding = byte(in.zero())
	c.rows = blockRows(c.pixels)
	gathered := int64(0)
	switch c.pitch = c.depth; {
	case plain:
	case w.line > 0:
		c.strips, c.rows, c.pitch = true, g.outW, g.StrideW*g.inC
		gathered = int64(g.kH) * int64(w.pitch)
		if w.tails {
			gathered += int64(w.pitch) + tailsPadding
		}
	default:
		c.pitch = (c.depth + 15) &^ 15
		gathered = (int64(min(maxRows, c.pixels))*int64(c.pitch) + gatherWidth + 63) &^ 63
	}
	if gathered > MaxElements {
		return nil, fmt.Errorf("%w: windows of %d×%d×%d take %d bytes at a time, more than %d", ErrUnsupported, c.kH, c.kW, c.inC, gathered, MaxElements)
	}
	c.gathered = int(gathered)
	if blocks := (c.pixels + c.rows - 1) / c.rows; blocks < 8 {
		// There are few pixels, so divide the channels as well, to give all threads work.
		c.columns = min(16/blocks, m.panels())
	}
	return c, nil
}

// checkWeighted returns an error if the operands of an operator with weights do not
// match. The filter may have a scale for each slice along axis.
func checkWeighted(in, filter, out *Tensor, axis int) error {
	if err := in.checkQuantized("input"); err != nil {
		return err
	}
	if err := out.checkQuantized("output"); err != nil {
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
			return fmt.Errorf("%w: %v filter has a scale for each channel", ErrUnsupported, in.Type)
		}
		if filter.Axis != axis || axis >= len(filter.Shape) || len(filter.Scale) != filter.Shape[axis] {
			return fmt.Errorf("%w: filter of shape %v has %d scales along axis %d", ErrInvalid, filter.Shape, len(filter.Scale), filter.Axis)
		}
	}
	return nil
}

// checkFilter returns an error if the operands of a convolution do not match. TensorFlow
// Lite assumes that int8 filters are symmetric and ignores their zero point.
func checkFilter(in, filter, out *Tensor, axis int) error {
	if err := checkWeighted(in, filter, out, axis); err != nil {
		return err
	}
	if len(filter.Shape) != 4 {
		return fmt.Errorf("%w: filter has shape %v, want 4 axes", ErrInvalid, filter.Shape)
	}
	for _, z := range filter.ZeroPoint {
		if in.Type == Int8 && z != 0 {
			return fmt.Errorf("%w: int8 filter has zero point %d", ErrUnsupported, z)
		}
	}
	return nil
}

func (c *conv2D) Parts() int { return (c.pixels + c.rows - 1) / c.rows * c.columns }

func (c *conv2D) Scratch() int { return c.gathered + c.product.scratch(min(maxRows, c.pixels)) }

// blockRows returns the number of pixels in a part. Parts are small if there are few
// pixels, so that threads get equal work. If there are very few pixels, reading the
// weights takes longer than reading the pixels, so all pixels are in one part and the
// channels are divided.
func blockRows(pixels int) int {
	switch {
	case pixels <= maxRows:
		return pixels
	case pixels < 32*leastRows:
		return leastRows
	}
	return 2 * leastRows
}

// leastRows is the smallest number of rows that fills whole tiles in every
// implementation.
const leastRows = 8

func (c *conv2D) Run(a *Args, lo, hi int) {
	prepared := -1
	var x []byte
	var stride, rows int
	for p := lo; p < hi; {
		// Compute adjacent parts together: whole blocks, up to maxRows, or columns of
		// one block.
		block, column := p/c.columns, p%c.columns
		first, blocks, columns := block*c.rows, 1, min(c.columns-column, hi-p)
		if c.columns == 1 && !c.strips {
			blocks = min(maxRows/c.rows, hi-p)
		}
		p += max(blocks, columns)
		if block != prepared {
			prepared = block
			rows = min(blocks*c.rows, c.pixels-first)
			switch x = a.Scratch[:c.gathered]; {
			case c.plain:
				x = a.In[0][first*c.depth:][:rows*c.depth]
			case c.strips:
				c.strip(x, a.In[0], block)
			default:
				c.gather(x, a.In[0], first, rows)
				x = x[:(rows-1)*c.pitch+c.depth]
			}
			x, stride = c.prepare(a.Scratch[c.gathered:], x, c.pitch, rows)
		}
		c.multiply(x, stride, rows, a.Out[first*c.channels:], c.channels, column*c.panels()/c.columns, (column+columns)*c.panels()/c.columns)
	}
}

// gatherWidth is the number of bytes that gather copies at once where possible.
const gatherWidth = 16

// gather copies the windows of the given number of output pixels into x. A copy may write
// up to gatherWidth bytes beyond the end of a line. Copying the next line overwrites
// these bytes.
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

// fill sets all bytes of b to v.
func fill(b []byte, v byte) {
	for i := range b {
		b[i] = v
	}
}

// leastStrip is the smallest output width for which strips are faster than gathering.
const leastStrip = 16

// stripWidth returns the number of input pixels in each line of a strip.
func (g *geometry) stripWidth() int { return (g.outW-1)*g.StrideW + g.kW }

// strip copies into x the input lines that the windows of one output row cover, with
// padding.
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
