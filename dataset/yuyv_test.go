package dataset

import (
	"errors"
	"image"
	"image/color"
	"math"
	"testing"
)

// yuyv returns a camera frame of h rows in which each color fills two pixels per row.
func yuyv(h, stride int, colors ...color.RGBA) []byte {
	b := make([]byte, h*stride)
	for y := range h {
		for i, c := range colors {
			// This is ITU-R BT.601 with luma from 16 to 235 and chroma from 16 to 240.
			r, g, bl := float64(c.R)/255, float64(c.G)/255, float64(c.B)/255
			luma := 0.299*r + 0.587*g + 0.114*bl
			v := byte(math.Round(16 + 219*luma))
			copy(b[y*stride+4*i:], []byte{v, byte(math.Round(128 + 224*(bl-luma)/1.772)), v, byte(math.Round(128 + 224*(r-luma)/1.402))})
		}
	}
	return b
}

func TestYUYV(t *testing.T) {
	colors := []color.RGBA{{0, 0, 0, 255}, {255, 255, 255, 255}, {255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {90, 140, 60, 255}}
	for _, stride := range []int{24, 32} {
		img, err := YUYV(yuyv(3, stride, colors...), 12, 3, stride)
		if err != nil {
			t.Fatal(err)
		}
		if img.Rect != image.Rect(0, 0, 12, 3) {
			t.Fatalf("got bounds %v, want 12×3 pixels", img.Rect)
		}
		for i, want := range colors {
			for _, p := range []image.Point{{2 * i, 0}, {2*i + 1, 2}} {
				got := color.RGBAModel.Convert(img.At(p.X, p.Y)).(color.RGBA)
				for _, d := range []int{int(got.R) - int(want.R), int(got.G) - int(want.G), int(got.B) - int(want.B)} {
					if d < -2 || d > 2 {
						t.Errorf("stride %d, pixel %v: got %v, want %v", stride, p, got, want)
					}
				}
			}
		}
	}
}

func TestYUYVErrors(t *testing.T) {
	for _, c := range []struct{ bytes, w, h, stride int }{
		{0, 0, 0, 0}, {8, 3, 1, 8}, {7, 4, 1, 8}, {15, 4, 2, 8}, {100, 4, 2, 7}, {8, -2, 1, 8}, {8, 2, -1, 8}, {8, 1 << 20, 1, 1 << 21}, {8, 2, 2, math.MaxInt},
	} {
		if img, err := YUYV(make([]byte, c.bytes), c.w, c.h, c.stride); !errors.Is(err, ErrDamaged) || img != nil {
			t.Errorf("%+v: got %v, want ErrDamaged", c, err)
		}
	}
	if _, err := YUYV(make([]byte, 18), 4, 2, 10); err != nil {
		t.Errorf("a last row without padding: got error %v", err)
	}
}

func FuzzYUYV(f *testing.F) {
	f.Add(make([]byte, 16), 4, 2, 8)
	f.Fuzz(func(t *testing.T, b []byte, w, h, stride int) {
		if img, err := YUYV(b, w, h, stride); err == nil && (img.Rect.Dx() != w || img.Rect.Dy() != h) {
			t.Errorf("a frame of %d×%d pixels returned an image with bounds %v", w, h, img.Rect)
		}
	})
}
