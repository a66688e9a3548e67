package jpeg

import (
	"image"
	"image/color"
)

// picture gives the wanted part as an image.
func (d *Decoder) picture() image.Image {
	f := &d.jpg
	first := &f.components[0]
	w, h := first.h*f.size, first.v*f.size // of an MCU
	r := image.Rect(f.wanted.Min.X*w, f.wanted.Min.Y*h, f.wanted.Max.X*w, f.wanted.Max.Y*h)
	r = r.Intersect(image.Rect(0, 0, above(f.width, d.o.Reduce), above(f.height, d.o.Reduce)))
	for i := range f.components {
		if c := &f.components[i]; !c.seen { // no scan has it
			c.room(f)
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
	// As image/jpeg tells RGB: by Adobe's marker, or by the names of the components.
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
