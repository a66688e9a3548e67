package jpeg

import (
	"encoding/binary"
	"image"
	"image/color"
)

// frame is what the markers before the first scan define.
type frame struct {
	width, height           int
	baseline, progressive   bool
	jfif, adobe, adobeIsRGB bool
	components              []component
	store                   [3]component
	mcus                    image.Point     // MCUs of the image
	wanted                  image.Rectangle // MCUs to transform; empty before the first scan
	size                    int             // a block becomes size×size pixels
	last                    int             // last coefficient, in file order, that these pixels need
}

// component is one colour component of a frame.
type component struct {
	id, table byte
	h, v      int // blocks per MCU
	wide      int // blocks of the image, without those that only fill up MCUs
	high      int

	pix    []byte // of the wanted MCUs
	stride int
	seen   bool // a scan has it

	blocks []progressBlock // of the whole image, if progressive
	across int             // blocks per row of blocks
}

// frameHeader reads the size and the components (T.81 B.2.2).
func (d *Decoder) frameHeader(s []byte, marker byte) error {
	f := &d.jpg
	if f.components != nil {
		return invalid("two frames")
	}
	if len(s) != 6+3*1 && len(s) != 6+3*3 {
		return unsupported("frame header of %d bytes", len(s))
	}
	if s[0] != 8 {
		return unsupported("%d bits per sample", s[0])
	}
	f.baseline, f.progressive = marker == markerSOF0, marker == markerSOF2
	f.height, f.width = int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
	n := (len(s) - 6) / 3
	if int(s[5]) != n || f.width == 0 || f.height == 0 {
		return invalid("%d×%d pixels of %d components in a header for %d", f.width, f.height, s[5], n)
	}
	f.components = f.store[:n]
	for i := range f.components {
		if err := f.component(i, s[6+3*i:]); err != nil {
			return err
		}
	}
	return nil
}

// component reads component i from its three bytes in the frame header.
func (f *frame) component(i int, s []byte) error {
	c := &f.components[i]
	*c = component{pix: c.pix, blocks: c.blocks}
	c.id, c.h, c.v, c.table = s[0], int(s[1]>>4), int(s[1]&15), s[2]
	for _, other := range f.components[:i] {
		if other.id == c.id {
			return invalid("two components %d", c.id)
		}
	}
	if c.table > 3 || c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
		return invalid("component %d of %d×%d blocks with quantization table %d", c.id, c.h, c.v, c.table)
	}
	first := &f.components[0]
	switch {
	case len(f.components) == 1: // its factors do not matter (T.81 A.2.2)
		c.h, c.v = 1, 1
	case c.h == 3, c.v == 3, i == 0 && c.v == 4,
		i == 1 && (first.h%c.h != 0 || first.v%c.v != 0),
		i == 2 && (c.h != f.components[1].h || c.v != f.components[1].v):
		return unsupported("component %d of %d×%d blocks, the first of %d×%d", c.id, c.h, c.v, first.h, first.v)
	}
	return nil
}

// quantization reads quantization tables (T.81 B.2.4.1).
func (d *Decoder) quantization(s []byte) error {
	for len(s) > 0 {
		wide, table := int(s[0]>>4), s[0]&15
		s = s[1:]
		if wide > 1 || table > 3 || len(s) < 64<<wide {
			return invalid("quantization table %d in %d bytes", table, len(s))
		}
		for i := range 64 {
			if wide == 1 {
				d.quant[table][i] = int32(binary.BigEndian.Uint16(s[2*i:]))
			} else {
				d.quant[table][i] = int32(s[i])
			}
		}
		s = s[64<<wide:]
	}
	return nil
}

// layOut computes which MCUs are wanted, and the blocks of each component.
func (d *Decoder) layOut() {
	f := &d.jpg
	first := f.components[0]
	w, h := 8*first.h, 8*first.v
	f.mcus = image.Pt(ceilDiv(f.width, w), ceilDiv(f.height, h))
	whole := image.Rect(0, 0, f.width, f.height)
	r := d.o.Region.Intersect(whole)
	if r.Empty() {
		r = whole
	}
	f.wanted = image.Rect(r.Min.X/w, r.Min.Y/h, ceilDiv(r.Max.X, w), ceilDiv(r.Max.Y, h))
	for i := range f.components {
		c := &f.components[i]
		c.wide = ceilDiv(ceilDiv(f.width*c.h, first.h), 8)
		c.high = ceilDiv(ceilDiv(f.height*c.v, first.v), 8)
	}
	f.size = 8 / d.o.Reduce
	for k, at := range natural {
		if int(at)%8 < f.size && int(at)/8 < f.size {
			f.last = k
		}
	}
}

// ceilDiv returns a/b rounded up.
func ceilDiv(a, b int) int { return (a + b - 1) / b }

// begin allocates c's part of the image when its first scan begins.
func (c *component) begin(f *frame) {
	if c.seen {
		return
	}
	c.seen = true
	c.allocate(f)
	if f.progressive {
		c.across = f.mcus.X * c.h
		c.blocks = sized(c.blocks, c.across*f.mcus.Y*c.v)
		clear(c.blocks)
	}
}

func (c *component) allocate(f *frame) {
	c.stride = f.wanted.Dx() * c.h * f.size
	c.pix = sized(c.pix, c.stride*f.wanted.Dy()*c.v*f.size)
}

// sized returns a slice of length n with any content. It reuses s if that is large
// enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// image returns the wanted part of the image.
func (d *Decoder) image() image.Image {
	f := &d.jpg
	first := &f.components[0]
	w, h := first.h*f.size, first.v*f.size // pixels of an MCU
	r := image.Rect(f.wanted.Min.X*w, f.wanted.Min.Y*h, f.wanted.Max.X*w, f.wanted.Max.Y*h)
	r = r.Intersect(image.Rect(0, 0, ceilDiv(f.width, d.o.Reduce), ceilDiv(f.height, d.o.Reduce)))
	for i := range f.components {
		if c := &f.components[i]; !c.seen { // in no scan
			c.allocate(f)
			clear(c.pix)
		}
	}
	if len(f.components) == 1 {
		return &image.Gray{Pix: first.pix, Stride: first.stride, Rect: r}
	}
	cb, cr := &f.components[1], &f.components[2]
	ycc := &image.YCbCr{Y: first.pix, Cb: cb.pix, Cr: cr.pix, YStride: first.stride, CStride: cb.stride, Rect: r}
	switch image.Pt(first.h/cb.h, first.v/cb.v) {
	case image.Pt(1, 1):
		ycc.SubsampleRatio = image.YCbCrSubsampleRatio444
	case image.Pt(1, 2):
		ycc.SubsampleRatio = image.YCbCrSubsampleRatio440
	case image.Pt(2, 1):
		ycc.SubsampleRatio = image.YCbCrSubsampleRatio422
	case image.Pt(2, 2):
		ycc.SubsampleRatio = image.YCbCrSubsampleRatio420
	case image.Pt(4, 1):
		ycc.SubsampleRatio = image.YCbCrSubsampleRatio411
	default:
		ycc.SubsampleRatio = image.YCbCrSubsampleRatio410
	}
	// Like image/jpeg, recognize RGB by Adobe's marker or by the names of the components.
	named := first.id == 'R' && cb.id == 'G' && cr.id == 'B'
	if f.jfif || !named && !(f.adobe && f.adobeIsRGB) {
		return ycc
	}
	d.rgb = sized(d.rgb, 4*r.Dx()*r.Dy())
	rgb := &image.NRGBA{Pix: d.rgb, Stride: 4 * r.Dx(), Rect: r}
	for y := r.Min.Y; y < r.Max.Y; y++ {
		for x := r.Min.X; x < r.Max.X; x++ {
			c := ycc.COffset(x, y)
			rgb.SetNRGBA(x, y, color.NRGBA{ycc.Y[ycc.YOffset(x, y)], ycc.Cb[c], ycc.Cr[c], 255})
		}
	}
	return rgb
}
