package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"strings"
	"testing"
)

// rgb returns the color of a pixel.
func rgb(img image.Image, x, y int) [3]int {
	r, g, b, _ := img.At(x, y).RGBA()
	return [3]int{int(r >> 8), int(g >> 8), int(b >> 8)}
}

// flat returns the pixels of an image as RGBA.
func flat(img image.Image) []byte { return overWhite(img).Pix }

// near reports whether two colors differ by at most tolerance in each channel.
func near(a, b [3]int, tolerance int) bool {
	for i := range a {
		if a[i]-b[i] > tolerance || b[i]-a[i] > tolerance {
			return false
		}
	}
	return true
}

// cornerColors are the colors of the quadrants that corners draws, row by row.
var cornerColors = [4][3]int{{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}}

func TestDecodeFormats(t *testing.T) {
	picture := corners(40, 24)
	gray := image.NewGray(picture.Rect)
	for i := range gray.Pix {
		gray.Pix[i] = uint8(i)
	}
	tests := []struct {
		name, format string
		b            []byte
		w, h, within int
	}{
		{"jpeg", "jpeg", asJPEG(t, picture), 40, 24, 8},
		{"progressive jpeg", "jpeg", testdata(t, "progressive.jpg"), 40, 24, 8},
		{"png", "png", asPNG(t, picture), 40, 24, 0},
		{"palette png", "png", asPNG(t, paletted(picture)), 40, 24, 0},
		{"bmp", "bmp", asBMP(t, picture), 40, 24, 0},
		{"gif", "gif", asGIF(t, paletted(picture)), 40, 24, 0},
		{"webp", "webp", testdata(t, "lossless.webp"), 8, 6, 0},
		{"tiff", "tiff", makeTIFF(binary.BigEndian, rgbData(picture), rgbTags(40, 24)), 40, 24, 0},
		{"ppm", "pnm", append([]byte("P6 40 24 255\n"), rgbData(picture)...), 40, 24, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decode(tt.b, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if p.Format != tt.format || p.Width != tt.w || p.Height != tt.h || p.Image.Bounds() != image.Rect(0, 0, tt.w, tt.h) {
				t.Fatalf("got %s with %d×%d pixels and bounds %v, want %s with %d×%d", p.Format, p.Width, p.Height, p.Image.Bounds(), tt.format, tt.w, tt.h)
			}
			if p.SHA256 != sha256.Sum256(tt.b) {
				t.Error("SHA256 is not the hash of the file")
			}
			for i, want := range cornerColors {
				x, y := tt.w/4+tt.w/2*(i%2), tt.h/4+tt.h/2*(i/2)
				if got := rgb(p.Image, x, y); !near(got, want, tt.within) {
					t.Errorf("pixel (%d, %d) is %v, want %v", x, y, got, want)
				}
			}
		})
	}
}

func TestDecodePixels(t *testing.T) {
	one := image.Rect(0, 0, 1, 1)
	gray16 := image.NewGray16(one)
	rgba64 := image.NewNRGBA64(one)
	clear16 := image.NewNRGBA64(one)
	clear16.SetNRGBA64(0, 0, color.NRGBA64{0x8000, 0, 0xffff, 0x8000})
	clearPalette := image.NewPaletted(one, color.Palette{color.NRGBA{200, 0, 0, 51}})
	tests := []struct {
		name string
		set  func() image.Image
		want [3]int
	}{
		// 0x7f7f/257 is 126.998…, 0x807f/257 is 127.99…, 0x8000/257 is 127.5.
		{"16-bit gray", func() image.Image { gray16.SetGray16(0, 0, color.Gray16{0x7fe0}); return gray16 }, [3]int{127, 127, 127}},
		{"16-bit color", func() image.Image {
			rgba64.SetNRGBA64(0, 0, color.NRGBA64{0x0080, 0x0081, 0xffff, 0xffff})
			return rgba64
		}, [3]int{0, 1, 255}},
		{"transparent", func() image.Image {
			m := image.NewNRGBA(one)
			m.SetNRGBA(0, 0, color.NRGBA{10, 20, 30, 0})
			return m
		}, [3]int{255, 255, 255}},
		// (100·51 + 255·204)/255 = 224
		{"a fifth opaque", func() image.Image {
			m := image.NewNRGBA(one)
			m.SetNRGBA(0, 0, color.NRGBA{100, 0, 255, 51})
			return m
		}, [3]int{224, 204, 255}},
		{"16-bit transparent", func() image.Image { return clear16 }, [3]int{191, 127, 255}},
		{"transparent palette", func() image.Image { return clearPalette }, [3]int{244, 204, 204}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decode(asPNG(t, tt.set()), DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if got := rgb(p.Image, 0, 0); got != tt.want {
				t.Errorf("got %v in %T, want %v", got, p.Image, tt.want)
			}
		})
	}
}

func TestDecodeWebPAlpha(t *testing.T) {
	p, err := Decode(testdata(t, "alpha.webp"), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if got, want := rgb(p.Image, 8, 8), [3]int{255, 127, 127}; !near(got, want, 3) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestDecodeCMYK(t *testing.T) {
	b := testdata(t, "cmyk.jpg")
	for _, tt := range []struct {
		name      string
		transform byte
		want      [3]int
	}{
		{"cmyk", 0, [3]int{255, 0, 0}},
		// Here the same samples, 255 0 0 255, are Y, Cb, Cr and K. Y, Cb and Cr convert to the
		// RGB color 76 255 28. Its values are amounts of ink, because Adobe inverts them.
		{"ycck", 2, [3]int{179, 0, 227}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bytes.Clone(b)
			b[bytes.Index(b, []byte("Adobe"))+11] = tt.transform
			p, err := Decode(b, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if got := rgb(p.Image, 8, 8); !near(got, tt.want, 3) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

// TestDecodeNoEndMarker decodes JPEGs that end after their image data, without an end marker.
func TestDecodeNoEndMarker(t *testing.T) {
	for name, b := range map[string][]byte{"ycbcr": asJPEG(t, corners(40, 24)), "progressive": testdata(t, "progressive.jpg"), "cmyk": testdata(t, "cmyk.jpg")} {
		want, err := Decode(b, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		b = b[:len(b)-2]
		got, err := Decode(b, DefaultLimits())
		if err != nil || !bytes.Equal(flat(got.Image), flat(want.Image)) {
			t.Errorf("%s without its end marker: got error %v, want the same pixels", name, err)
		}
		if name == "cmyk" {
			continue // image/jpeg reads past the image data
		}
		// Data that a phone appends may look like scans.
		b = append(bytes.Clone(b), strings.Repeat("\xff\xda\x00\x05abc", 2*maxScans)...)
		got, err = Decode(b, DefaultLimits())
		if err != nil || !bytes.Equal(flat(got.Image), flat(want.Image)) {
			t.Errorf("%s with a trailer instead of its end marker: got error %v, want the same pixels", name, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	picture := gradient(64, 48)
	small := Limits{MaxPixels: 64*48 - 1, MaxBytes: 1 << 20}
	deep := image.NewNRGBA64(image.Rect(0, 0, 64, 48))
	progressive := testdata(t, "progressive.jpg")
	sos := bytes.LastIndex(progressive, []byte{0xff, 0xda})
	scans := bytes.Clone(progressive[:sos])
	for range maxScans {
		scans = append(scans, progressive[sos:len(progressive)-2]...)
	}
	scans = append(scans, 0xff, 0xd9)
	arithmetic := bytes.Replace(asJPEG(t, picture), []byte{0xff, 0xc0}, []byte{0xff, 0xc9}, 1)
	half := func(b []byte) []byte { return b[:len(b)/2] }
	iso := func(brands string) []byte { return []byte("\x00\x00\x00\x20ftyp" + brands + "....") }
	tests := []struct {
		name  string
		b     []byte
		l     Limits
		want  error
		words string
	}{
		{"empty", nil, DefaultLimits(), ErrEmpty, ""},
		{"text", []byte("hello, this is not a photo"), DefaultLimits(), ErrFormat, "not a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM photo"},
		{"text starting with BM", []byte("BMW drives by the house\n"), DefaultLimits(), ErrFormat, ""},
		{"raw file", []byte("FUJIFILMCCD-RAW 0201"), DefaultLimits(), ErrFormat, "camera raw files are not supported; convert the photo to JPEG"},
		{"Canon raw file", iso("crx \x00\x00\x00\x01isom"), DefaultLimits(), ErrFormat, "camera raw"},
		{"heic", iso("heic\x00\x00\x00\x00mif1"), DefaultLimits(), ErrHEIC, "HEIC is not supported; convert it to JPEG, for example with heif-convert"},
		{"heic by compatible brand", iso("abcd\x00\x00\x00\x00mif1"), DefaultLimits(), ErrHEIC, ""},
		{"avif", iso("avif\x00\x00\x00\x00"), DefaultLimits(), ErrHEIC, "AVIF is not supported"},
		{"mp4", iso("isom\x00\x00\x02\x00mp42"), DefaultLimits(), ErrFormat, "video"},
		{"ftyp alone", []byte("\x00\x00\x00\x20ftyp"), DefaultLimits(), ErrFormat, "video"},
		{"arithmetic jpeg", arithmetic, DefaultLimits(), ErrFormat, "unsupported JPEG: arithmetic coding; save the photo again as JPEG or PNG"},
		{"animated webp", testdata(t, "animated.webp"), DefaultLimits(), ErrFormat, "animated WebP is not supported"},
		{"half a jpeg", half(asJPEG(t, picture)), DefaultLimits(), ErrDamaged, ""},
		{"half a progressive jpeg", half(progressive), DefaultLimits(), ErrDamaged, ""},
		{"half a png", half(asPNG(t, picture)), DefaultLimits(), ErrDamaged, "too early"},
		{"half a bmp", half(asBMP(t, picture)), DefaultLimits(), ErrDamaged, "too early"},
		{"half a gif", half(asGIF(t, paletted(picture))), DefaultLimits(), ErrDamaged, ""},
		{"half a webp", half(testdata(t, "lossless.webp")), DefaultLimits(), ErrDamaged, ""},
		{"start of a jpeg", []byte{0xff, 0xd8, 0xff}, DefaultLimits(), ErrDamaged, "too early"},
		{"one pixel too many", asPNG(t, picture), small, ErrTooLarge, "too large: 64×48 pixels; the limit is 0.003071 megapixels"},
		{"one byte too many", asPNG(t, picture), Limits{1 << 20, 100}, ErrTooLarge, "the limit is 100 bytes"},
		{"12 bytes per pixel", asPNG(t, deep), Limits{64 * 48, 1 << 20}, ErrTooLarge, "36864 bytes"},
		{"too many scans", scans, DefaultLimits(), ErrTooLarge, "scans"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decode(tt.b, tt.l)
			if !errors.Is(err, tt.want) || p != nil {
				t.Fatalf("got %v, %v, want an error that wraps %q", p, err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error %q lacks %q", err, tt.words)
			}
		})
	}
	if _, err := Decode(asPNG(t, picture), Limits{64 * 48, 1 << 20}); err != nil {
		t.Errorf("a photo exactly at the limits: got error %v", err)
	}
}

func BenchmarkDecodeJPEG(b *testing.B) {
	photo := func(orientation int) []byte {
		img := gradient(1600, 1200)
		var out bytes.Buffer
		if err := jpeg.Encode(&out, img, &jpeg.Options{Quality: 90}); err != nil {
			b.Fatal(err)
		}
		return jpegWith(out.Bytes(), exifBlock(binary.BigEndian, orientation, ""))
	}
	for name, orientation := range map[string]int{"upright": 1, "turned": 6} {
		file := photo(orientation)
		b.Run(name+"-1600x1200", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Decode(file, DefaultLimits()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
