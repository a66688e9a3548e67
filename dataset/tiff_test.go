package dataset

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/image/tiff"
)

// tiffTag is an entry of an image file directory. Text, and values that need more than four
// bytes, are stored after the directory.
type tiffTag struct {
	tag, kind uint16
	values    []uint32
	text      string
}

func short(tag uint16, values ...uint32) tiffTag { return tiffTag{tag, 3, values, ""} }
func long(tag uint16, values ...uint32) tiffTag  { return tiffTag{tag, 4, values, ""} }

// rgbTags are the tags of an uncompressed RGB image.
func rgbTags(w, h int) []tiffTag {
	return []tiffTag{
		long(256, uint32(w)), long(257, uint32(h)), short(258, 8, 8, 8), short(259, 1), short(262, 2),
		long(273, 8), short(277, 3), long(278, uint32(h)), long(279, uint32(3*w*h)),
	}
}

// makeTIFF returns a TIFF with the given directories. tagEXIF of the first directory points
// to the second. data begins at offset 8.
func makeTIFF(order binary.AppendByteOrder, data []byte, directories ...[]tiffTag) []byte {
	b := []byte("II")
	if order.String() == "BigEndian" {
		b = []byte("MM")
	}
	put := order.(binary.ByteOrder)
	b = order.AppendUint32(order.AppendUint16(b, 42), uint32(8+len(data)))
	b = append(b, data...)
	for i, tags := range directories {
		slices.SortFunc(tags, func(a, b tiffTag) int { return int(a.tag) - int(b.tag) })
		b = order.AppendUint16(b, uint16(len(tags)))
		start := len(b)
		b = append(b, make([]byte, 12*len(tags)+4)...)
		for j, t := range tags {
			var value []byte
			for _, v := range t.values {
				if t.kind == 3 {
					value = order.AppendUint16(value, uint16(v))
				} else {
					value = order.AppendUint32(value, v)
				}
			}
			count := max(len(t.values), len(t.text))
			value = append(value, t.text...)
			e := b[start+12*j:]
			put.PutUint16(e, t.tag)
			put.PutUint16(e[2:], t.kind)
			put.PutUint32(e[4:], uint32(count))
			if len(value) > 4 {
				put.PutUint32(e[8:], uint32(len(b)))
				b = append(b, value...)
			} else {
				copy(e[8:], value)
			}
		}
		for j, t := range tags {
			if t.tag == tagEXIF && i == 0 {
				put.PutUint32(b[start+12*j+8:], uint32(len(b)))
			}
		}
	}
	return b
}

// rgbData returns the pixels of an image as R, G, B.
func rgbData(img *image.NRGBA) []byte {
	var b []byte
	for i := 0; i < len(img.Pix); i += 4 {
		b = append(b, img.Pix[i:i+3]...)
	}
	return b
}

func TestTIFF(t *testing.T) {
	img := corners(40, 24)
	for _, order := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
		tags := append(rgbTags(40, 24), short(tagOrientation, 6), long(tagEXIF, 0))
		exif := []tiffTag{{tag: tagDateTimeOriginal, kind: 2, text: "2024:02:29 12:34:56\x00"}}
		p, err := Decode(makeTIFF(order, rgbData(img), tags, exif), DefaultLimits())
		if err != nil {
			t.Fatalf("%v: %v", order, err)
		}
		if p.Format != "tiff" || p.Width != 24 || p.Height != 40 || !p.Time.Equal(time.Date(2024, 2, 29, 12, 34, 56, 0, time.UTC)) {
			t.Errorf("%v: got %s of %d×%d pixels with time %v, want tiff of 24×40 pixels with the EXIF time", order, p.Format, p.Width, p.Height, p.Time)
		}
		// Stored: red, green / blue, white. Upright: blue, red / white, green.
		if got, want := rgb(p.Image, 0, 0), [3]int{0, 0, 255}; got != want {
			t.Errorf("%v: corner is %v, want %v", order, got, want)
		}
	}
	for name, src := range map[string]image.Image{"rgb": img, "gray": image.NewGray(img.Rect), "gray 16": image.NewGray16(img.Rect), "rgb 16": image.NewRGBA64(img.Rect), "palette": paletted(img)} {
		for _, compression := range []tiff.CompressionType{tiff.Uncompressed, tiff.Deflate} {
			var b bytes.Buffer
			if err := tiff.Encode(&b, src, &tiff.Options{Compression: compression, Predictor: true}); err != nil {
				t.Fatal(err)
			}
			p, err := Decode(b.Bytes(), DefaultLimits())
			if err != nil || !bytes.Equal(flat(p.Image), flat(src)) {
				t.Errorf("%s, compression %d: got error %v, want the same pixels", name, compression, err)
			}
		}
	}
}

// TestTIFFUnsupported checks that files are rejected if their pixels would be wrong.
func TestTIFFUnsupported(t *testing.T) {
	data := rgbData(gradient(6, 4))
	set := func(tags ...tiffTag) []byte {
		all := rgbTags(6, 4)
		for _, t := range tags {
			all = slices.DeleteFunc(all, func(old tiffTag) bool { return old.tag == t.tag })
			all = append(all, t)
		}
		return makeTIFF(binary.LittleEndian, data, all)
	}
	for name, tt := range map[string]struct {
		b     []byte
		want  error
		words string
	}{
		"preview":         {set(long(tagNewSubfileType, 1)), ErrFormat, "camera raw files are not supported; convert the photo to JPEG"},
		"DNG":             {set(tiffTag{tagDNGVersion, 1, nil, "\x01\x04\x00\x00"}), ErrFormat, "camera raw"},
		"CR2":             {makeTIFF(binary.LittleEndian, append([]byte("CR"), data...), rgbTags(6, 4)), ErrFormat, "camera raw"},
		"planes":          {set(short(tagPlanar, 2)), ErrFormat, "this kind of TIFF is not supported (separate color planes); convert it to JPEG or PNG"},
		"reversed bits":   {set(short(tagFillOrder, 2)), ErrFormat, "reversed bits"},
		"fax":             {set(short(tagCompression, 4)), ErrFormat, "fax"},
		"BigTIFF":         {[]byte("II+\x00\x08\x00\x00\x00"), ErrFormat, "BigTIFF is not supported; convert it to JPEG or PNG"},
		"JPEG inside":     {set(short(tagCompression, 7)), ErrFormat, "(compression value 7)"},
		"CMYK":            {set(short(262, 5)), ErrFormat, "color model"},
		"data elsewhere":  {set(long(273, 1000)), ErrDamaged, "too early"},
		"no directory":    {[]byte("II*\x00\xff\xff\x00\x00"), ErrDamaged, ""},
		"too large strip": {set(long(256, 30000), long(257, 1600), long(278, 1600), short(tagCompression, 8)), ErrTooLarge, "decoding 30000×1600 pixels takes"},
		"header only":     {[]byte("MM\x00*"), ErrDamaged, "too early"},
	} {
		if _, err := Decode(tt.b, DefaultLimits()); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: got %v, want an error that wraps %q with %q", name, err, tt.want, tt.words)
		}
	}
	if _, err := Decode(set(short(tagPlanar, 1)), DefaultLimits()); err != nil {
		t.Error(err)
	}
}

// FuzzTIFFDirectory checks that tiffDirectory returns no more tags than fit into the file.
func FuzzTIFFDirectory(f *testing.F) {
	f.Add(makeTIFF(binary.LittleEndian, nil, rgbTags(6, 4)), uint32(8), false)
	f.Add(makeTIFF(binary.BigEndian, nil, rgbTags(6, 4)), uint32(8), true)
	f.Fuzz(func(t *testing.T, b []byte, at uint32, big bool) {
		var order binary.ByteOrder = binary.LittleEndian
		if big {
			order = binary.BigEndian
		}
		if tags := tiffDirectory(b, order, at); 12*len(tags) > len(b) {
			t.Errorf("got %d tags from %d bytes", len(tags), len(b))
		}
	})
}
