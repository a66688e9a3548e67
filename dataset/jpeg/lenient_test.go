package jpeg

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"math"
	"testing"
)

// waves returns component c of a smooth image at (x, y). Subsampling barely changes the image.
func waves(c int, x, y float64) float64 {
	return 128 + 50*math.Sin(x/(9+float64(c)))*math.Cos(y/11) + 20*math.Sin((x+2*y)/17+float64(c))
}

// bare returns b without its Huffman tables.
func bare(b []byte) []byte {
	r := reader{b[2:]}
	out := bytes.Clone(b[:2])
	for {
		before := r.b
		marker, _, err := r.segment()
		if err != nil {
			panic(err)
		}
		if marker == markerSOS {
			return append(out, before...)
		}
		if marker != markerDHT {
			out = append(out, before[:len(before)-len(r.b)]...)
		}
	}
}

// same reports whether two images have the same type, bounds and pixels.
func same(a, b image.Image) bool {
	if fmt.Sprintf("%T %v", a, a.Bounds()) != fmt.Sprintf("%T %v", b, b.Bounds()) {
		return false
	}
	p, q := planes(a), planes(b)
	for y := a.Bounds().Min.Y; y < a.Bounds().Max.Y; y++ {
		for x := a.Bounds().Min.X; x < a.Bounds().Max.X; x++ {
			for c := range 3 {
				if p[c](x, y) != q[c](x, y) {
					return false
				}
			}
		}
	}
	return true
}

// TestStandardTables decodes files without Huffman tables (blackjack/webcam#7,
// go2rtc#2439).
func TestStandardTables(t *testing.T) {
	var d Decoder
	for _, name := range []string{"1x1", "2x2", "4x1", "gray", "restart", "rgb"} {
		b := samples(t)[name+".jpg"]
		want, err := new(Decoder).Decode(b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		// The tables of another file must not be used.
		if _, err := d.Decode(samples(t)["progressive-2x2.jpg"], Options{}); err != nil {
			t.Fatal(err)
		}
		if got, err := d.Decode(bare(b), Options{}); err != nil || !same(got, want) {
			t.Errorf("%s without Huffman tables: got error %v, want the same pixels as with them", name, err)
		}
	}
}

// TestNoEndMarker decodes files that lack the end marker (libjpeg-turbo#163,
// photoprism#3363).
func TestNoEndMarker(t *testing.T) {
	trailer := []byte("\x00\x00\x01\x0a\x0e\x00\x00\x00Image_UTC_Data1438\xff\xda\x00\x01\xff\xc0\x00\x00")
	for name, b := range samples(t) {
		want, err := new(Decoder).Decode(b, Options{})
		if err != nil {
			t.Fatal(err)
		}
		b = b[:len(b)-2]
		for what, b := range map[string][]byte{
			"nothing": b, "ff": append(bytes.Clone(b), 0xff), "zeros": append(bytes.Clone(b), make([]byte, 5000)...),
			"a trailer": append(bytes.Clone(b), trailer...), "another photo": append(bytes.Clone(b), samples(t)["1x1.jpg"]...),
		} {
			if got, err := new(Decoder).Decode(b, Options{}); err != nil || !same(got, want) {
				t.Errorf("%s with %s instead of the end marker: got error %v, want the same pixels", name, what, err)
			}
		}
		for n := 1; n < 200; n += 7 {
			cut := b[:len(b)-n]
			for what, b := range map[string][]byte{"": cut, " and filled with zeros": append(bytes.Clone(cut), make([]byte, 50000)...)} {
				if _, err := new(Decoder).Decode(b, Options{}); !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, ErrFormat) {
					t.Errorf("%s cut by %d bytes of its last scan%s: got %v, want an error", name, n, what, err)
				}
			}
		}
	}
}

// TestDNL decodes files that define the height after the first scan, as in a test of
// TwelveMonkeys.
func TestDNL(t *testing.T) {
	e := encoder{width: 61, height: 45, factors: [3][2]int{{2, 2}, {1, 1}, {1, 1}}, sample: waves}
	b := e.encode()
	want, err := new(Decoder).Decode(b, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, oneByOne := range []bool{false, true} {
		e := encoder{width: 61, height: 45, factors: e.factors, sample: waves, dnl: true, oneByOne: oneByOne, restart: 2}
		b := e.encode()
		for name, b := range map[string][]byte{"unknown": b, "known": bytes.Replace(b, []byte{8, 0, 0, 0, 61}, []byte{8, 0, 45, 0, 61}, 1)} {
			if got, err := new(Decoder).Decode(b, Options{}); err != nil || !same(got, want) {
				t.Errorf("height %s before the scan, one scan per component %v: got error %v, want the same pixels", name, oneByOne, err)
			}
			if c, err := DecodeConfig(b); err != nil || c.Width != 61 || c.Height != 45 {
				t.Errorf("height %s: got %+v, %v, want 61×45", name, c, err)
			}
		}
	}
	b = bytes.Replace(b, []byte{8, 0, 45, 0, 61}, []byte{8, 0, 0, 0, 61}, 1)
	if _, err := new(Decoder).Decode(b, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("no height at all: got %v, want ErrFormat", err)
	}
}

// TestSampling decodes files with all sampling factors that fit into an MCU of ten blocks.
func TestSampling(t *testing.T) {
	var d Decoder
	for n := range 16 * 16 * 16 {
		var factors [3][2]int
		blocks := 0
		for c, f := range []int{n % 16, n / 16 % 16, n / 256} {
			factors[c] = [2]int{1 + f%4, 1 + f/4}
			blocks += factors[c][0] * factors[c][1]
		}
		if blocks > 10 || n%17 != 0 && testing.Short() {
			continue
		}
		e := encoder{width: 53, height: 39, factors: factors, sample: waves, oneByOne: n%2 == 1}
		b := e.encode()
		got, err := d.Decode(b, Options{})
		if err != nil {
			t.Fatalf("%v: %v", factors, err)
		}
		if bounds := image.Rect(0, 0, 53, 39); got.Bounds() != bounds {
			t.Fatalf("%v: bounds %v, want %v", factors, got.Bounds(), bounds)
		}
		p := planes(got)
		var sum [3]float64
		for y := range 39 {
			for x := range 53 {
				for c := range 3 {
					sum[c] += math.Abs(float64(p[c](x, y)) - waves(c, float64(x), float64(y)))
				}
			}
		}
		for c, f := range factors {
			h, v := e.maxFactors()
			// The error of a repeated sample is at most the slope of the waves times half the
			// sample's width.
			limit := 0.8 + 2*(float64(h)/float64(f[0])-1) + 2*(float64(v)/float64(f[1])-1)
			if mean := sum[c] / (39 * 53); mean > limit {
				t.Errorf("%v: component %d is off by %.2f on average, want at most %.2f", factors, c, mean, limit)
			}
		}
		if std, err := jpeg.Decode(bytes.NewReader(b)); err == nil && !e.oneByOne {
			if got.(*image.YCbCr).SubsampleRatio != std.(*image.YCbCr).SubsampleRatio {
				t.Errorf("%v: got subsampling %v, want %v as from image/jpeg", factors, got.(*image.YCbCr).SubsampleRatio, std.(*image.YCbCr).SubsampleRatio)
			}
		}
	}
}

// TestSamplingRegion checks that regions and reduced images agree with the whole image
// for unusual sampling factors.
func TestSamplingRegion(t *testing.T) {
	var d, again Decoder
	for _, factors := range [][3][2]int{{{1, 1}, {2, 1}, {1, 2}}, {{1, 3}, {1, 1}, {1, 1}}, {{3, 1}, {2, 1}, {1, 1}}, {{2, 2}, {2, 1}, {1, 2}}} {
		e := encoder{width: 83, height: 61, factors: factors, sample: waves}
		b := e.encode()
		for _, n := range []int{1, 2, 4, 8} {
			whole, err := d.Decode(b, Options{Reduce: n})
			if err != nil {
				t.Fatal(err)
			}
			part, err := again.Decode(b, Options{Reduce: n, Region: image.Rect(30, 20, 60, 50)})
			if err != nil {
				t.Fatal(err)
			}
			if sub := whole.(*image.YCbCr).SubImage(part.Bounds()); !same(part, sub) || part.Bounds() == whole.Bounds() {
				t.Errorf("%v reduced by %d: region %v differs from the same part of the whole image", factors, n, part.Bounds())
			}
		}
	}
}

func TestDecodeConfig(t *testing.T) {
	for name, b := range samples(t) {
		c, err := DecodeConfig(b)
		want := 3
		if bytes.Contains([]byte(name), []byte("gray")) {
			want = 1
		}
		if err != nil || c.Width != 83 || c.Height != 61 || c.Components != want || c.Memory < 83*61 || c.Memory > 20*96*80 {
			t.Errorf("%s: got %+v, error %v, want 83×61 pixels and %d components", name, c, err, want)
		}
		for n := range b {
			if _, err := DecodeConfig(b[:n]); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%s cut to %d bytes: got %v, want io.ErrUnexpectedEOF", name, n, err)
			}
		}
	}
	cmyk := with(samples(t)["1x1.jpg"], 0xc0, 8, 0, 7, 0, 5, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0)
	if c, err := DecodeConfig(cmyk); err != nil || c != (Config{Width: 5, Height: 7, Components: 4}) {
		t.Errorf("CMYK: got %+v, %v, want 5×7 with 4 components", c, err)
	}
}
