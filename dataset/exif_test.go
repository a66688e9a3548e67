package dataset

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"testing"
	"time"
)

// TestOrientation checks the position of every pixel of a 3×2 image in all orientations.
func TestOrientation(t *testing.T) {
	const w, h = 3, 2
	// upright maps an orientation to the position of the stored pixel (x, y) in the upright
	// image (CIPA DC-008 figure 5).
	upright := map[int]func(x, y int) (int, int){
		0: func(x, y int) (int, int) { return x, y }, // undefined
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
	for orientation, where := range upright {
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
				if turned := orientation >= 5 && orientation <= 8; (p.Width == h) != turned || p.Width*p.Height != w*h {
					t.Fatalf("got %d×%d pixels, want 3×2, or 2×3 for orientations 5 to 8", p.Width, p.Height)
				}
				for y := range h {
					for x := range w {
						sx, sy := where(x, y)
						if got, want := rgb(p.Image, sx, sy), rgb(picture, x, y); got != want {
							t.Errorf("pixel (%d, %d) at (%d, %d) is %v, want %v", x, y, sx, sy, got, want)
						}
					}
				}
				// For a JPEG with this orientation, check only the colors in the corners.
				p, err = Decode(jpegWith(asJPEG(t, corners(48, 32)), block), DefaultLimits())
				if err != nil {
					t.Fatal(err)
				}
				for i, want := range cornerColors {
					sx, sy := where((w-1)*(i%2), i/2)
					x, y := sx*(p.Width-1), sy*(p.Height-1)
					if p.Width > p.Height {
						x /= w - 1
					} else {
						y /= w - 1
					}
					if got := rgb(p.Image, x, y); !near(got, want, 8) {
						t.Errorf("JPEG: pixel (%d, %d) of %d×%d is %v, want %v", x, y, p.Width, p.Height, got, want)
					}
				}
			})
		}
	}
}

func TestOrientationWebP(t *testing.T) {
	b := testdata(t, "oriented.webp")
	at := bytes.Index(b, []byte("EXIF"))
	// Insert a padded chunk of odd size before the EXIF chunk.
	odd := append(append(bytes.Clone(b[:at]), "ODD \x01\x00\x00\x00x\x00"...), b[at:]...)
	binary.LittleEndian.PutUint32(odd[4:], uint32(len(odd)-8))
	// Add the prefix that only a JPEG should have.
	prefixed := append(append(append(bytes.Clone(b[:at+4]), 0, 0, 0, 0), exifPrefix...), b[at+8:]...)
	binary.LittleEndian.PutUint32(prefixed[at+4:], uint32(len(prefixed)-at-8))
	binary.LittleEndian.PutUint32(prefixed[4:], uint32(len(prefixed)-8))
	for name, b := range map[string][]byte{"as made": b, "after odd chunk": odd, "prefixed": prefixed} {
		p, err := Decode(b, DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		// Stored: red, green / blue, white. Upright: blue, red / white, green.
		if got, want := rgb(p.Image, 0, 0), [3]int{0, 0, 255}; p.Width != 24 || p.Height != 40 || !near(got, want, 12) {
			t.Errorf("%s: %d×%d pixels with %v in the corner, want 24×40 with %v", name, p.Width, p.Height, got, want)
		}
	}
}

// TestEXIFHostile checks that photos with damaged EXIF blocks still decode.
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
	// In loop, the IFD is its own EXIF IFD. In many, the IFD claims to have 65,535 tags.
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
			t.Errorf("%s: got %d×%d pixels, want 32×48", name, p.Width, p.Height)
		}
	}
}

// TestOrientationVariants checks orientations that are stored in unusual ways.
func TestOrientationVariants(t *testing.T) {
	photo := asJPEG(t, corners(48, 32))
	block := exifBlock(binary.LittleEndian, 6, "")
	long := bytes.Clone(block)
	long[8+2+2] = 4 // the type, LONG
	twice := bytes.Clone(block)
	copy(twice[8+2+12:], twice[8+2:8+2+12]) // replaces the EXIF IFD
	twice[8+2+12+8] = 1
	for name, b := range map[string][]byte{
		"LONG": jpegWith(photo, long), "two tags": jpegWith(photo, twice), "after an empty block": jpegWith(jpegWith(photo, block), nil),
	} {
		p, err := Decode(b, DefaultLimits())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if p.Width != 32 || p.Height != 48 {
			t.Errorf("%s: got %d×%d pixels, want 32×48", name, p.Width, p.Height)
		}
	}
}
