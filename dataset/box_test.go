package dataset

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"image"
	"math"
	"testing"
)

func TestNewBox(t *testing.T) {
	nan, inf := math.NaN(), math.Inf(1)
	for _, test := range []struct {
		edges [4]float64
		want  Box
		err   error
	}{
		{[4]float64{0.1, 0.25, 0.5, 1}, Box{1000, 2500, 5000, 10000}, nil},
		{[4]float64{-1, -inf, 2, inf}, Box{0, 0, 10000, 10000}, nil},
		{[4]float64{0.12344, 0.12346, 0.2, 0.3}, Box{1234, 1235, 2000, 3000}, nil},
		{[4]float64{0.5, 0.99999, 0.50001, 1}, Box{5000, 9999, 5001, 10000}, nil},
		{[4]float64{0.5, 0, 0.5, 1}, Box{}, ErrBox},
		{[4]float64{0, 0.6, 1, 0.5}, Box{}, ErrBox},
		{[4]float64{1.1, 0, 1.2, 1}, Box{}, ErrBox},
		{[4]float64{nan, 0, 1, 1}, Box{}, ErrBox},
		{[4]float64{0, 0, 1, nan}, Box{}, ErrBox},
	} {
		e := test.edges
		got, err := NewBox(e[0], e[1], e[2], e[3])
		if got != test.want || !errors.Is(err, test.err) {
			t.Errorf("%v: got %v, %v, want %v, %v", e, [4]uint16(got), err, [4]uint16(test.want), test.err)
		}
		if err := got.Check(); err != nil {
			t.Errorf("%v: %v", e, err)
		}
	}
	for _, bad := range []Box{{1, 0, 1, 2}, {0, 3, 1, 2}, {0, 0, 10001, 1}} {
		if err := bad.Check(); !errors.Is(err, ErrBox) {
			t.Errorf("%v: got error %v, want %v", [4]uint16(bad), err, ErrBox)
		}
	}
}

func TestBoxJSON(t *testing.T) {
	for k := range uint16(9999) {
		want := Box{k, k / 2, k + 1, 10000}
		text, err := json.Marshal(want)
		var got Box
		if err == nil {
			err = json.Unmarshal(text, &got)
		}
		if err != nil || got != want {
			t.Fatalf("%s: got %v, %v, want %v", text, [4]uint16(got), err, [4]uint16(want))
		}
	}
	for _, bad := range []string{`[0,0,1]`, `"box"`, `[0,0,1,1,1]`, `[0.5,0,0.4,1]`} {
		if err := json.Unmarshal([]byte(bad), new(Box)); !errors.Is(err, ErrBox) {
			t.Errorf("%s: got error %v, want %v", bad, err, ErrBox)
		}
	}
}

func TestSquare(t *testing.T) {
	for _, test := range []struct {
		box  Box
		w, h int
		want image.Rectangle
	}{
		{Box{4000, 4500, 6000, 5500}, 1000, 1000, image.Rect(390, 390, 610, 610)},
		{Box{0, 0, 2000, 1000}, 1000, 1000, image.Rect(0, 0, 220, 220)},
		{Box{9000, 9500, 10000, 10000}, 1000, 1000, image.Rect(890, 890, 1000, 1000)},
		{Box{1000, 0, 9000, 10000}, 1000, 500, image.Rect(60, 0, 940, 500)},
		{Box{0, 0, 10000, 10000}, 30, 40, image.Rect(0, 0, 30, 40)},
		{Box{5000, 5000, 5001, 5001}, 1, 1, image.Rect(0, 0, 1, 1)},
		{Box{9990, 9990, 10000, 10000}, 20, 20, image.Rect(19, 19, 20, 20)},
		{Box{}, 30, 40, image.Rect(0, 0, 30, 40)},
	} {
		if got := test.box.Square(test.w, test.h); got != test.want {
			t.Errorf("%v in %d×%d: got %v, want %v", test.box, test.w, test.h, got, test.want)
		}
	}
}

// TestReadBox checks that a box in a file gives the same pixels as resizing the square cut out of the
// decoded photo, in every orientation.
func TestReadBox(t *testing.T) {
	box := Box{2000, 1000, 7000, 4000}
	picture := image.NewNRGBA(image.Rect(0, 0, 70, 50))
	for i := range picture.Pix {
		picture.Pix[i] = byte(i*i>>5) | 255*byte(i%4/3)
	}
	for orientation := range 8 {
		content := pngWith(asPNG(t, picture), exifBlock(binary.BigEndian, orientation+1, ""))
		f, err := Open(Item{Path: "a.png", Content: content, Box: box}, DefaultLimits())
		if err != nil {
			t.Fatal(err)
		}
		photo, err := f.Decode()
		if err != nil {
			t.Fatal(err)
		}
		cut := photo.Image.(*image.NRGBA).SubImage(box.Square(photo.Width, photo.Height))
		for _, mode := range []Resize{Crop, Squash, Pad} {
			var got [4][24 * 24 * 3]byte
			r := Resizer{Mode: mode, Width: 24, Height: 24}
			err := errors.Join(mode.Resize(got[0][:], cut, 24, 24), r.Read(got[1][:], f), r.ResizeBox(got[2][:], photo.Image, box), r.Read(got[3][:], f.Within(Box{})))
			if err != nil {
				t.Fatal(err)
			}
			if got[1] != got[0] || got[2] != got[0] || got[3] == got[0] {
				t.Errorf("orientation %d, %s: equal from the file %v, from the image %v, from the whole photo %v, want true, true, false",
					orientation+1, mode, got[1] == got[0], got[2] == got[0], got[3] == got[0])
			}
		}
	}
}
