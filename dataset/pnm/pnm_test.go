package pnm

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"testing"
)

// pixels returns the pixels of an image as R, G and B values, or one value per pixel if the
// image is gray.
func pixels(img image.Image) []int {
	var p []int
	for y := range img.Bounds().Dy() {
		for x := range img.Bounds().Dx() {
			switch c := img.At(x, y).(type) {
			case color.Gray:
				p = append(p, int(c.Y))
			case color.NRGBA:
				p = append(p, int(c.R), int(c.G), int(c.B))
			}
		}
	}
	return p
}

func TestDecode(t *testing.T) {
	for _, tt := range []struct {
		name, file string
		w, h       int
		want       []int
	}{
		{"P1", "P1\n# a comment\n3 2\n1 0 1\n0 1 0\n", 3, 2, []int{0, 255, 0, 255, 0, 255}},
		{"P1 without spaces", "P1 3 2 101#comment\n010", 3, 2, []int{0, 255, 0, 255, 0, 255}},
		{"P2", "P2\n3 1\n100\n0 50 100\n", 3, 1, []int{0, 128, 255}},
		{"P2, no newline", "P2 2 1 255 7 8", 2, 1, []int{7, 8}},
		{"P2, 16 bits", "P2 2 1 65535 32767 65535\n", 2, 1, []int{127, 255}},
		{"P3", "P3 # color\n2 1 255\n1 2 3  4 5 6\n", 2, 1, []int{1, 2, 3, 4, 5, 6}},
		{"P4", "P4 10 2\n\xaa\x80\x55\x40", 10, 2, []int{0, 255, 0, 255, 0, 255, 0, 255, 0, 255, 255, 0, 255, 0, 255, 0, 255, 0, 255, 0}},
		{"P5", "P5 3 1 255\n\x00\n\xff", 3, 1, []int{0, 10, 255}},
		{"P5 with a comment", "P5#\n#\n3 1#\n255#comment\n\x00\n\xff", 3, 1, []int{0, 10, 255}},
		{"P5, 10 bits", "P5 2 1 1023\n\x02\x00\x03\xff", 2, 1, []int{128, 255}},
		{"P5, above white", "P5 2 1 100\n\x32\xff", 2, 1, []int{128, 255}},
		{"P6", "P6\n1 2\n255\nabcdef", 1, 2, []int{97, 98, 99, 100, 101, 102}},
		{"P6, 16 bits", "P6 1 1 65535\n\x00\x80\x00\x81\xff\xff", 1, 1, []int{0, 1, 255}},
		{"P6, two images", "P6 1 1 255\nabcP6 1 1 255\ndef", 1, 1, []int{97, 98, 99}},
	} {
		img, err := Decode([]byte(tt.file))
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		if got := pixels(img); img.Bounds() != image.Rect(0, 0, tt.w, tt.h) || fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: got %v with %v, want %d×%d with %v", tt.name, img.Bounds(), got, tt.w, tt.h, tt.want)
		}
		if c, err := DecodeConfig([]byte(tt.file)); err != nil || c.Width != tt.w || c.Height != tt.h {
			t.Errorf("%s: got config %+v, error %v, want %d×%d pixels", tt.name, c, err, tt.w, tt.h)
		}
		if !Is([]byte(tt.file)) {
			t.Errorf("%s: Is returned false, want true", tt.name)
		}
		for n := range len(tt.file) {
			if _, err := Decode([]byte(tt.file[:n])); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut to %d bytes: got %v, want io.ErrUnexpectedEOF", tt.name, n, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	for file, want := range map[string]error{
		"":                       io.ErrUnexpectedEOF,
		"P":                      io.ErrUnexpectedEOF,
		"P7 1 1 255\nabc":        ErrFormat,
		"P0 1 1 255\nabc":        ErrFormat,
		"PNG":                    ErrFormat,
		"P6 0 1 255\nabc":        ErrFormat,
		"P6 1 0 255\nabc":        ErrFormat,
		"P6 1 1 0\nabc":          ErrFormat,
		"P6 1 1 65536\nabcdef":   ErrFormat,
		"P6 -1 1 255\nabc":       ErrFormat,
		"P6 1 1 255":             io.ErrUnexpectedEOF,
		"P6 1 1 255\nab":         io.ErrUnexpectedEOF,
		"P5 99999999999 1 255":   ErrFormat,
		"P5 1 1 255#":            io.ErrUnexpectedEOF,
		"P2 1 1 255\nx":          ErrFormat,
		"P2 2 1 255\n1,2":        ErrFormat,
		"P1 1 1\n2":              ErrFormat,
		"P1 1 1\n#":              io.ErrUnexpectedEOF,
		"P4 100000000 1000000\n": io.ErrUnexpectedEOF,
	} {
		if img, err := Decode([]byte(file)); !errors.Is(err, want) || img != nil {
			t.Errorf("%q: got %v, want %v", file, err, want)
		}
	}
	for _, text := range []string{"P5 1.jpg\n", "P1,2", "P3 is a label\n", "Photos", "P6", "P6\n# comment", "1 2 3"} {
		if Is([]byte(text)) {
			t.Errorf("Is(%q) = true, want false", text)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"P1\n# c\n3 2\n101 010\n", "P2 2 1 100 7 8", "P3 1 1 65535 1 2 3\n", "P4 10 2\n\xaa\x80\x55\x40", "P5 2 1 1023\n\x02\x00\x03\xff", "P6#\n1 2\n255\nabcdef"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		config, err := DecodeConfig(b)
		if err != nil || config.Width*config.Height > 1<<18 {
			return
		}
		img, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %v wraps none of the documented errors", err)
			}
			return
		}
		if img.Bounds() != image.Rect(0, 0, config.Width, config.Height) || img.ColorModel() != config.ColorModel {
			t.Fatalf("got %T with bounds %v, want %d×%d", img, img.Bounds(), config.Width, config.Height)
		}
	})
}
