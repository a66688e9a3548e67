package dataset

import (
	"bytes"
	"image"
	"image/color"
	stdjpeg "image/jpeg"
	"image/png"
	"math/bits"
	"testing"
)

// blobs returns an image that has the same pattern at every size.
func blobs(w, h, seed int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			u, v := 9*x/w, 8*y/h
			img.SetNRGBA(x, y, color.NRGBA{uint8(40 * ((u*u + v + seed) % 6)), uint8(35 * ((u*v + 3*seed) % 7)), uint8(20 * u), 255})
		}
	}
	return img
}

// squashed returns img resized to w×h RGB pixels.
func squashed(t *testing.T, img image.Image, w, h int) []byte {
	t.Helper()
	dst := make([]byte, 3*w*h)
	if err := Squash.Resize(dst, img, w, h); err != nil {
		t.Fatal(err)
	}
	return dst
}

func TestHash(t *testing.T) {
	hash := Hash(squashed(t, blobs(360, 320, 1), 224, 224), 224, 224)
	small := Hash(squashed(t, blobs(90, 80, 1), 96, 96), 96, 96)
	other := Hash(squashed(t, blobs(360, 320, 2), 224, 224), 224, 224)
	if n := bits.OnesCount64(hash ^ small); n > 2 {
		t.Errorf("a copy at a different size: %d bits differ, want at most 2", n)
	}
	if n := bits.OnesCount64(hash ^ other); n < 12 {
		t.Errorf("a different photo: %d bits differ, want at least 12", n)
	}
	if got := Hash(squashed(t, blobs(9, 8, 1), 9, 8), 9, 8); got == 0 {
		t.Error("a photo of the minimum size, 9×8, has hash 0")
	}
	rising := make([]byte, 3*9*8)
	for i := range rising {
		rising[i] = byte(i / 3 % 9)
	}
	if got := Hash(rising, 9, 8); got != ^uint64(0) {
		t.Errorf("rising: got %x, want all ones", got)
	}
	if got := Hash(make([]byte, 3*32*32), 32, 32); got != 0 {
		t.Errorf("black: got %x, want 0", got)
	}
	if got := Hash(make([]byte, 3*8*8), 8, 8); got != 0 {
		t.Errorf("too narrow: got %x, want 0", got)
	}
}

func TestThumbnail(t *testing.T) {
	var content bytes.Buffer
	if err := png.Encode(&content, blobs(900, 400, 1)); err != nil {
		t.Fatal(err)
	}
	f, err := Open(Item{Path: "a.png", Content: content.Bytes()}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	b, err := f.Thumbnail(96, Crop)
	if err != nil {
		t.Fatal(err)
	}
	img, err := stdjpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if size := img.Bounds().Size(); size != image.Pt(96, 96) || len(b) > 6000 {
		t.Errorf("got %v in %d bytes, want 96×96 in at most 6000 bytes", size, len(b))
	}
	// The thumbnail must show the center of the photo.
	r, g, bl, _ := img.At(48, 48).RGBA()
	wr, wg, wb, _ := blobs(900, 400, 1).At(450, 200).RGBA()
	for i, d := range []int{int(r>>8) - int(wr>>8), int(g>>8) - int(wg>>8), int(bl>>8) - int(wb>>8)} {
		if d < -40 || d > 40 {
			t.Errorf("channel %d of the center differs by %d, want at most 40", i, d)
		}
	}
	cut, err := Open(Item{Path: "cut.png", Content: content.Bytes()[:content.Len()/2]}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cut.Thumbnail(96, Crop); err == nil {
		t.Error("Thumbnail returned no error for a truncated photo")
	}
}
