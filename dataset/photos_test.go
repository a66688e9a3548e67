package dataset

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/image/bmp"
)

// This file contains helpers that create photos.

// gradient returns an image in which no two of the first 256×256 pixels have the same
// color.
func gradient(w, h int) *image.NRGBA {
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, color.NRGBA{uint8(x), uint8(y), uint8(x*7 + y*13), 255})
		}
	}
	return img
}

// corners returns an image of four quadrants: red and green above blue and white.
func corners(w, h int) *image.NRGBA {
	quadrants := []color.NRGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 255, 255}}
	img := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetNRGBA(x, y, quadrants[2*x/w+2*(2*y/h)])
		}
	}
	return img
}

func asPNG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asBMP(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := bmp.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asGIF(t testing.TB, img image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := gif.Encode(&b, img, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// paletted converts img to a palette of 216 colors, including the colors of corners.
func paletted(img image.Image) *image.Paletted {
	p := image.NewPaletted(img.Bounds(), palette.WebSafe)
	for y := range p.Rect.Dy() {
		for x := range p.Rect.Dx() {
			p.Set(x, y, img.At(x, y))
		}
	}
	return p
}

// exifBlock returns a TIFF block with an orientation and a time.
func exifBlock(order binary.AppendByteOrder, orientation int, when string) []byte {
	mark := "MM"
	if order.String() == "LittleEndian" {
		mark = "II"
	}
	b := order.AppendUint32(order.AppendUint16([]byte(mark), 42), 8)
	entry := func(tag, typ uint16, count, value uint32) {
		b = order.AppendUint32(order.AppendUint16(order.AppendUint16(b, tag), typ), count)
		if typ == 3 { // SHORT, left-aligned
			b = order.AppendUint16(order.AppendUint16(b, uint16(value)), 0)
		} else {
			b = order.AppendUint32(b, value)
		}
	}
	b = order.AppendUint16(b, 2)
	entry(0x0112, 3, 1, uint32(orientation))
	entry(0x8769, 4, 1, 8+2+2*12+4) // the EXIF IFD follows
	b = order.AppendUint32(b, 0)
	b = order.AppendUint16(b, 1)
	entry(0x9003, 2, uint32(len(when)+1), uint32(len(b)+12+4))
	b = order.AppendUint32(b, 0)
	return append(append(b, when...), 0)
}

// jpegWith returns the JPEG file b with an EXIF block.
func jpegWith(b, block []byte) []byte {
	segment := append(append([]byte{0xff, 0xe1, 0, 0}, exifPrefix...), block...)
	binary.BigEndian.PutUint16(segment[2:], uint16(len(segment)-2))
	return append(append(bytes.Clone(b[:2]), segment...), b[2:]...)
}

// makeChunk returns a PNG chunk.
func makeChunk(name string, content []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(content)))
	b = append(append(b, name...), content...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// pngWith returns the PNG file b with an EXIF block after its header.
func pngWith(b, block []byte) []byte {
	const header = 8 + 25
	return append(append(bytes.Clone(b[:header]), makeChunk("eXIf", block)...), b[header:]...)
}

// testdata returns the content of a file in testdata.
func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// write writes files, a map from names to contents, to a new folder and returns the folder's
// path.
func write(t testing.TB, files map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	for name, b := range files {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}
