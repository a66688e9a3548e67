package jpeg

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// samples are the files in testdata, by name.
func samples(t testing.TB) map[string][]byte {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join("testdata", "*.jpg"))
	if err != nil || len(paths) == 0 {
		t.Fatal(paths, err)
	}
	files := map[string][]byte{}
	for _, path := range paths {
		if files[filepath.Base(path)], err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// planes gives the samples of a picture as they are before colours are converted.
func planes(img image.Image) [3]func(x, y int) int {
	var p [3]func(x, y int) int
	for c := range p {
		p[c] = func(x, y int) int {
			switch img := img.(type) {
			case *image.YCbCr:
				v := img.YCbCrAt(x, y)
				return int([3]uint8{v.Y, v.Cb, v.Cr}[c])
			default:
				v := color.NRGBAModel.Convert(img.At(x, y)).(color.NRGBA)
				return int([3]uint8{v.R, v.G, v.B}[c])
			}
		}
	}
	return p
}

// TestWhole compares with image/jpeg, whose transform rounds otherwise.
func TestWhole(t *testing.T) {
	files := samples(t)
	for name, b := range files {
		if name == "progressive-restart.jpg" {
			b = files["progressive-2x2.jpg"] // image/jpeg cannot read the other
		}
		want, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(name, err)
		}
		got, err := new(Decoder).Decode(files[name], Options{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got.Bounds() != want.Bounds() {
			t.Errorf("%s: bounds %v, want %v", name, got.Bounds(), want.Bounds())
			continue
		}
		if got, ok := got.(*image.YCbCr); ok && got.SubsampleRatio != want.(*image.YCbCr).SubsampleRatio {
			t.Errorf("%s: %v, want %v", name, got.SubsampleRatio, want.(*image.YCbCr).SubsampleRatio)
		}
		g, w := planes(got), planes(want)
		different := 0
		for c := range 3 {
			for y := range 61 {
				for x := range 83 {
					if d := g[c](x, y) - w[c](x, y); d < -1 || d > 1 {
						t.Fatalf("%s: component %d of (%d, %d) is %d, want %d", name, c, x, y, g[c](x, y), w[c](x, y))
					} else if d != 0 {
						different++
					}
				}
			}
		}
		if different > 83*61*3/10 {
			t.Errorf("%s: %d samples differ by 1", name, different)
		}
	}
}

// basis is what coefficient k adds to sample i of n: see idct.go.
func basis(i, k, n int) float64 {
	if k == 0 {
		return 1
	}
	return math.Sqrt2 * math.Cos(float64((2*i+1)*k)*math.Pi/float64(2*n))
}

// TestTransform compares blocks with the formula in float64.
func TestTransform(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		var d Decoder
		for range 1 + r.IntN(12) {
			d.unzigged[natural[r.IntN(1+r.IntN(64))]] = int32(r.IntN(400) - 200)
		}
		d.unzigged[0] += int32(r.IntN(2000) - 1000)
		block := d.unzigged
		for _, n := range []int{1, 2, 4, 8} {
			d.unzigged, d.jpg.size = block, n
			c := component{stride: n, pix: make([]byte, n*n)}
			d.transform(&c, 0, 0, block == [64]int32{block[0]})
			for y := range n {
				for x := range n {
					want := 128.0
					for v := range n {
						for u := range n {
							want += float64(block[8*v+u]) * basis(x, u, n) * basis(y, v, n) / 8
						}
					}
					want = max(0, min(255, want))
					if got := float64(c.pix[y*n+x]); math.Abs(got-want) > 0.75 {
						t.Fatalf("%d×%d pixels of %v: (%d, %d) is %v, want %.2f", n, n, block, x, y, got, want)
					}
				}
			}
		}
	}
}

// TestReduced compares the smallest pictures with the means of the whole one.
func TestReduced(t *testing.T) {
	for name, b := range samples(t) {
		whole, err := new(Decoder).Decode(b, Options{})
		if err != nil {
			t.Fatal(name, err)
		}
		for _, n := range []int{2, 4, 8} {
			small, err := new(Decoder).Decode(b, Options{Reduce: n})
			if err != nil {
				t.Fatal(name, err)
			}
			if want := image.Rect(0, 0, above(83, n), above(61, n)); small.Bounds() != want {
				t.Fatalf("%s by %d: bounds %v, want %v", name, n, small.Bounds(), want)
			}
			got, want := planes(small), planes(whole)
			components := 3
			if small, ok := small.(*image.YCbCr); ok && small.SubsampleRatio != image.YCbCrSubsampleRatio444 {
				components = 1 // the others are as coarse in the reduced picture as in the whole
			}
			var sum float64
			count := 0
			for c := range components {
				for y := range 61 / n {
					for x := range 83 / n {
						mean := 0.0
						for i := range n * n {
							mean += float64(want[c](x*n+i%n, y*n+i/n)) / float64(n*n)
						}
						sum += math.Abs(float64(got[c](x, y)) - mean)
						count++
					}
				}
			}
			// The picture is smooth but for a disc's edge.
			if sum /= float64(count); sum > 2.5 {
				t.Errorf("%s by %d: off by %.2f on average", name, n, sum)
			}
		}
	}
}

// TestRegion wants of every part the same as of the whole.
func TestRegion(t *testing.T) {
	files := samples(t)
	var d, again Decoder
	for name, b := range files {
		for _, n := range []int{1, 2, 4, 8} {
			whole, err := d.Decode(b, Options{Reduce: n})
			if err != nil {
				t.Fatal(name, err)
			}
			want := planes(whole)
			for _, r := range []image.Rectangle{
				image.Rect(0, 0, 1, 1), image.Rect(82, 60, 83, 61), image.Rect(17, 9, 55, 40), image.Rect(40, 0, 48, 61), image.Rect(-5, 30, 200, 31),
			} {
				part, err := again.Decode(b, Options{Reduce: n, Region: r})
				if err != nil {
					t.Fatal(name, err)
				}
				got, in := planes(part), r.Intersect(image.Rect(0, 0, 83, 61))
				small := image.Rect(in.Min.X/n, in.Min.Y/n, above(in.Max.X, n), above(in.Max.Y, n))
				if !small.In(part.Bounds()) || !part.Bounds().In(whole.Bounds()) {
					t.Fatalf("%s by %d: bounds %v do not hold %v", name, n, part.Bounds(), small)
				}
				if part.Bounds().Dx() > small.Dx()+2*32/n {
					t.Errorf("%s by %d: bounds %v for %v", name, n, part.Bounds(), small)
				}
				for y := part.Bounds().Min.Y; y < part.Bounds().Max.Y; y++ {
					for x := part.Bounds().Min.X; x < part.Bounds().Max.X; x++ {
						for c := range 3 {
							if got[c](x, y) != want[c](x, y) {
								t.Fatalf("%s by %d, %v: component %d of (%d, %d) is %d, want %d", name, n, r, c, x, y, got[c](x, y), want[c](x, y))
							}
						}
					}
				}
			}
		}
	}
}

// TestSame holds the pixels that all processors must give.
func TestSame(t *testing.T) {
	sum := sha256.New()
	var d Decoder
	for _, name := range []string{"1x1", "2x1", "1x2", "2x2", "4x1", "4x2", "progressive-restart", "grey", "rgb"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".jpg"))
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 2, 4, 8} {
			img, err := d.Decode(b, Options{Reduce: n})
			if err != nil {
				t.Fatal(err)
			}
			p := planes(img)
			for y := range img.Bounds().Dy() {
				for x := range img.Bounds().Dx() {
					sum.Write([]byte{byte(p[0](x, y)), byte(p[1](x, y)), byte(p[2](x, y))})
				}
			}
		}
	}
	const want = "980a409ff0b9afcd3dc2f9316e386778be22cb77c6a73cff5ef90d4a97c49059"
	if got := hex.EncodeToString(sum.Sum(nil)); got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestReused decodes one file after the other with the same Decoder, damaged ones
// among them.
func TestReused(t *testing.T) {
	files := samples(t)
	var d Decoder
	for name, b := range files {
		for before, other := range files {
			if _, err := d.Decode(other[:len(other)-len(other)/4], Options{}); err == nil {
				t.Fatalf("%s without its end is decoded", before)
			}
			got, err := d.Decode(b, Options{})
			if err != nil {
				t.Fatalf("%s after %s: %v", name, before, err)
			}
			want, err := new(Decoder).Decode(b, Options{})
			if err != nil {
				t.Fatal(name, err)
			}
			g, w := planes(got), planes(want)
			for i := range 83 * 61 * 3 {
				if c, x, y := i%3, i/3%83, i/3/83; g[c](x, y) != w[c](x, y) {
					t.Fatalf("%s after %s: component %d of (%d, %d) is %d, want %d", name, before, c, x, y, g[c](x, y), w[c](x, y))
				}
			}
		}
	}
}

// TestNotInherited wants no tables of the file before.
func TestNotInherited(t *testing.T) {
	b := samples(t)["2x2.jpg"]
	var d Decoder
	if _, err := d.Decode(b, Options{}); err != nil {
		t.Fatal(err)
	}
	without := bytes.ReplaceAll(b, []byte{0xff, 0xc4}, []byte{0xff, 0xe4})
	if _, err := d.Decode(without, Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a file without Huffman tables: got %v, want ErrFormat", err)
	}
	grey, err := d.Decode(bytes.ReplaceAll(b, []byte{0xff, 0xdb}, []byte{0xff, 0xe4}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v := grey.(*image.YCbCr).YCbCrAt(40, 30); v != (color.YCbCr{Y: 128, Cb: 128, Cr: 128}) {
		t.Errorf("a file without quantisation tables has %v in its middle, want grey, as of image/jpeg", v)
	}
}

func TestTruncated(t *testing.T) {
	var d Decoder
	for name, b := range samples(t) {
		for n := range b {
			_, err := d.Decode(b[:n], Options{})
			if err == nil || !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut to %d of %d bytes: got %v, want io.ErrUnexpectedEOF", name, n, len(b), err)
			}
		}
	}
}

// at gives b with the byte so far behind marker m set to v.
func at(b []byte, m byte, behind int, v byte) []byte {
	b = bytes.Clone(b)
	b[bytes.Index(b, []byte{0xff, m})+2+behind] = v
	return b
}

// with gives b with a segment put in at its start.
func with(b []byte, m byte, segment ...byte) []byte {
	s := append([]byte{0xff, m, 0, 0}, segment...)
	binary.BigEndian.PutUint16(s[2:], uint16(len(segment)+2))
	return append(append(bytes.Clone(b[:2]), s...), b[2:]...)
}

func TestRefused(t *testing.T) {
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
		{"text", []byte("hello"), ErrFormat, "begin"},
		{"no picture", []byte{0xff, 0xd8, 0xff, 0xd9}, ErrFormat, "no picture"},
		{"12 bits", at(b, 0xc0, 2, 12), ErrUnsupported, "12 bits"},
		{"arithmetic", at(b, 0xc0, -1, 0xc9), ErrUnsupported, "0xc9"},
		{"lossless", at(b, 0xc0, -1, 0xc3), ErrUnsupported, "0xc3"},
		{"no width", at(at(b, 0xc0, 5, 0), 0xc0, 6, 0), ErrFormat, "0×61"},
		{"four components", with(b, 0xc0, 8, 0, 1, 0, 1, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0), ErrUnsupported, "frame header"},
		{"two frames", with(b, 0xc0, 8, 0, 1, 0, 1, 1, 1, 0x11, 0), ErrFormat, "two frames"},
		{"equal components", at(b, 0xc0, 11, 1), ErrFormat, "two components"},
		{"sampling 3", at(b, 0xc0, 9, 0x31), ErrUnsupported, "3×1"},
		{"sampling 0", at(b, 0xc0, 9, 0x01), ErrFormat, "0×1"},
		{"finer colour", at(b, 0xc0, 12, 0x41), ErrUnsupported, "4×1"},
		{"short segment", at(b, 0xdb, 1, 1), ErrFormat, "1 bytes"},
		{"quantisation table 5", at(b, 0xdb, 2, 5), ErrFormat, "table 5"},
		{"Huffman table 2 in a baseline file", with(at(b, 0xc4, 2, 2), 0xfe), ErrFormat, "Huffman table 2"},
		{"crowded Huffman table", with(b, 0xc4, crowded...), ErrFormat, "too many codes"},
		{"Huffman table without codes", with(b, 0xc4, make([]byte, 17)...), ErrFormat, "0 codes"},
		{"scan first", with(b, 0xda, 1, 1, 0, 0, 63, 0), ErrFormat, "without a frame"},
		{"scan of nothing", at(b, 0xda, 2, 0), ErrFormat, "scan header"},
		{"scan of an unknown component", at(b, 0xda, 3, 9), ErrFormat, "component 9"},
		{"scan of a component twice", at(b, 0xda, 5, 1), ErrFormat, "twice"},
		{"scan with table 2", at(b, 0xda, 4, 0x22), ErrFormat, "tables 2"},
		{"coefficients backwards", at(progressive, 0xda, 9, 70), ErrFormat, "70"},
		{"another restart", bytes.Replace(restart, []byte{0xff, 0xd1}, []byte{0xff, 0xd5}, 1), ErrFormat, "0xd5"},
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
		t.Error("reduced by 3")
	}
	// What other decoders pass over.
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

// FuzzDecode compares with image/jpeg what is a picture and what is not.
func FuzzDecode(f *testing.F) {
	for _, b := range samples(f) {
		f.Add(b, byte(1))
		f.Add(b, byte(3))
	}
	f.Fuzz(func(t *testing.T, b []byte, options byte) {
		config, err := jpeg.DecodeConfig(bytes.NewReader(b))
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
			if whole := image.Rect(0, 0, above(config.Width, o.Reduce), above(config.Height, o.Reduce)); !got.Bounds().In(whole) || got.Bounds().Empty() {
				t.Fatalf("bounds %v of %v", got.Bounds(), whole)
			}
			got.At(got.Bounds().Max.X-1, got.Bounds().Max.Y-1)
		} else if !errors.Is(err, ErrFormat) && !errors.Is(err, ErrUnsupported) && !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("an error of no kind: %v", err)
		}
		if _, four := want.(*image.CMYK); four || config.ColorModel == color.CMYKModel {
			return
		}
		// The differences that the package's documentation names.
		uneven := false
		for _, c := range d.jpg.components {
			uneven = uneven || c.h == 2 && d.jpg.components[0].h == 4
		}
		if uneven || d.interval > 0 || err != nil && strings.Contains(err.Error(), "too many codes") {
			return
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("got %v, image/jpeg %v", err, wantErr)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	img := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range img.Pix {
		x, y := i/4%1600, i/4/1600
		img.Pix[i] = uint8(128 + 60*math.Sin(float64(x*(i%4+1))/50) + 40*math.Sin(float64(y)/9) + 6*r.NormFloat64())
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, img, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	b.Run("image-jpeg", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(file.Len()))
		for b.Loop() {
			if _, err := jpeg.Decode(bytes.NewReader(file.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	for _, n := range []int{1, 2, 4, 8} {
		b.Run(fmt.Sprint("reduced-by-", n), func(b *testing.B) {
			var d Decoder
			b.ReportAllocs()
			b.SetBytes(int64(file.Len()))
			for b.Loop() {
				if _, err := d.Decode(file.Bytes(), Options{Reduce: n}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
