package jpeg

import (
	"encoding/binary"
	"image"
	"image/color"
)

// A Config describes a JPEG file whose pixels have not been decoded.
type Config struct {
	Width, Height int
	// Components is 1 for gray, 3 for YCbCr or RGB, and 4 for CMYK, which Decode does
	// not support.
	Components  int
	Progressive bool
	// Memory is the number of bytes that Decode allocates at full size, not counting its copy
	// of the file. It is 0 for CMYK.
	Memory int64
	// Coefficients is the part of Memory that holds coefficients of a progressive JPEG. Unlike
	// the rest it is not smaller at reduced size.
	Coefficients int64
}

// DecodeConfig reads the size of the JPEG file b. Errors wrap ErrFormat, ErrUnsupported or
// io.ErrUnexpectedEOF.
func DecodeConfig(b []byte) (Config, error) {
	r := reader{b}
	if err := r.start(); err != nil {
		return Config{}, err
	}
	var f frame
	for {
		marker, s, err := r.segment()
		switch {
		case err != nil:
			return Config{}, err
		case marker == markerEOI, marker == markerSOS:
			if f.components == nil {
				return Config{}, invalid("no frame header")
			}
			memory, coefficients := f.memory()
			return Config{f.width, f.height, len(f.components), f.progressive, memory, coefficients}, nil
		case marker >= markerSOF0 && marker <= markerSOF2:
			const fixed, cmyk = 6, 4 // bytes, components
			if len(s) == fixed+3*cmyk && s[5] == cmyk {
				h, w := int(binary.BigEndian.Uint16(s[1:])), int(binary.BigEndian.Uint16(s[3:]))
				return Config{Width: w, Height: h, Components: cmyk, Progressive: marker == markerSOF2}, nil
			}
			if err := f.header(s, marker, r.b); err != nil {
				return Config{}, err
			}
		case marker >= markerAPP0 && marker <= markerAPP15:
			f.application(marker, s)
		case marker == markerDHT, marker == markerDQT, marker == markerDRI, marker == markerDNL, marker == markerCOM:
		default:
			return Config{}, unsupportedMarker(marker)
		}
	}
}

// frame holds the properties that the markers before the first scan define.
type frame struct {
	width, height           int
	baseline, progressive   bool
	jfif, adobe, adobeIsRGB bool
	components              []component
	store                   [3]component
	h, v                    int             // largest h and v of the components
	mcus                    image.Point     // number of MCUs across and down
	wanted                  image.Rectangle // MCUs to transform; empty before the first scan
	size                    int             // each block is decoded to size×size pixels
	last                    int             // last coefficient, in file order, needed for these pixels
}

// component holds the properties and the samples of one color component.
type component struct {
	id, table byte
	h, v      int // blocks per MCU
	wide      int // blocks across the image, without padding
	high      int // blocks down the image, without padding

	pix    []byte // samples of the wanted MCUs
	stride int
	seen   bool // whether a scan contains this component

	blocks  []progressBlock // blocks of the whole image, if progressive
	across  int             // blocks per row of blocks
	unknown [64]uint8       // number of unknown bits of each coefficient, if progressive
}

// header reads the size and the components (T.81 B.2.2). rest is the file after the
// frame header.
func (f *frame) header(s []byte, marker byte, rest []byte) error {
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
	if f.height == 0 {
		f.height = lines(rest)
	}
	n := (len(s) - 6) / 3
	if int(s[5]) != n || f.width == 0 || f.height == 0 {
		return invalid("%d×%d pixels and %d components in a frame header for %d components", f.width, f.height, s[5], n)
	}
	f.components = f.store[:n]
	f.h, f.v = 1, 1
	for i := range f.components {
		if err := f.component(i, s[6+3*i:]); err != nil {
			return err
		}
		f.h, f.v = max(f.h, f.components[i].h), max(f.v, f.components[i].v)
	}
	f.mcus = image.Pt(ceilDiv(f.width, 8*f.h), ceilDiv(f.height, 8*f.v))
	for i := range f.components {
		c := &f.components[i]
		c.wide = ceilDiv(ceilDiv(f.width*c.h, f.h), 8)
		c.high = ceilDiv(ceilDiv(f.height*c.v, f.v), 8)
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
			return invalid("two components with ID %d", c.id)
		}
	}
	if c.table > 3 || c.h < 1 || c.h > 4 || c.v < 1 || c.v > 4 {
		return invalid("component %d with %d×%d blocks per MCU and quantization table %d", c.id, c.h, c.v, c.table)
	}
	if len(f.components) == 1 { // the sampling factors of a single component do not matter (T.81 A.2.2)
		c.h, c.v = 1, 1
	}
	for k := range c.unknown {
		c.unknown[k] = 16
	}
	return nil
}

// lines returns the height that the DNL marker after the first scan defines, or 0 if there is no
// such marker (T.81 B.2.5). rest is the file after the frame header.
func lines(rest []byte) int {
	r := reader{rest}
	for scan := false; ; {
		marker, s, err := r.segment()
		switch {
		case err != nil, marker == markerEOI, scan && marker != markerDNL:
			return 0
		case marker == markerDNL && len(s) == 2:
			return int(binary.BigEndian.Uint16(s))
		case marker == markerSOS:
			scan = true
		}
	}
}

// application reads the color information in an APP0 or APP14 segment.
func (f *frame) application(marker byte, s []byte) {
	switch {
	case marker == markerAPP0 && len(s) >= 5:
		f.jfif = string(s[:5]) == "JFIF\x00"
	case marker == markerAPP14 && len(s) >= 12 && string(s[:5]) == "Adobe":
		// The twelfth byte is the color transform.
		f.adobe, f.adobeIsRGB = true, s[11] == 0
	}
}

// isRGB reports whether the three components are red, green and blue. Like image/jpeg, it
// checks Adobe's marker and the names of the components.
func (f *frame) isRGB() bool {
	c := f.components
	named := len(c) == 3 && c[0].id == 'R' && c[1].id == 'G' && c[2].id == 'B'
	return !f.jfif && (named || len(c) == 3 && f.adobe && f.adobeIsRGB)
}

// complete reports whether the scans so far define the whole image.
func (f *frame) complete() bool {
	if f.components == nil {
		return false
	}
	for i := range f.components {
		c := &f.components[i]
		if !c.seen || f.progressive && c.unknown != [64]uint8{} {
			return false
		}
	}
	return true
}

// memory returns the number of bytes that decoding all pixels allocates.
func (f *frame) memory() (bytes, coefficients int64) {
	var perMCU int64
	for _, c := range f.components {
		perMCU += int64(c.h * c.v)
	}
	bytes = perMCU * 64
	if f.progressive {
		coefficients = perMCU * (8 + 2*64) // a progressBlock
	}
	_, direct := f.ratio()
	if !direct {
		bytes += int64(3 * f.h * f.v * 64)
	}
	mcus := int64(f.mcus.X) * int64(f.mcus.Y)
	bytes, coefficients = (bytes+coefficients)*mcus, coefficients*mcus
	if f.isRGB() {
		bytes += 4 * int64(f.width) * int64(f.height)
	}
	return bytes, coefficients
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

// layOut computes which MCUs to transform, and the size of their decoded blocks.
func (d *Decoder) layOut() {
	f := &d.jpg
	w, h := 8*f.h, 8*f.v
	whole := image.Rect(0, 0, f.width, f.height)
	r := d.o.Region.Intersect(whole)
	if r.Empty() {
		r = whole
	}
	f.wanted = image.Rect(r.Min.X/w, r.Min.Y/h, ceilDiv(r.Max.X, w), ceilDiv(r.Max.Y, h))
	f.size = 8 / d.o.Reduce
	for k, at := range natural {
		if int(at)%8 < f.size && int(at)/8 < f.size {
			f.last = k
		}
	}
}

// ceilDiv returns a/b rounded up.
func ceilDiv(a, b int) int { return (a + b - 1) / b }

// begin allocates the memory for c at the beginning of its first scan.
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

// sized returns a slice of length n with arbitrary content. It reuses s if s is large
// enough.
func sized[T any](s []T, n int) []T {
	if cap(s) < n {
		return make([]T, n)
	}
	return s[:n]
}

// ratio returns the subsampling of an image.YCbCr that can hold the components without
// conversion. If there is none, ok is false.
func (f *frame) ratio() (ratio image.YCbCrSubsampleRatio, ok bool) {
	if len(f.components) == 1 {
		return 0, true
	}
	first, cb, cr := &f.components[0], &f.components[1], &f.components[2]
	if first.h != f.h || first.v != f.v || cb.h != cr.h || cb.v != cr.v || f.h%cb.h != 0 || f.v%cb.v != 0 {
		return 0, false
	}
	switch image.Pt(f.h/cb.h, f.v/cb.v) {
	case image.Pt(1, 1):
		return image.YCbCrSubsampleRatio444, true
	case image.Pt(1, 2):
		return image.YCbCrSubsampleRatio440, true
	case image.Pt(2, 1):
		return image.YCbCrSubsampleRatio422, true
	case image.Pt(2, 2):
		return image.YCbCrSubsampleRatio420, true
	case image.Pt(4, 1):
		return image.YCbCrSubsampleRatio411, true
	case image.Pt(4, 2):
		return image.YCbCrSubsampleRatio410, true
	}
	return 0, false
}

// image returns the decoded part of the image.
func (d *Decoder) image() image.Image {
	f := &d.jpg
	w, h := f.h*f.size, f.v*f.size // size of an MCU in pixels
	r := image.Rect(f.wanted.Min.X*w, f.wanted.Min.Y*h, f.wanted.Max.X*w, f.wanted.Max.Y*h)
	r = r.Intersect(image.Rect(0, 0, ceilDiv(f.width, d.o.Reduce), ceilDiv(f.height, d.o.Reduce)))
	for i := range f.components {
		if c := &f.components[i]; !c.seen { // no scan contains it
			c.allocate(f)
			clear(c.pix)
		}
	}
	first := &f.components[0]
	if len(f.components) == 1 {
		return &image.Gray{Pix: first.pix, Stride: first.stride, Rect: r}
	}
	ratio, ok := f.ratio()
	if !ok {
		ratio = image.YCbCrSubsampleRatio444
		for i := range f.components {
			f.components[i].upsample(f, &d.up[i])
		}
	}
	cb, cr := &f.components[1], &f.components[2]
	ycc := &image.YCbCr{Y: first.pix, Cb: cb.pix, Cr: cr.pix, YStride: first.stride, CStride: cb.stride, SubsampleRatio: ratio, Rect: r}
	if !f.isRGB() {
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

// upsample repeats the samples of c so that there is one sample per pixel. It swaps c.pix with
// the memory in spare, so that both are reused.
func (c *component) upsample(f *frame, spare *[]byte) {
	if c.h == f.h && c.v == f.v {
		return
	}
	stride, high := f.wanted.Dx()*f.h*f.size, f.wanted.Dy()*f.v*f.size
	full := sized(*spare, stride*high)
	for y := range high {
		src, dst := c.pix[y*c.v/f.v*c.stride:], full[y*stride:][:stride]
		for x := range dst {
			dst[x] = src[x*c.h/f.h]
		}
	}
	*spare, c.pix, c.stride = c.pix, full, stride
}
