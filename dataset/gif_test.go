package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/color"
	"image/gif"
	"testing"
)

// makeGIF returns a GIF with a red frame followed by a blue frame, both with the given bounds.
// The header says that the canvas has w×h pixels.
func makeGIF(t testing.TB, frame image.Rectangle, w, h int) []byte {
	t.Helper()
	colors := color.Palette{color.RGBA{255, 0, 0, 255}, color.RGBA{0, 0, 255, 255}}
	first, second := image.NewPaletted(frame, colors), image.NewPaletted(frame, colors)
	for i := range second.Pix {
		second.Pix[i] = 1
	}
	var b bytes.Buffer
	err := gif.EncodeAll(&b, &gif.GIF{
		Image:  []*image.Paletted{first, second},
		Delay:  []int{1, 1},
		Config: image.Config{ColorModel: colors, Width: frame.Max.X, Height: frame.Max.Y},
	})
	if err != nil {
		t.Fatal(err)
	}
	binary.LittleEndian.PutUint16(b.Bytes()[6:], uint16(w))
	binary.LittleEndian.PutUint16(b.Bytes()[8:], uint16(h))
	return b.Bytes()
}

// TestGIFFrame decodes GIFs with a first frame that does not match the canvas. Uncovered pixels
// must be white, and a canvas that is too small must be enlarged.
func TestGIFFrame(t *testing.T) {
	for _, tt := range []struct {
		frame        image.Rectangle
		w, h         int
		wantW, wantH int
	}{
		{image.Rect(0, 0, 6, 4), 6, 4, 6, 4},
		{image.Rect(2, 1, 4, 3), 6, 4, 6, 4},
		{image.Rect(0, 0, 6, 4), 5, 4, 6, 4},
		{image.Rect(2, 1, 8, 5), 6, 4, 8, 5},
		{image.Rect(2, 1, 4, 9), 6, 4, 6, 9},
		{image.Rect(3, 3, 5, 5), 2, 2, 5, 5},
		{image.Rect(0, 0, 6, 4), 0, 0, 6, 4},
	} {
		p, err := Decode(makeGIF(t, tt.frame, tt.w, tt.h), DefaultLimits())
		if err != nil {
			t.Errorf("frame %v on %d×%d: %v", tt.frame, tt.w, tt.h, err)
			continue
		}
		if p.Width != tt.wantW || p.Height != tt.wantH {
			t.Errorf("frame %v on %d×%d: got %d×%d pixels, want %d×%d", tt.frame, tt.w, tt.h, p.Width, p.Height, tt.wantW, tt.wantH)
			continue
		}
		for y := range p.Height {
			for x := range p.Width {
				want := [3]int{255, 255, 255}
				if image.Pt(x, y).In(tt.frame) {
					want = [3]int{255, 0, 0}
				}
				if got := rgb(p.Image, x, y); got != want {
					t.Fatalf("frame %v on %d×%d: pixel (%d, %d) is %v, want %v", tt.frame, tt.w, tt.h, x, y, got, want)
				}
			}
		}
	}
}

func TestGIFHostile(t *testing.T) {
	b := makeGIF(t, image.Rect(0, 0, 3, 2), 3, 2)
	at := bytes.IndexByte(b[13:], 0x2c) + 13
	binary.LittleEndian.PutUint16(b[at+1:], 0xffff) // left
	if _, err := Decode(b, DefaultLimits()); !errors.Is(err, ErrDamaged) {
		t.Errorf("a frame beyond 65,535 pixels: got %v, want ErrDamaged", err)
	}
	b = makeGIF(t, image.Rect(0, 0, 3, 2), 3, 2)
	binary.LittleEndian.PutUint16(b[at+5:], 0xffff) // width
	binary.LittleEndian.PutUint16(b[at+7:], 0xffff) // height
	if _, err := Decode(b, DefaultLimits()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a frame of 65,535×65,535 pixels: got %v, want ErrTooLarge", err)
	}
}
