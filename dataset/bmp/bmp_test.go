package bmp

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"strings"
	"testing"

	xbmp "golang.org/x/image/bmp"
)

// file describes a BMP file to write.
type file struct {
	header      int // bytes
	bits        int
	compression uint32
	masks       [4]uint32
	after       int // number of masks that follow the header
	palette     []color.RGBA
	entry       int // bytes per palette entry
	topDown     bool
	gap         int // bytes between palette and pixels
	w, h        int
	pixels      []byte
}

// encode returns f as the bytes of a BMP file.
func (f file) encode() []byte {
	le := binary.LittleEndian
	info := make([]byte, f.header)
	le.PutUint32(info, uint32(f.header))
	if f.header == headerOS2 {
		le.PutUint16(info[4:], uint16(f.w))
		le.PutUint16(info[6:], uint16(f.h))
		le.PutUint16(info[8:], 1)
		le.PutUint16(info[10:], uint16(f.bits))
	} else {
		h := f.h
		if f.topDown {
			h = -h
		}
		le.PutUint32(info[4:], uint32(f.w))
		le.PutUint32(info[8:], uint32(h))
		le.PutUint16(info[12:], 1)
		le.PutUint16(info[14:], uint16(f.bits))
		if f.header >= 36 {
			le.PutUint32(info[16:], f.compression)
			le.PutUint32(info[32:], uint32(len(f.palette)))
		}
		for i := 0; i < 4 && f.header >= 44+4*i && f.header != headerOS22; i++ {
			le.PutUint32(info[40+4*i:], f.masks[i])
		}
	}
	for i := range f.after {
		info = le.AppendUint32(info, f.masks[i])
	}
	for _, c := range f.palette {
		info = append(info, []byte{c.B, c.G, c.R, 0}[:f.entry]...)
	}
	info = append(info, make([]byte, f.gap)...)
	b := make([]byte, fileHeader)
	copy(b, "BM")
	le.PutUint32(b[2:], uint32(fileHeader+len(info)+len(f.pixels)))
	le.PutUint32(b[10:], uint32(fileHeader+len(info)))
	return append(append(b, info...), f.pixels...)
}

// pack returns the rows of w×h pixels, bottom up or top down. Each pixel holds the low bits of
// the number that at returns.
func pack(w, h, bits int, topDown bool, at func(x, y int) uint32) []byte {
	var b []byte
	for i := range h {
		y := h - 1 - i
		if topDown {
			y = i
		}
		start := len(b)
		var acc uint64
		n := 0
		for x := range w {
			if bits >= 8 {
				b = append(b, binary.LittleEndian.AppendUint32(nil, at(x, y))[:bits/8]...)
				continue
			}
			acc, n = acc<<bits|uint64(at(x, y)), n+bits
			if n == 8 {
				b, acc, n = append(b, byte(acc)), 0, 0
			}
		}
		if n > 0 {
			b = append(b, byte(acc<<(8-n)))
		}
		for (len(b)-start)%4 > 0 {
			b = append(b, 0)
		}
	}
	return b
}

// pixelColor returns the color of pixel (x, y) of the test images.
func pixelColor(x, y int) color.NRGBA {
	return color.NRGBA{uint8(x * 17), uint8(y * 23), uint8(x*5 + y*7), 255}
}

func bgr(x, y int) uint32 {
	c := pixelColor(x, y)
	return uint32(c.R)<<16 | uint32(c.G)<<8 | uint32(c.B)
}

// expand reduces v to the given number of bits and scales the result to 0 to 255.
func expand(v uint8, bits int) uint8 {
	maxValue := 1<<bits - 1
	return uint8((int(v>>(8-bits))*255 + maxValue/2) / maxValue)
}

// reduced returns c with its channels reduced to the given numbers of bits.
func reduced(c color.NRGBA, r, g, b int) color.NRGBA {
	return color.NRGBA{expand(c.R, r), expand(c.G, g), expand(c.B, b), 255}
}

var standardMasks = [4]uint32{0xff0000, 0xff00, 0xff, 0xff000000}

// TestColors decodes files without a palette (golang/go#54368, golang/go#58005).
func TestColors(t *testing.T) {
	const w, h = 13, 11
	rgb555 := func(x, y int) uint32 {
		c := pixelColor(x, y)
		return uint32(c.R)>>3<<10 | uint32(c.G)>>3<<5 | uint32(c.B)>>3
	}
	rgb565 := func(x, y int) uint32 {
		c := pixelColor(x, y)
		return uint32(c.R)>>3<<11 | uint32(c.G)>>2<<5 | uint32(c.B)>>3
	}
	rgb10 := func(x, y int) uint32 { // 10 bits per channel
		c := pixelColor(x, y)
		return (uint32(c.R)*1023/255)<<20 | (uint32(c.G)*1023/255)<<10 | uint32(c.B)*1023/255
	}
	opaque := func(x, y int) uint32 { return 0xff000000 | bgr(x, y) }
	half := func(x, y int) uint32 { return 0x80000000 | bgr(x, y) }
	alpha := func(a uint8) func(color.NRGBA) color.NRGBA {
		return func(c color.NRGBA) color.NRGBA { c.A = a; return c }
	}
	same := func(c color.NRGBA) color.NRGBA { return c }
	to555 := func(c color.NRGBA) color.NRGBA { return reduced(c, 5, 5, 5) }
	to565 := func(c color.NRGBA) color.NRGBA { return reduced(c, 5, 6, 5) }
	noAlpha := [4]uint32{0xff0000, 0xff00, 0xff, 0}
	for name, tt := range map[string]struct {
		f    file
		at   func(x, y int) uint32
		want func(color.NRGBA) color.NRGBA
	}{
		"24 bits":                         {file{header: headerV1, bits: 24}, bgr, same},
		"24 bits, OS/2":                   {file{header: headerOS2, bits: 24}, bgr, same},
		"24 bits, OS/2 2":                 {file{header: headerOS22, bits: 24}, bgr, same},
		"24 bits, short OS/2 2":           {file{header: 16, bits: 24}, bgr, same},
		"24 bits, top down":               {file{header: headerV1, bits: 24, topDown: true}, bgr, same},
		"24 bits, gap of 2":               {file{header: headerV1, bits: 24, gap: 2}, bgr, same},
		"24 bits, ICC profile":            {file{header: headerV5, bits: 24, gap: 100}, bgr, same},
		"24 bits, unused palette":         {file{header: headerV1, bits: 24, palette: make([]color.RGBA, 5), entry: 4}, bgr, same},
		"32 bits":                         {file{header: headerV1, bits: 32}, half, same},
		"32 bits, V4, no alpha":           {file{header: headerV4, bits: 32}, half, same},
		"32 bits, V4, alpha 0":            {file{header: headerV4, bits: 32, masks: standardMasks}, bgr, same},
		"32 bits, V5, alpha 255":          {file{header: headerV5, bits: 32, masks: standardMasks}, opaque, same},
		"32 bits, V5, alpha 128":          {file{header: headerV5, bits: 32, masks: standardMasks}, half, alpha(128)},
		"32 bits, fields after V1":        {file{header: headerV1, bits: 32, compression: 3, after: 3, masks: noAlpha}, half, same},
		"32 bits, alpha fields after V1":  {file{header: headerV1, bits: 32, compression: 6, after: 4, masks: standardMasks}, half, alpha(128)},
		"32 bits, fields in V2":           {file{header: headerV2, bits: 32, compression: 3, masks: standardMasks}, half, same},
		"32 bits, fields in V3":           {file{header: headerV3, bits: 32, compression: 3, masks: standardMasks}, half, alpha(128)},
		"32 bits, fields in V4, alpha 0":  {file{header: headerV4, bits: 32, compression: 3, masks: standardMasks}, bgr, same},
		"32 bits, fields in V5, no alpha": {file{header: headerV5, bits: 32, compression: 3, masks: noAlpha}, half, same},
		"32 bits, 10 bits per channel":    {file{header: headerV1, bits: 32, compression: 3, after: 3, masks: [4]uint32{1023 << 20, 1023 << 10, 1023}}, rgb10, same},
		"16 bits":                         {file{header: headerV1, bits: 16}, rgb555, to555},
		"16 bits, 565":                    {file{header: headerV1, bits: 16, compression: 3, after: 3, masks: [4]uint32{0xf800, 0x7e0, 0x1f}}, rgb565, to565},
		"16 bits, 565 in V5, top down":    {file{header: headerV5, bits: 16, compression: 3, masks: [4]uint32{0xf800, 0x7e0, 0x1f}, topDown: true}, rgb565, to565},
	} {
		f := tt.f
		f.w, f.h, f.pixels = w, h, pack(w, h, f.bits, f.topDown, tt.at)
		b := f.encode()
		img, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for y := range h {
			for x := range w {
				if got, want := img.(*image.NRGBA).NRGBAAt(x, y), tt.want(pixelColor(x, y)); got != want {
					t.Fatalf("%s: pixel (%d, %d) is %v, want %v", name, x, y, got, want)
				}
			}
		}
		if c, err := DecodeConfig(b); err != nil || c.Width != w || c.Height != h || c.ColorModel != color.NRGBAModel {
			t.Errorf("%s: got config %+v, error %v", name, c, err)
		}
	}
}

// TestPalette decodes files with 1 to 8 bits per pixel.
func TestPalette(t *testing.T) {
	const w, h = 21, 5
	palette := func(n int) []color.RGBA {
		p := make([]color.RGBA, n)
		for i := range p {
			p[i] = color.RGBA{uint8(i * 3), uint8(255 - i), uint8(i * 11), 255}
		}
		return p
	}
	for name, f := range map[string]file{
		"1 bit": {header: headerV1, bits: 1, palette: palette(2), entry: 4}, "2 bits": {header: headerV1, bits: 2, palette: palette(4), entry: 4},
		"4 bits": {header: headerV1, bits: 4, palette: palette(16), entry: 4}, "8 bits": {header: headerV1, bits: 8, palette: palette(256), entry: 4},
		"8 bits, OS/2": {header: headerOS2, bits: 8, palette: palette(256), entry: 3}, "1 bit, OS/2": {header: headerOS2, bits: 1, palette: palette(2), entry: 3},
		"4 bits, OS/2 2":                    {header: headerOS22, bits: 4, palette: palette(16), entry: 4},
		"4 bits, OS/2 2, entries of 3":      {header: headerOS22, bits: 4, palette: palette(16), entry: 3},
		"8 bits, V5, top down, gap":         {header: headerV5, bits: 8, palette: palette(256), entry: 4, topDown: true, gap: 7},
		"8 bits, 100 colors":                {header: headerV1, bits: 8, palette: palette(100), entry: 4},
		"4 bits, more colors than usable":   {header: headerV1, bits: 4, palette: palette(300), entry: 4},
		"8 bits, OS/2, pixels over palette": {header: headerOS2, bits: 8, palette: palette(60), entry: 3},
	} {
		f.w, f.h = w, h
		index := func(x, y int) uint32 { return uint32(x*7+y*31) & (1<<f.bits - 1) }
		f.pixels = pack(w, h, f.bits, f.topDown, index)
		img, err := Decode(f.encode())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for y := range h {
			for x := range w {
				want := color.RGBA{A: 255} // beyond the palette
				if i := int(index(x, y)); i < len(f.palette) {
					want = f.palette[i]
				}
				if got := img.At(x, y); got != want {
					t.Fatalf("%s: pixel (%d, %d) is %v, want %v", name, x, y, got, want)
				}
			}
		}
	}
}

// TestRuns decodes run-length encoded files, in which the rows are stored from the bottom up.
func TestRuns(t *testing.T) {
	for _, tt := range []struct {
		name   string
		bits   int
		pixels string
		want   []string // rows of the image
	}{
		{"runs", 8, "\x04\x01\x00\x00\x02\x02\x02\x03\x00\x01", []string{"2233", "1111"}},
		{"pixels", 8, "\x00\x04\x01\x02\x03\x04\x00\x00\x00\x03\x05\x06\x07\x00\x01\x08\x00\x01", []string{"5678", "1234"}},
		{"end of the bitmap", 8, "\x02\x01\x00\x01", []string{"0000", "1100"}},
		{"delta", 8, "\x00\x02\x02\x01\x02\x03\x00\x01", []string{"0033", "0000"}},
		{"too long", 8, "\xff\x01\x00\x00\x00\x05\x02\x02\x02\x02\x02\x00\x00\x01", []string{"2222", "1111"}},
		{"no end code", 8, "\x04\x01\x00\x00\x04\x02", []string{"2222", "1111"}},
		{"too many rows", 8, "\x04\x01\x00\x00\x04\x02\x00\x00\x04\x03", []string{"2222", "1111"}},
		{"4-bit runs", 4, "\x03\x12\x01\x30\x00\x00\x04\x45\x00\x01", []string{"4545", "1213"}},
		{"4-bit pixels", 4, "\x00\x03\x12\x30\x01\x40\x00\x00\x00\x04\x56\x78\x00\x01", []string{"5678", "1234"}},
		{"4-bit odd pixels", 4, "\x00\x05\x12\x34\x50\x00\x00\x00\x00\x04\x56\x78\x00\x01", []string{"5678", "1234"}},
	} {
		f := file{header: headerV1, bits: tt.bits, compression: map[int]uint32{4: compressRLE4, 8: compressRLE8}[tt.bits], w: 4, h: 2, pixels: []byte(tt.pixels), entry: 4}
		for i := range 1 << tt.bits {
			f.palette = append(f.palette, color.RGBA{R: uint8(i), A: 255})
		}
		img, err := Decode(f.encode())
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		var got []string
		for y := range 2 {
			var row strings.Builder
			for x := range 4 {
				fmt.Fprintf(&row, "%x", img.(*image.Paletted).ColorIndexAt(x, y))
			}
			got = append(got, row.String())
		}
		if fmt.Sprint(got) != fmt.Sprint(tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, got, tt.want)
		}
		for n := range len(tt.pixels) - 2 {
			f.pixels = []byte(tt.pixels[:n])
			if _, err := Decode(f.encode()); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut to %d bytes: got %v, want io.ErrUnexpectedEOF", tt.name, n, err)
			}
		}
	}
}

func TestErrors(t *testing.T) {
	good := file{header: headerV1, bits: 24, w: 5, h: 4, pixels: pack(5, 4, 24, false, bgr)}
	change := func(change func(*file)) []byte {
		f := good
		change(&f)
		return f.encode()
	}
	b := good.encode()
	for name, tt := range map[string]struct {
		b    []byte
		want error
	}{
		"empty":                {nil, io.ErrUnexpectedEOF},
		"text":                 {[]byte("a text that is long enough"), ErrFormat},
		"no pixels":            {b[:54], io.ErrUnexpectedEOF},
		"half":                 {b[:len(b)/2], io.ErrUnexpectedEOF},
		"half a header":        {b[:30], io.ErrUnexpectedEOF},
		"offset":               {append(bytes.Clone(b[:10]), append([]byte{0, 0, 0, 1}, b[14:]...)...), io.ErrUnexpectedEOF},
		"width 0":              {change(func(f *file) { f.w = 0 }), ErrFormat},
		"width −1":             {change(func(f *file) { f.w = -1 }), ErrFormat},
		"height 0":             {change(func(f *file) { f.h = 0 }), ErrFormat},
		"height −2³¹":          {change(func(f *file) { f.h = -1 << 31 }), ErrFormat},
		"3 bits":               {change(func(f *file) { f.bits = 3 }), ErrUnsupported},
		"header of 100":        {change(func(f *file) { f.header = 100 }), ErrUnsupported},
		"JPEG inside":          {change(func(f *file) { f.compression = 4 }), ErrUnsupported},
		"runs of 24 bits":      {change(func(f *file) { f.compression = 1 }), ErrUnsupported},
		"Huffman":              {change(func(f *file) { f.header, f.bits, f.compression = headerOS22, 1, 3 }), ErrUnsupported},
		"fields without masks": {change(func(f *file) { f.bits, f.compression, f.after, f.pixels = 32, 3, 3, make([]byte, 80) }), ErrFormat},
		"fields cut":           {file{header: headerV1, bits: 32, compression: 3, w: 1, h: 1, pixels: []byte{0, 0, 255, 0}}.encode(), io.ErrUnexpectedEOF},
		"palette cut":          {file{header: headerV1, bits: 8, w: 1, h: 1, pixels: []byte{0}}.encode(), io.ErrUnexpectedEOF},
		"huge":                 {change(func(f *file) { f.w, f.h = 1<<31-1, 1<<31-1 }), io.ErrUnexpectedEOF},
	} {
		img, err := Decode(tt.b)
		if !errors.Is(err, tt.want) || img != nil {
			t.Errorf("%s: got %v, want %v", name, err, tt.want)
		}
	}
	for n := range b {
		_, err := Decode(b[:n])
		if padding := 1; n < len(b)-padding && !errors.Is(err, io.ErrUnexpectedEOF) || n >= len(b)-padding && err != nil {
			t.Errorf("cut to %d of %d bytes: got %v", n, len(b), err)
		}
	}
	b[10] = 0 // the offset
	if _, err := Decode(b); err != nil {
		t.Errorf("offset 0: %v", err)
	}
}

// FuzzDecode compares the results with golang.org/x/image/bmp for the files that x/image
// decodes.
func FuzzDecode(f *testing.F) {
	for _, s := range []file{
		{header: headerV1, bits: 24, w: 5, h: 4, pixels: pack(5, 4, 24, false, bgr)},
		{header: headerV5, bits: 32, compression: 3, masks: standardMasks, w: 3, h: 4, pixels: pack(3, 4, 32, true, bgr), topDown: true},
		{header: headerV1, bits: 16, compression: 3, after: 3, masks: [4]uint32{0xf800, 0x7e0, 0x1f}, w: 3, h: 2, pixels: make([]byte, 16)},
		{header: headerOS2, bits: 4, palette: make([]color.RGBA, 16), entry: 3, w: 3, h: 2, pixels: make([]byte, 8)},
		{header: headerV1, bits: 8, compression: 1, palette: make([]color.RGBA, 256), entry: 4, w: 4, h: 2, pixels: []byte("\x00\x04\x01\x02\x03\x04\x00\x00\x00\x02\x02\x01\x05\x06\x00\x01")},
		{header: headerV1, bits: 4, compression: 2, palette: make([]color.RGBA, 16), entry: 4, w: 4, h: 2, pixels: []byte("\x00\x03\x12\x30\x01\x40\x00\x00\x04\x56\x00\x01")},
	} {
		f.Add(s.encode())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		config, err := DecodeConfig(b)
		if err != nil || int64(config.Width)*int64(config.Height) > 1<<18 {
			return
		}
		img, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("error %v wraps none of the documented errors", err)
			}
			return
		}
		if img.Bounds() != image.Rect(0, 0, config.Width, config.Height) {
			t.Fatalf("bounds %v, want %d×%d", img.Bounds(), config.Width, config.Height)
		}
		want, err := xbmp.Decode(bytes.NewReader(b))
		if err != nil || img.Bounds() != want.Bounds() {
			return
		}
		for y := range config.Height {
			for x := range config.Width {
				got, want := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA), color.NRGBAModel.Convert(want.At(x, y)).(color.NRGBA)
				if want.A = got.A; got != want && want.A > 0 && got.A == 255 {
					t.Fatalf("pixel (%d, %d) is %v, want %v as from x/image", x, y, got, want)
				}
			}
		}
	})
}
