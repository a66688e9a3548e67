package jpeg

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
	"io"
	"strings"
	"testing"
)

// TestTruncated cuts files at each byte. Decode may tolerate only a missing end marker.
func TestTruncated(t *testing.T) {
	var d Decoder
	for name, b := range samples(t) {
		for n := range b {
			_, err := d.Decode(b[:n], Options{})
			switch end := len(b) - 2; {
			case n < end && !errors.Is(err, io.ErrUnexpectedEOF):
				t.Fatalf("%s cut to %d of %d bytes: got %v, want io.ErrUnexpectedEOF", name, n, len(b), err)
			case n >= end && err != nil:
				t.Fatalf("%s without its end marker: %v", name, err)
			}
		}
	}
}

// at returns a copy of b in which the byte at the given offset after marker m is v.
func at(b []byte, m byte, offset int, v byte) []byte {
	b = bytes.Clone(b)
	b[bytes.Index(b, []byte{0xff, m})+2+offset] = v
	return b
}

// with returns b with a segment inserted after its start marker.
func with(b []byte, m byte, segment ...byte) []byte {
	s := append([]byte{0xff, m, 0, 0}, segment...)
	binary.BigEndian.PutUint16(s[2:], uint16(len(segment)+2))
	return append(append(bytes.Clone(b[:2]), s...), b[2:]...)
}

func TestErrors(t *testing.T) {
	b := samples(t)["2x2.jpg"]
	progressive := samples(t)["progressive-2x2.jpg"]
	restart := samples(t)["restart.jpg"]
	crowded := make([]byte, 17+3)
	crowded[1] = 3 // codes of one bit
	for _, tt := range []struct {
		name  string
		b     []byte
		want  error
		words string
	}{
		{"empty", nil, io.ErrUnexpectedEOF, ""},
		{"text", []byte("hello"), ErrFormat, "start marker"},
		{"no image", []byte{0xff, 0xd8, 0xff, 0xd9}, ErrFormat, "no image data"},
		{"12 bits", at(b, 0xc0, 2, 12), ErrUnsupported, "12 bits"},
		{"arithmetic", at(b, 0xc0, -1, 0xc9), ErrUnsupported, "arithmetic coding"},
		{"lossless", at(b, 0xc0, -1, 0xc3), ErrUnsupported, "lossless coding"},
		{"no width", at(at(b, 0xc0, 5, 0), 0xc0, 6, 0), ErrFormat, "0×61"},
		{"four components", with(b, 0xc0, 8, 0, 1, 0, 1, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0), ErrUnsupported, "frame header"},
		{"two frames", with(b, 0xc0, 8, 0, 1, 0, 1, 1, 1, 0x11, 0), ErrFormat, "two frames"},
		{"equal components", at(b, 0xc0, 11, 1), ErrFormat, "two components with ID 1"},
		{"sampling 0", at(b, 0xc0, 9, 0x01), ErrFormat, "0×1"},
		{"short segment", at(b, 0xdb, 1, 1), ErrFormat, "1 bytes"},
		{"quantization table 5", at(b, 0xdb, 2, 5), ErrFormat, "table 5"},
		{"Huffman table 2 in a baseline file", with(at(b, 0xc4, 2, 2), 0xfe), ErrFormat, "Huffman table 2"},
		{"crowded Huffman table", with(b, 0xc4, crowded...), ErrFormat, "too many codes"},
		{"Huffman table without codes", with(b, 0xc4, make([]byte, 17)...), ErrFormat, "0 codes"},
		{"scan first", with(b, 0xda, 1, 1, 0, 0, 63, 0), ErrFormat, "without a frame"},
		{"scan of nothing", at(b, 0xda, 2, 0), ErrFormat, "scan header"},
		{"scan of an unknown component", at(b, 0xda, 3, 9), ErrFormat, "component 9"},
		{"scan of a component twice", at(b, 0xda, 5, 1), ErrFormat, "twice"},
		{"scan with table 2", at(b, 0xda, 4, 0x22), ErrFormat, "tables 2"},
		{"coefficients backwards", at(progressive, 0xda, 9, 70), ErrFormat, "70"},
		{"wrong restart", bytes.Replace(restart, []byte{0xff, 0xd1}, []byte{0xff, 0xd5}, 1), ErrFormat, "0xd5"},
		{"marker in the codes", bytes.Replace(restart, []byte{0xff, 0xd1}, []byte{0xff, 0xfe}, 1), ErrFormat, "0xfe"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			img, err := new(Decoder).Decode(tt.b, Options{})
			if !errors.Is(err, tt.want) || img != nil || !strings.Contains(err.Error(), tt.words) {
				t.Errorf("got %v, want %v with %q", err, tt.want, tt.words)
			}
		})
	}
	if _, err := new(Decoder).Decode(b, Options{Reduce: 3}); err == nil {
		t.Error("reduced by 3: got no error")
	}
	// Decode skips these bytes, like other decoders.
	for name, b := range map[string][]byte{
		"fill bytes":     append([]byte{0xff, 0xd8, 0xff, 0xff}, b[2:]...),
		"other bytes":    append([]byte{0xff, 0xd8, 1, 2, 0xff, 0, 3}, b[2:]...),
		"stray restart":  append([]byte{0xff, 0xd8, 0xff, 0xd3}, b[2:]...),
		"comment":        with(b, 0xfe, 'h', 'i'),
		"after the end":  append(bytes.Clone(b), 7),
		"before the end": append(append(bytes.Clone(b[:len(b)-2]), 1, 2, 3), b[len(b)-2:]...),
	} {
		if _, err := new(Decoder).Decode(b, Options{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzDecode checks that Decode succeeds for the same files as image/jpeg.
func FuzzDecode(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b, byte(1))
		f.Add(b, byte(3))
		f.Add(b[:len(b)-2], byte(0))
		f.Add(bare(b), byte(0))
	}
	for _, factors := range [][3][2]int{{{1, 1}, {2, 1}, {1, 2}}, {{1, 3}, {1, 1}, {1, 1}}} {
		e := encoder{width: 21, height: 19, factors: factors, sample: waves, dnl: true}
		f.Add(e.encode(), byte(1))
	}
	f.Fuzz(func(t *testing.T, b []byte, options byte) {
		config, err := DecodeConfig(b)
		if err != nil || config.Width*config.Height > 1<<16 || bytes.Count(b, []byte{0xff, 0xda}) > 20 {
			return
		}
		o := Options{Reduce: 1 << (options & 3)}
		if options&4 != 0 {
			o.Region = image.Rect(config.Width/8, config.Height/8, config.Width*7/8, config.Height*7/8)
		}
		var d Decoder
		got, err := d.Decode(b, o)
		want, wantErr := jpeg.Decode(bytes.NewReader(b))
		if err == nil {
			if whole := image.Rect(0, 0, ceilDiv(config.Width, o.Reduce), ceilDiv(config.Height, o.Reduce)); !got.Bounds().In(whole) || got.Bounds().Empty() {
				t.Fatalf("bounds %v, want part of %v", got.Bounds(), whole)
			}
			got.At(got.Bounds().Max.X-1, got.Bounds().Max.Y-1)
		} else if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("error %v wraps none of the documented errors", err)
		}
		if _, cmyk := want.(*image.CMYK); cmyk || config.Components == 4 {
			return
		}
		// The package documentation lists these differences.
		uneven := false
		for _, c := range d.jpg.components {
			uneven = uneven || c.h == 2 && d.jpg.components[0].h == 4
		}
		if uneven || d.interval > 0 || err != nil && strings.Contains(err.Error(), "too many codes") {
			return
		}
		if err != nil && wantErr == nil {
			t.Fatalf("got %v, but image/jpeg decodes the file", err)
		}
		if err == nil && wantErr != nil && !missing(b, wantErr) {
			t.Fatalf("got no error, but image/jpeg returned %v", wantErr)
		}
	})
}

// missing reports whether image/jpeg rejects b for a reason that Decode tolerates: missing
// Huffman tables, a missing end marker, or sampling factors that image/jpeg does not
// support.
func missing(b []byte, err error) bool {
	lenient := func(err error) bool {
		for _, s := range []string{"uninitialized Huffman table", "subsampling", "unknown marker"} {
			if strings.Contains(err.Error(), s) {
				return true
			}
		}
		return false
	}
	if lenient(err) {
		return true
	}
	for i := range len(b) + 1 {
		if i == len(b) || i+1 < len(b) && b[i] == 0xff && b[i+1] != 0 {
			if _, err := jpeg.Decode(bytes.NewReader(append(bytes.Clone(b[:i]), 0xff, 0xd9))); err == nil || lenient(err) {
				return true
			}
		}
	}
	return false
}
