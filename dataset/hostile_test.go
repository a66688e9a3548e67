package dataset

import (
	"encoding/binary"
	"errors"
	"image"
	"runtime"
	"strings"
	"testing"
)

// TestTruncated truncates a photo of each format at each byte. Decode may succeed only if at
// most the last end bytes, which follow the image data, are missing.
func TestTruncated(t *testing.T) {
	for name, tt := range map[string]struct {
		b   []byte
		end int
	}{
		"jpeg":        {asJPEG(t, gradient(17, 11)), len("\xff\xd9")},
		"progressive": {testdata(t, "progressive.jpg"), len("\xff\xd9")},
		"cmyk":        {testdata(t, "cmyk.jpg"), len("\xff\xd9")},
		"png":         {asPNG(t, gradient(17, 11)), len("\x00\x00\x00\x00IEND\xae\x42\x60\x82")},
		"bmp":         {asBMP(t, gradient(17, 11)), len("\x00")}, // a row has 51 bytes and a byte of padding
		"gif":         {asGIF(t, paletted(gradient(17, 11))), len("\x00;")},
		"tiff":        {makeTIFF(binary.LittleEndian, rgbData(gradient(17, 11)), rgbTags(17, 11)), len("\x00\x00\x00\x00")},
		"ppm":         {append([]byte("P6 17 11 255\n"), rgbData(gradient(17, 11))...), 0},
		"webp":        {testdata(t, "lossless.webp"), 4},
		"alpha":       {testdata(t, "alpha.webp"), 4},
	} {
		for n := range tt.b {
			p, err := Decode(tt.b[:n], DefaultLimits())
			if err == nil {
				if len(tt.b)-n > tt.end {
					t.Errorf("%s cut to %d of %d bytes: got %d×%d pixels, want an error", name, n, len(tt.b), p.Width, p.Height)
				}
			} else if !errors.Is(err, ErrDamaged) && n > 18 {
				t.Errorf("%s cut to %d bytes: got %v, want ErrDamaged", name, n, err)
			}
		}
	}
}

// bomb returns the header of a PNG of 65,535×65,535 pixels.
func bomb() []byte {
	ihdr := []byte{0, 0, 0xff, 0xff, 0, 0, 0xff, 0xff, 8, 2, 0, 0, 0}
	return append([]byte("\x89PNG\r\n\x1a\n"), makeChunk("IHDR", ihdr)...)
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
		t.Errorf("Decode allocated %d bytes, want at most 8 MiB", got)
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
	f.Add(makeGIF(f, image.Rect(2, 1, 8, 5), 6, 4))
	for _, name := range []string{"lossless.webp", "oriented.webp", "alpha.webp", "animated.webp", "progressive.jpg", "cmyk.jpg"} {
		f.Add(testdata(f, name))
	}
	f.Add(makeTIFF(binary.LittleEndian, rgbData(picture), append(rgbTags(16, 12), short(tagOrientation, 6))))
	f.Add(append([]byte("P6 16 12 255\n"), rgbData(picture)...))
	f.Add(bomb())
	l := Limits{MaxPixels: 1 << 20, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, b []byte) {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		p, err := Decode(b, l)
		runtime.ReadMemStats(&after)
		if got, most := int64(after.TotalAlloc-before.TotalAlloc), 2*l.memory()+3*int64(len(b))+1<<20; got > most {
			t.Errorf("Decode allocated %d bytes for a file of %d bytes, want at most %d", got, len(b), most)
		}
		if err != nil {
			if strings.Contains(err.Error(), "the decoder failed") {
				t.Errorf("the decoder panicked: %v", err)
			}
			for _, known := range []error{ErrEmpty, ErrFormat, ErrHEIC, ErrTooLarge, ErrDamaged} {
				if errors.Is(err, known) {
					return
				}
			}
			t.Fatalf("error %v wraps none of the documented errors", err)
		}
		if p.Image.Bounds() != image.Rect(0, 0, p.Width, p.Height) || int64(p.Width)*int64(p.Height) > l.MaxPixels {
			t.Fatalf("got %d×%d pixels with bounds %v", p.Width, p.Height, p.Image.Bounds())
		}
		dst := make([]byte, 5*7*3)
		file, err := Open(Item{Path: "photo", Content: b}, l)
		if err != nil {
			t.Fatal(err)
		}
		for _, mode := range []Resize{Crop, Squash, Pad} {
			if err := mode.Resize(dst, p.Image, 5, 7); err != nil {
				t.Fatal(err)
			}
			if err := (&Resizer{Mode: mode, Width: 5, Height: 7}).Read(dst, file); err != nil {
				t.Fatalf("Decode succeeded, but Resizer.Read failed: %v", err)
			}
		}
	})
}
