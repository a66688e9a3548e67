package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"runtime"
	"strings"
	"testing"
)

// open returns a File with the content b.
func open(t testing.TB, b []byte) *File {
	t.Helper()
	f, err := Open(Item{Path: "photo", Content: b}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// hills returns an image without sharp edges or symmetry.
func hills(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			u, v := float64(x)/float64(w), float64(y)/float64(h)
			img.SetNRGBA(x, y, color.NRGBA{uint8(40 + 170*u), uint8(220 - 150*v), uint8(60 + 120*u*v), 255})
		}
	}
	return img
}

// TestResizer compares Resizer.Read with Resize.Resize on the upright photo. The results must be
// equal for photos that are decoded at full size, and close for other photos.
func TestResizer(t *testing.T) {
	kinds := map[string]struct {
		b      []byte
		within int
	}{
		"small jpeg": {asJPEG(t, hills(89, 67)), 0},
		"large jpeg": {asJPEG(t, hills(403, 301)), 4},
		"cmyk":       {testdata(t, "cmyk.jpg"), 0},
		"png":        {asPNG(t, hills(233, 120)), 0},
	}
	resizers := map[Resize]*Resizer{}
	for _, mode := range []Resize{Crop, Squash, Pad} {
		resizers[mode] = &Resizer{Mode: mode, Width: 30, Height: 23}
	}
	for name, kind := range kinds {
		for o := range 9 {
			b := kind.b
			if block := exifBlock(binary.BigEndian, o, ""); name == "png" {
				b = pngWith(b, block)
			} else {
				b = jpegWith(b, block)
			}
			file := open(t, b)
			whole, err := file.Decode()
			if err != nil {
				t.Fatal(err)
			}
			for mode, resizer := range resizers {
				got, want := make([]byte, 30*23*3), make([]byte, 30*23*3)
				if err := mode.Resize(want, whole.Image, 30, 23); err != nil {
					t.Fatal(err)
				}
				if err := resizer.Read(got, file); err != nil {
					t.Fatal(err)
				}
				within := kind.within
				if o > 1 {
					// Mirrored positions are rounded differently.
					within++
				}
				for i := range got {
					if d := int(got[i]) - int(want[i]); d < -within || d > within {
						t.Fatalf("%s, orientation %d, %s: byte %d is %d, want %d", name, o, mode, i, got[i], want[i])
					}
				}
			}
		}
	}
}

// TestResizerReduces measures the allocated memory, to check that large photos are not decoded
// at full size and that memory is reused.
func TestResizerReduces(t *testing.T) {
	file := open(t, asJPEG(t, hills(1600, 1200)))
	f := Resizer{Mode: Crop, Width: 128, Height: 128}
	dst := make([]byte, 128*128*3)
	if err := f.Read(dst, file); err != nil {
		t.Fatal(err)
	}
	read := func() {
		if err := f.Read(dst, file); err != nil {
			t.Fatal(err)
		}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	read()
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n > 64<<10 {
		t.Errorf("reading the photo again allocated %d bytes, want at most 64 KiB", n)
	}
	if len(f.resampler.top) > 6*128 || len(f.resampler.cols.source) > 2*128 {
		t.Errorf("%d columns are sampled for 128 pixels, want at most 256", len(f.resampler.cols.source))
	}
}

func TestResizerErrors(t *testing.T) {
	b := asJPEG(t, hills(64, 48))
	dst := make([]byte, 4*4*3)
	good := Resizer{Mode: Crop, Width: 4, Height: 4}
	if err := good.Read(dst, open(t, b[:len(b)-100])); !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "photo") {
		t.Errorf("a truncated photo: got %v, want ErrDamaged with the path", err)
	}
	if err := good.Read(dst[1:], open(t, b)); err == nil {
		t.Error("a short destination: got no error")
	}
	for _, f := range []Resizer{{}, {Mode: Crop}, {Mode: "stretch", Width: 4, Height: 4}} {
		if err := f.Read(dst, open(t, b)); err == nil {
			t.Errorf("%s to %d×%d: no error", f.Mode, f.Width, f.Height)
		}
	}
}

// TestTurned checks orientation.stored and turned for each orientation.
func TestTurned(t *testing.T) {
	for o := orientation(1); o <= 8; o++ {
		l := turned(20, image.Rect(2, 3, 9, 8), o)
		w, h := 70, 50 // upright
		r := o.stored(image.Rect(10, 5, 31, 40), w, h)
		if o.swapped() != (r.Dx() == 35) || o.swapped() != (l.w == 5) {
			t.Errorf("orientation %d: %v maps to %d×%d", o, r, l.w, l.h)
		}
		seen := map[int]bool{}
		for y := range l.h {
			for x := range l.w {
				at := l.start + x*l.dx + y*l.dy
				if p := image.Pt(at/3%20, at/3/20); at%3 != 0 || !p.In(image.Rect(2, 3, 9, 8)) || seen[at] {
					t.Fatalf("orientation %d: (%d, %d) maps to %v", o, x, y, p)
				}
				seen[at] = true
			}
		}
	}
}

// BenchmarkResizer resizes photos of 1600×1200 pixels with a Resizer and, for comparison,
// after decoding them at full size.
func BenchmarkResizer(b *testing.B) {
	img := gradient(1600, 1200)
	file := asJPEG(b, img)
	for _, size := range []int{128, 224} {
		dst := make([]byte, size*size*3)
		b.Run(fmt.Sprint("whole-then-resized-to-", size), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p, err := Decode(file, DefaultLimits())
				if err != nil {
					b.Fatal(err)
				}
				if err := Crop.Resize(dst, p.Image, size, size); err != nil {
					b.Fatal(err)
				}
			}
		})
		for name, o := range map[string]int{"upright": 1, "turned": 6} {
			b.Run(fmt.Sprintf("%s-to-%d", name, size), func(b *testing.B) {
				f := Resizer{Mode: Crop, Width: size, Height: size}
				turned := jpegWith(bytes.Clone(file), exifBlock(binary.BigEndian, o, ""))
				b.ReportAllocs()
				for b.Loop() {
					if err := f.Read(dst, open(b, turned)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
