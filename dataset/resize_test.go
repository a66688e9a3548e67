package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

// TestResizeGolden compares resized photos with recorded inputs of TensorFlow Lite models.
func TestResizeGolden(t *testing.T) {
	dir := filepath.Join(reference.Path(t, "golden", "manifest.json"), "..", "..")
	b, err := os.ReadFile(filepath.Join(dir, "golden", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Models map[string]struct {
			Inputs []struct {
				Type  string
				Shape []int
			}
			Cases []struct{ Image, Input string }
		}
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, model := range manifest.Models {
		if len(model.Inputs) != 1 || model.Inputs[0].Type != "uint8" || model.Inputs[0].Shape[3] != 3 {
			continue
		}
		h, w := model.Inputs[0].Shape[1], model.Inputs[0].Shape[2]
		for _, c := range model.Cases {
			if filepath.Ext(c.Image) != ".bmp" {
				continue
			}
			want, err := os.ReadFile(filepath.Join(dir, "golden", name, c.Input))
			if err != nil {
				t.Fatal(err)
			}
			p, err := ReadFile(filepath.Join(dir, "images", c.Image), DefaultLimits())
			if errors.Is(err, os.ErrNotExist) {
				continue // not every checkout has all photos
			}
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, w*h*3)
			if err := Squash.Resize(got, p.Image, w, h); err != nil {
				t.Fatal(err)
			}
			compared++
			if !bytes.Equal(got, want) {
				n := 0
				for i := range got {
					if got[i] != want[i] {
						n++
					}
				}
				t.Errorf("%s, %s: %d of %d bytes differ", name, c.Image, n, len(got))
			}
		}
	}
	if compared == 0 {
		t.Fatal("the manifest lists no photo to compare")
	}
	t.Logf("%d tensors equal", compared)
}

func TestParseResize(t *testing.T) {
	for _, m := range []Resize{Crop, Squash, Pad} {
		if got, err := ParseResize(string(m)); got != m || err != nil {
			t.Errorf("ParseResize(%q) = %q, %v, want %q", m, got, err, m)
		}
	}
	for _, s := range []string{"", "Crop", "stretch"} {
		if got, err := ParseResize(s); err == nil {
			t.Errorf("ParseResize(%q) = %q, want an error", s, got)
		}
	}
}

func TestResizeModes(t *testing.T) {
	tests := []struct {
		name       string
		mode       Resize
		sw, sh     int
		w, h       int
		want       map[image.Point][3]byte
		identityAt image.Point // source pixel of output (0, 0), if nothing is scaled
		identity   bool
	}{
		// A square of round(0.875·16) = 14 in the middle of 20×16, from (3, 1).
		{name: "crop", mode: Crop, sw: 20, sh: 16, w: 14, h: 14, identityAt: image.Pt(3, 1), identity: true},
		// round(0.875·12) = round(10.5) = 11, from ((12-11)/2, (30-11)/2).
		{name: "crop rounds up", mode: Crop, sw: 12, sh: 30, w: 11, h: 11, identityAt: image.Pt(0, 9), identity: true},
		{name: "crop of one pixel", mode: Crop, sw: 1, sh: 1, w: 1, h: 1, identity: true},
		{name: "squash", mode: Squash, sw: 7, sh: 9, w: 7, h: 9, identity: true},
		// 40×20 in 10×10 is 10×5 from row 2.
		{name: "pad", mode: Pad, sw: 40, sh: 20, w: 10, h: 10, want: map[image.Point][3]byte{
			{0, 0}: {128, 128, 128}, {9, 1}: {128, 128, 128}, {0, 7}: {128, 128, 128}, {9, 9}: {128, 128, 128},
			{0, 2}: {255, 0, 0}, {9, 2}: {0, 255, 0}, {0, 6}: {0, 0, 255}, {9, 6}: {255, 255, 255},
		}},
		{name: "pad upright", mode: Pad, sw: 20, sh: 40, w: 10, h: 10, want: map[image.Point][3]byte{
			{1, 0}: {128, 128, 128}, {7, 9}: {128, 128, 128}, {2, 0}: {255, 0, 0}, {6, 9}: {255, 255, 255},
		}},
		{name: "pad a line", mode: Pad, sw: 1000, sh: 2, w: 10, h: 3, want: map[image.Point][3]byte{
			{0, 0}: {128, 128, 128}, {0, 2}: {128, 128, 128},
		}},
		{name: "enlarge", mode: Squash, sw: 2, sh: 2, w: 8, h: 8, want: map[image.Point][3]byte{
			{0, 0}: {255, 0, 0}, {7, 0}: {0, 255, 0}, {0, 7}: {0, 0, 255}, {7, 7}: {255, 255, 255},
			// (3.5)·2/8 − 0.5 = 0.375: 255·0.625 = 159.375 and 255·0.375 = 95.625.
			{3, 0}: {159, 96, 0},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			src := corners(tt.sw, tt.sh)
			if tt.identity {
				src = gradient(tt.sw, tt.sh)
			}
			got := make([]byte, tt.w*tt.h*3)
			if err := tt.mode.Resize(got, src, tt.w, tt.h); err != nil {
				t.Fatal(err)
			}
			at := func(x, y int) [3]byte { return [3]byte(got[3*(y*tt.w+x):]) }
			for p, want := range tt.want {
				if at(p.X, p.Y) != want {
					t.Errorf("pixel %v is %v, want %v", p, at(p.X, p.Y), want)
				}
			}
			if !tt.identity {
				return
			}
			for y := range tt.h {
				for x := range tt.w {
					c := src.NRGBAAt(x+tt.identityAt.X, y+tt.identityAt.Y)
					if want := [3]byte{c.R, c.G, c.B}; at(x, y) != want {
						t.Fatalf("pixel (%d, %d) is %v, want %v", x, y, at(x, y), want)
					}
				}
			}
		})
	}
}

// TestResizeTypes checks that the result does not depend on the image's type, or on whether the
// image is a sub-image.
func TestResizeTypes(t *testing.T) {
	r := image.Rect(0, 0, 33, 21)
	ycc := func(r image.Rectangle, ratio image.YCbCrSubsampleRatio) *image.YCbCr {
		img := image.NewYCbCr(r, ratio)
		for i := range img.Y {
			img.Y[i] = uint8(i * 5)
		}
		for i := range img.Cb {
			img.Cb[i], img.Cr[i] = uint8(i*3), uint8(255-i*7)
		}
		return img
	}
	gray := image.NewGray(r)
	for i := range gray.Pix {
		gray.Pix[i] = uint8(i * 3)
	}
	clear := gradient(33, 21)
	for i := 3; i < len(clear.Pix); i += 4 {
		clear.Pix[i] = uint8(i)
	}
	rgba := image.NewRGBA(r)
	copy(rgba.Pix, gradient(33, 21).Pix)
	part := r.Inset(4)
	for name, img := range map[string]interface {
		image.Image
		SubImage(image.Rectangle) image.Image
	}{
		"ycbcr": ycc(r, image.YCbCrSubsampleRatio420), "ycbcr 4:4:4": ycc(r, image.YCbCrSubsampleRatio444),
		"ycbcr 4:1:0": ycc(r, image.YCbCrSubsampleRatio410), "ycbcr from below zero": ycc(r.Sub(image.Pt(15, 7)), image.YCbCrSubsampleRatio420),
		"gray": gray, "transparent": clear, "rgba": rgba, "palette": paletted(gradient(33, 21)),
	} {
		for _, img := range []image.Image{img, img.SubImage(part)} {
			// Compare with a copy converted pixel by pixel.
			b := img.Bounds()
			plain := image.NewNRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
			for y := range b.Dy() {
				for x := range b.Dx() {
					c := color.NRGBAModel.Convert(img.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
					if name == "transparent" {
						c = clear.NRGBAAt(b.Min.X+x, b.Min.Y+y)
					}
					over := func(v uint8) uint8 { return uint8((int(v)*int(c.A) + 255*(255-int(c.A)) + 127) / 255) }
					plain.SetNRGBA(x, y, color.NRGBA{over(c.R), over(c.G), over(c.B), 255})
				}
			}
			for _, mode := range []Resize{Crop, Squash, Pad} {
				got, want := make([]byte, 16*9*3), make([]byte, 16*9*3)
				if err := mode.Resize(got, img, 16, 9); err != nil {
					t.Fatal(err)
				}
				if err := mode.Resize(want, plain, 16, 9); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("%s: %s of the image with bounds %v differs from the result for its copy", name, mode, b)
				}
			}
			if flat := overWhite(img); flat.Bounds() != b || !flat.Opaque() {
				t.Errorf("overWhite of %s with bounds %v has bounds %v, opaque %v", name, b, flat.Bounds(), flat.Opaque())
			}
		}
	}
}

// TestResizeSameOnAllProcessors compares the hash of resized images with a constant.
func TestResizeSameOnAllProcessors(t *testing.T) {
	sum := sha256.New()
	dst := make([]byte, 224*224*3)
	for _, size := range []image.Point{{640, 480}, {301, 457}, {97, 101}} {
		for _, mode := range []Resize{Crop, Squash, Pad} {
			if err := mode.Resize(dst, gradient(size.X, size.Y), 224, 224); err != nil {
				t.Fatal(err)
			}
			sum.Write(dst)
		}
	}
	const want = "0af8258d8861a49d062a37c6529caa07222824c623cd506b864b0777fac54f86"
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestResizeErrors(t *testing.T) {
	img := gradient(4, 4)
	for name, err := range map[string]error{
		"short":    Crop.Resize(make([]byte, 11), img, 2, 2),
		"long":     Crop.Resize(make([]byte, 13), img, 2, 2),
		"zero":     Crop.Resize(nil, img, 0, 2),
		"negative": Crop.Resize(make([]byte, 12), img, -2, -2),
		"huge":     Crop.Resize(nil, img, math.MaxInt, 4),
		"empty":    Crop.Resize(make([]byte, 12), image.NewNRGBA(image.Rect(0, 0, 0, 5)), 2, 2),
		"mode":     Resize("").Resize(make([]byte, 12), img, 2, 2),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func BenchmarkResize(b *testing.B) {
	ycc := image.NewYCbCr(image.Rect(0, 0, 1600, 1200), image.YCbCrSubsampleRatio420)
	dst := make([]byte, 224*224*3)
	for name, img := range map[string]image.Image{"ycbcr": ycc, "rgb": gradient(1600, 1200)} {
		b.Run(name+"-1600x1200-to-224", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := Crop.Resize(dst, img, 224, 224); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
