package dataset

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"runtime"
	"strings"
	"testing"
	"time"
)

func rgb(img image.Image, x, y int) [3]int {
	r, g, b, _ := img.At(x, y).RGBA()
	return [3]int{int(r >> 8), int(g >> 8), int(b >> 8)}
}

// near tells whether two colours are equal but for what lossy coding does.
func near(a, b [3]int, within int) bool {
	for i := range a {
		if a[i]-b[i] > within || b[i]-a[i] > within {
			return false
		}
	}
	return true
}

var cornerColours = [4][3]int{{255, 0, 0}, {0, 255, 0}, {0, 0, 255}, {255, 255, 255}}

func TestDecodeFormats(t *testing.T) {
	picture := corners(40, 24)
	grey := image.NewGray(picture.Rect)
	for i := range grey.Pix {
		grey.Pix[i] = uint8(i)
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
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decode(tt.b, DefaultLimits())
			if err != nil {
				t.Fatal(err)
			}
			if p.Format != tt.format || p.Width != tt.w || p.Height != tt.h || p.Image.Bounds() != image.Rect(0, 0, tt.w, tt.h) {
				t.Fatalf("got %s of %d×%d, bounds %v, want %s of %d×%d", p.Format, p.Width, p.Height, p.Image.Bounds(), tt.format, tt.w, tt.h)
			}
			if p.SHA256 != sha256.Sum256(tt.b) {
				t.Error("SHA256 is not that of the bytes")
			}
			for i, want := range cornerColours {
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
	grey16 := image.NewGray16(one)
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
		{"16-bit grey", func() image.Image { grey16.SetGray16(0, 0, color.Gray16{0x7fe0}); return grey16 }, [3]int{127, 127, 127}},
		{"16-bit colour", func() image.Image {
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
		// The same samples, 255 0 0 255, read as Y, Cb, Cr and K: R, G, B of
		// 76 255 28 are the amounts of ink, as Adobe inverts them.
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

// TestDecodeGIFFrame wants the first of two frames, on white where it does not reach.
func TestDecodeGIFFrame(t *testing.T) {
	colours := color.Palette{color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}}
	first := image.NewPaletted(image.Rect(2, 1, 4, 3), colours)
	second := image.NewPaletted(image.Rect(0, 0, 6, 4), colours)
	for i := range second.Pix {
		second.Pix[i] = 1
	}
	var b bytes.Buffer
	err := gif.EncodeAll(&b, &gif.GIF{
		Image:  []*image.Paletted{first, second},
		Delay:  []int{1, 1},
		Config: image.Config{ColorModel: colours, Width: 6, Height: 4},
	})
	if err != nil {
		t.Fatal(err)
	}
	p, err := Decode(b.Bytes(), DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if p.Width != 6 || p.Height != 4 {
		t.Fatalf("got %d×%d, want 6×4", p.Width, p.Height)
	}
	for y := range 4 {
		for x := range 6 {
			want := [3]int{255, 255, 255}
			if image.Pt(x, y).In(first.Rect) {
				want = [3]int{255, 0, 0}
			}
			if got := rgb(p.Image, x, y); got != want {
				t.Errorf("pixel (%d, %d) is %v, want %v", x, y, got, want)
			}
		}
	}
}

// TestOrientation follows every pixel of a 3×2 picture through all orientations.
func TestOrientation(t *testing.T) {
	const w, h = 3, 2
	// Where the stored pixel (x, y) is seen, after CIPA DC-008 figure 5.
	seen := map[int]func(x, y int) (int, int){
		0: func(x, y int) (int, int) { return x, y }, // no such orientation
		1: func(x, y int) (int, int) { return x, y },
		2: func(x, y int) (int, int) { return w - 1 - x, y },
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		4: func(x, y int) (int, int) { return x, h - 1 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return h - 1 - y, x },
		7: func(x, y int) (int, int) { return h - 1 - y, w - 1 - x },
		8: func(x, y int) (int, int) { return y, w - 1 - x },
		9: func(x, y int) (int, int) { return x, y },
	}
	picture := gradient(w, h)
	for orientation, where := range seen {
		for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			block := exifBlock(order, orientation, "2024:02:29 12:34:56")
			t.Run(fmt.Sprint(orientation, order), func(t *testing.T) {
				p, err := Decode(pngWith(asPNG(t, picture), block), DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				if want := time.Date(2024, 2, 29, 12, 34, 56, 0, time.UTC); !p.Time.Equal(want) {
					t.Errorf("time is %v, want %v", p.Time, want)
				}
				if lies := orientation >= 5 && orientation <= 8; (p.Width == h) != lies || p.Width*p.Height != w*h {
					t.Fatalf("got %d×%d", p.Width, p.Height)
				}
				for y := range h {
					for x := range w {
						sx, sy := where(x, y)
						if got, want := rgb(p.Image, sx, sy), rgb(picture, x, y); got != want {
							t.Errorf("pixel (%d, %d) at (%d, %d) is %v, want %v", x, y, sx, sy, got, want)
						}
					}
				}
				// A JPEG of the same orientation has the same field in the corner.
				p, err = Decode(jpegWith(asJPEG(t, corners(48, 32)), block), DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range cornerColours {
					sx, sy := where((w-1)*(i%2), i/2)
					x, y := sx*(p.Width-1), sy*(p.Height-1)
					if p.Width > p.Height {
						x /= w - 1
					} else {
						y /= w - 1
					}
					if got := rgb(p.Image, x, y); !near(got, want, 8) {
						t.Errorf("jpeg: pixel (%d, %d) of %d×%d is %v, want %v", x, y, p.Width, p.Height, got, want)
					}
				}
			})
		}
	}
}

func TestOrientationWebP(t *testing.T) {
	b := testdata(t, "oriented.webp")
	at := bytes.Index(b, []byte("EXIF"))
	// A chunk of odd size in front, padded.
	odd := append(append(bytes.Clone(b[:at]), "ODD \x01\x00\x00\x00x\x00"...), b[at:]...)
	binary.LittleEndian.PutUint32(odd[4:], uint32(len(odd)-8))
	// The prefix that belongs into a JPEG.
	prefixed := append(append(append(bytes.Clone(b[:at+4]), 0, 0, 0, 0), exifPrefix...), b[at+8:]...)
	binary.LittleEndian.PutUint32(prefixed[at+4:], uint32(len(prefixed)-at-8))
	binary.LittleEndian.PutUint32(prefixed[4:], uint32(len(prefixed)-8))
	for name, b := range map[string][]byte{"as made": b, "after odd chunk": odd, "prefixed": prefixed} {
		p, err := Decode(b, DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// Stored red, green / blue, white; turned right: blue, red / white, green.
		if got, want := rgb(p.Image, 0, 0), [3]int{0, 0, 255}; p.Width != 24 || p.Height != 40 || !near(got, want, 12) {
			t.Errorf("%s: %d×%d with %v in the corner, want 24×40 with %v", name, p.Width, p.Height, got, want)
		}
	}
}

// TestEXIFHostile reads damaged blocks: the photo must still be there.
func TestEXIFHostile(t *testing.T) {
	good := exifBlock(binary.BigEndian, 6, "2024:02:29 12:34:56")
	photo := asJPEG(t, corners(48, 32))
	for n := range good {
		for _, v := range []byte{0, 1, 0x7f, 0xff} {
			block := bytes.Clone(good)
			block[n] = v
			if _, err := Decode(jpegWith(photo, block), DefaultLimits()); err != nil {
				t.Fatalf("byte %d set to %d: %v", n, v, err)
			}
		}
		if _, err := Decode(jpegWith(photo, good[:n]), DefaultLimits()); err != nil {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	// An IFD that is its own EXIF IFD, and one of 65,535 tags.
	loop := bytes.Clone(good)
	binary.BigEndian.PutUint32(loop[8+2+12+8:], 8)
	many := append(bytes.Clone(good[:8]), 0xff, 0xff)
	for range 5000 {
		many = append(many, good[10:22]...)
	}
	for name, block := range map[string][]byte{"loop": loop, "many": many} {
		p, err := Decode(jpegWith(photo, block), DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Width != 32 {
			t.Errorf("%s: not turned upright", name)
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
		{"text", []byte("hello, this is no photo"), DefaultLimits(), ErrFormat, ""},
		{"text starting with BM", []byte("BMW drives by the house\n"), DefaultLimits(), ErrFormat, ""},
		{"tiff", []byte("II*\x00\x08\x00\x00\x00"), DefaultLimits(), ErrFormat, "TIFF"},
		{"heic", iso("heic\x00\x00\x00\x00mif1"), DefaultLimits(), ErrHEIC, "heif-convert"},
		{"heic by compatible brand", iso("abcd\x00\x00\x00\x00mif1"), DefaultLimits(), ErrHEIC, ""},
		{"avif", iso("avif\x00\x00\x00\x00"), DefaultLimits(), ErrHEIC, ""},
		{"mp4", iso("isom\x00\x00\x02\x00mp42"), DefaultLimits(), ErrFormat, "video"},
		{"ftyp alone", []byte("\x00\x00\x00\x20ftyp"), DefaultLimits(), ErrFormat, "video"},
		{"arithmetic jpeg", arithmetic, DefaultLimits(), ErrFormat, "JPEG"},
		{"animated webp", testdata(t, "animated.webp"), DefaultLimits(), ErrFormat, "animated"},
		{"half a jpeg", half(asJPEG(t, picture)), DefaultLimits(), ErrDamaged, ""},
		{"half a progressive jpeg", half(progressive), DefaultLimits(), ErrDamaged, ""},
		{"half a png", half(asPNG(t, picture)), DefaultLimits(), ErrDamaged, "pixel data"},
		{"half a bmp", half(asBMP(t, picture)), DefaultLimits(), ErrDamaged, "too early"},
		{"half a gif", half(asGIF(t, paletted(picture))), DefaultLimits(), ErrDamaged, ""},
		{"half a webp", half(testdata(t, "lossless.webp")), DefaultLimits(), ErrDamaged, ""},
		{"only a jpeg's mark", []byte{0xff, 0xd8, 0xff}, DefaultLimits(), ErrDamaged, "too early"},
		{"one pixel too many", asPNG(t, picture), small, ErrTooLarge, "64×48"},
		{"one byte too many", asPNG(t, picture), Limits{1 << 20, 100}, ErrTooLarge, "limit 100"},
		{"12 bytes a pixel", asPNG(t, deep), Limits{64 * 48, 1 << 20}, ErrTooLarge, "36864 bytes"},
		{"too many scans", scans, DefaultLimits(), ErrTooLarge, "scans"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := Decode(tt.b, tt.l)
			if !errors.Is(err, tt.want) || p != nil {
				t.Fatalf("got %v, %v, want error %q", p, err, tt.want)
			}
			if !strings.Contains(err.Error(), tt.words) {
				t.Errorf("error %q does not say %q", err, tt.words)
			}
		})
	}
	if _, err := Decode(asPNG(t, picture), Limits{64 * 48, 1 << 20}); err != nil {
		t.Errorf("a photo of just the largest size: %v", err)
	}
}

// TestTruncated cuts a photo of every kind at every byte: no cut may pass for whole
// but one that takes off what comes after the pixels.
func TestTruncated(t *testing.T) {
	for name, b := range map[string][]byte{
		"jpeg": asJPEG(t, gradient(17, 11)), "progressive": testdata(t, "progressive.jpg"), "cmyk": testdata(t, "cmyk.jpg"),
		"png": asPNG(t, gradient(17, 11)), "bmp": asBMP(t, gradient(17, 11)), "gif": asGIF(t, paletted(gradient(17, 11))),
		"webp": testdata(t, "lossless.webp"), "alpha": testdata(t, "alpha.webp"),
	} {
		for n := range b {
			p, err := Decode(b[:n], DefaultLimits())
			if err == nil {
				if len(b)-n > 4 {
					t.Errorf("%s cut to %d of %d bytes is taken for a photo of %d×%d", name, n, len(b), p.Width, p.Height)
				}
			} else if !errors.Is(err, ErrDamaged) && n > 18 {
				t.Errorf("%s cut to %d bytes: got %v, want ErrDamaged", name, n, err)
			}
		}
	}
}

// bomb is a PNG header of 65,535×65,535 pixels.
func bomb() []byte {
	ihdr := []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 8, 2, 0, 0, 0}
	return append([]byte("\x89PNG\r\n\x1a\n"), pngChunk("IHDR", ihdr)...)
}

func TestBomb(t *testing.T) {
	b := bomb()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err := Decode(b, DefaultLimits())
	runtime.ReadMemStats(&after)
	if !errors.Is(err, ErrTooLarge) {
		t.Fatalf("got %v, want ErrTooLarge", err)
	}
	if got := after.TotalAlloc - before.TotalAlloc; got > 8<<20 {
		t.Errorf("took %d bytes, want at most 8 MiB", got)
	}
}

func TestRecovered(t *testing.T) {
	f := func() (err error) {
		defer recovered(&err)
		panic("index out of range")
	}
	if err := f(); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "index out of range") {
		t.Errorf("got %v, want ErrDamaged with the reason", err)
	}
}

func FuzzDecode(f *testing.F) {
	picture := corners(16, 12)
	f.Add(asJPEG(f, picture))
	f.Add(jpegWith(asJPEG(f, picture), exifBlock(binary.LittleEndian, 6, "2024:02:29 12:34:56")))
	f.Add(asPNG(f, picture))
	f.Add(pngWith(asPNG(f, picture), exifBlock(binary.BigEndian, 5, "")))
	f.Add(asPNG(f, paletted(picture)))
	f.Add(asBMP(f, picture))
	f.Add(asGIF(f, paletted(picture)))
	for _, name := range []string{"lossless.webp", "oriented.webp", "alpha.webp", "animated.webp", "progressive.jpg", "cmyk.jpg"} {
		f.Add(testdata(f, name))
	}
	f.Add(bomb())
	l := Limits{MaxPixels: 1 << 20, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Decode(b, l)
		runtime.ReadMemStats(&after)
		if got, most := int64(after.TotalAlloc-before.TotalAlloc), 2*l.memory()+3*int64(len(b))+1<<20; got > most {
			t.Errorf("took %d bytes for %d, want at most %d", got, len(b), most)
		}
		if err != nil {
			if strings.Contains(err.Error(), "the decoder failed") {
				t.Errorf("caught a panic: %v", err)
			}
			for _, known := range []error{ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge, ErrDamaged} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("an error of no kind: %v", err)
		}
		if p.Image.Bounds() != image.Rect(0, 0, p.Width, p.Height) || int64(p.Width)*int64(p.Height) > l.MaxPixels {
			t.Fatalf("%d×%d, bounds %v", p.Width, p.Height, p.Image.Bounds())
		}
		dst := make([]byte, 5*7*3)
		file, err := Open(Item{Path: "photo", Content: b}, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, fit := range []Resize{Crop, Squash, Pad} {
			if err := fit.Resize(dst, p.Image, 5, 7); err != nil {
				t.Fatal(err)
			}
			if err := (&Resizer{Mode: fit, Width: 5, Height: 7}).Read(dst, file); err != nil {
				t.Fatalf("decoded whole, but not to be fitted: %v", err)
			}
		}
	})
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
