package jpeg

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// samples returns the files in testdata by name.
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

// planes returns functions that read the three samples of a pixel, before any color
// conversion.
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

// TestMatchesStdlib compares full-size images with image/jpeg, which rounds its transform
// differently.
func TestMatchesStdlib(t *testing.T) {
	files := samples(t)
	for name, b := range files {
		if name == "progressive-restart.jpg" {
			b = files["progressive-2x2.jpg"] // image/jpeg cannot decode the file with restarts
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
			t.Errorf("%s: subsampling %v, want %v", name, got.SubsampleRatio, want.(*image.YCbCr).SubsampleRatio)
		}
		g, w := planes(got), planes(want)
		different := 0
		for c := range 3 {
			for y := range 61 {
				for x := range 83 {
					if d := g[c](x, y) - w[c](x, y); d < -1 || d > 1 {
						t.Fatalf("%s: component %d at (%d, %d) is %d, want %d", name, c, x, y, g[c](x, y), w[c](x, y))
					} else if d != 0 {
						different++
					}
				}
			}
		}
		if different > 83*61*3/10 {
			t.Errorf("%s: %d samples differ by 1, want at most 30 %%", name, different)
		}
	}
}

// TestReduced compares reduced images with block means of the full-size image.
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
			if want := image.Rect(0, 0, ceilDiv(83, n), ceilDiv(61, n)); small.Bounds() != want {
				t.Fatalf("%s reduced by %d: bounds %v, want %v", name, n, small.Bounds(), want)
			}
			got, want := planes(small), planes(whole)
			components := 3
			if small, ok := small.(*image.YCbCr); ok && small.SubsampleRatio != image.YCbCrSubsampleRatio444 {
				components = 1 // the reduced image subsamples chroma by the same ratio
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
			// Apart from the edge of a disk, the image is smooth.
			if sum /= float64(count); sum > 2.5 {
				t.Errorf("%s reduced by %d: mean error is %.2f, want at most 2.5", name, n, sum)
			}
		}
	}
}

// TestRegion checks that a decoded region equals the same part of the whole image.
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
				small := image.Rect(in.Min.X/n, in.Min.Y/n, ceilDiv(in.Max.X, n), ceilDiv(in.Max.Y, n))
				if !small.In(part.Bounds()) || !part.Bounds().In(whole.Bounds()) {
					t.Fatalf("%s reduced by %d: bounds %v do not contain %v", name, n, part.Bounds(), small)
				}
				if part.Bounds().Dx() > small.Dx()+2*32/n {
					t.Errorf("%s reduced by %d: bounds %v are too large for region %v", name, n, part.Bounds(), small)
				}
				for y := part.Bounds().Min.Y; y < part.Bounds().Max.Y; y++ {
					for x := part.Bounds().Min.X; x < part.Bounds().Max.X; x++ {
						for c := range 3 {
							if got[c](x, y) != want[c](x, y) {
								t.Fatalf("%s reduced by %d, region %v: component %d at (%d, %d) is %d, want %d", name, n, r, c, x, y, got[c](x, y), want[c](x, y))
							}
						}
					}
				}
			}
		}
	}
}

// TestSameOnAllProcessors compares the hash of all decoded pixels with a constant.
func TestSameOnAllProcessors(t *testing.T) {
	sum := sha256.New()
	var d Decoder
	for _, name := range []string{"1x1", "2x1", "1x2", "2x2", "4x1", "4x2", "progressive-restart", "gray", "rgb"} {
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

// TestReuse checks that a Decoder decodes good files correctly after damaged ones.
func TestReuse(t *testing.T) {
	files := samples(t)
	var d Decoder
	for name, b := range files {
		for before, other := range files {
			if _, err := d.Decode(other[:len(other)-len(other)/4], Options{}); err == nil {
				t.Fatalf("%s without its last quarter: got no error", before)
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
					t.Fatalf("%s after %s: component %d at (%d, %d) is %d, want %d", name, before, c, x, y, g[c](x, y), w[c](x, y))
				}
			}
		}
	}
}

// TestReuseForgetsTables checks that a Decoder does not use the tables of the previous file.
func TestReuseForgetsTables(t *testing.T) {
	var d Decoder
	progressive := samples(t)["progressive-2x2.jpg"]
	if _, err := d.Decode(progressive, Options{}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Decode(bare(progressive), Options{}); !errors.Is(err, ErrFormat) {
		t.Errorf("a progressive file without Huffman tables: got %v, want ErrFormat", err)
	}
	b := samples(t)["2x2.jpg"]
	if _, err := d.Decode(b, Options{}); err != nil {
		t.Fatal(err)
	}
	gray, err := d.Decode(bytes.ReplaceAll(b, []byte{0xff, 0xdb}, []byte{0xff, 0xe4}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if v := gray.(*image.YCbCr).YCbCrAt(40, 30); v != (color.YCbCr{Y: 128, Cb: 128, Cr: 128}) {
		t.Errorf("a file without quantization tables has %v in the middle, want gray, as from image/jpeg", v)
	}
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
