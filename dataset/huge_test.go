package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	stdjpeg "image/jpeg"
	"runtime"
	"testing"
)

// hugeJPEG returns a gray JPEG of 8·w × 8·h pixels. It patches the size of a small one and
// repeats the code of a block that equals the block before it.
func hugeJPEG(t testing.TB, w, h int) []byte {
	t.Helper()
	small := image.NewGray(image.Rect(0, 0, 8, 8))
	for i := range small.Pix {
		small.Pix[i] = 200
	}
	var file bytes.Buffer
	if err := stdjpeg.Encode(&file, small, nil); err != nil {
		t.Fatal(err)
	}
	b := file.Bytes()
	sof, sos := bytes.Index(b, []byte{0xff, 0xc0}), bytes.Index(b, []byte{0xff, 0xda})
	if sof < 0 || sos < 0 {
		t.Fatalf("frame header at %d, scan header at %d", sof, sos)
	}
	binary.BigEndian.PutUint16(b[sof+5:], uint16(8*h))
	binary.BigEndian.PutUint16(b[sof+7:], uint16(8*w))
	out := b[:sos+2+int(binary.BigEndian.Uint16(b[sos+2:]))]
	// In the standard tables, 00 codes a DC difference of 0, and 1010 the end of a block. So four
	// blocks take three bytes, and the photo is as gray as its start, 128.
	for range (w*h + 3) / 4 {
		out = append(out, 0b00101000, 0b10100010, 0b10001010)
	}
	return append(out, 0xff, 0xd9)
}

// TestProgressivePhotoIsFreed checks that a Resizer frees the memory of a large progressive JPEG,
// which is more than 128 MB, before it returns. Otherwise several would add up.
func TestProgressivePhotoIsFreed(t *testing.T) {
	b := hugeJPEG(t, 1000, 1000)
	b[bytes.Index(b, []byte{0xff, 0xc0})+1] = 0xc2
	sos := bytes.Index(b, []byte{0xff, 0xda})
	data := sos + 2 + int(binary.BigEndian.Uint16(b[sos+2:]))
	b[data-2] = 0 // the scan has only the blocks' averages, as codes 00
	clear(b[data : len(b)-2])
	f, err := Open(Item{Path: "progressive.jpg", Content: b}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := (&Resizer{Mode: Crop, Width: 32, Height: 32}).Read(make([]byte, 3*32*32), f); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if n := after.TotalAlloc - before.TotalAlloc; n < 128<<20 {
		t.Errorf("the photo took %d bytes, want more than 128 MiB", n)
	}
	if n := int64(after.HeapAlloc) - int64(before.HeapAlloc); n > 8<<20 {
		t.Errorf("%d bytes are still in use, want at most 8 MiB", n)
	}
}

// TestHugePhoto reads a JPEG of 200 megapixels at reduced size, within the memory that Limits
// documents, and checks that nothing decodes it at full size.
func TestHugePhoto(t *testing.T) {
	f, err := Open(Item{Path: "huge.jpg", Content: hugeJPEG(t, 2040, 1530)}, DefaultLimits())
	if err != nil {
		t.Fatal(err)
	}
	r := Resizer{Mode: Crop, Width: 224, Height: 224}
	rgb := make([]byte, 3*224*224)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if err := r.Read(rgb, f); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	for i, v := range rgb {
		if v != 128 {
			t.Fatalf("byte %d: got %d, want 128", i, v)
		}
	}
	if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(DefaultLimits().memory()); got > limit {
		t.Errorf("reading took %d bytes, the limit is %d", got, limit)
	}

	const side = 4200 // so large that the photo must be decoded at full size
	r = Resizer{Mode: Squash, Width: side, Height: side}
	if err := r.Read(make([]byte, 3*side*side), f); !errors.Is(err, ErrTooLarge) {
		t.Errorf("a large output: got %v, want %v", err, ErrTooLarge)
	}
	if _, err := f.Decode(); !errors.Is(err, ErrTooLarge) {
		t.Errorf("at full size: got %v, want %v", err, ErrTooLarge)
	}
	if _, err := Open(Item{Path: "huge.jpg", Content: hugeJPEG(t, 2040, 1540)}, DefaultLimits()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("201 megapixels: got %v, want %v", err, ErrTooLarge)
	}
}
