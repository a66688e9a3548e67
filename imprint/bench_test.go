package imprint

import (
	"bytes"
	"context"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tools/reference"
)

// eachBackbone runs a benchmark with a small backbone and with Coral's embedding extractor.
func eachBackbone(b *testing.B, f func(b *testing.B, o Options)) {
	b.Run("small", func(b *testing.B) {
		f(b, Options{Backbone: phototest.Backbone(b, "extractor.tflite", backbonetest.Extractor())})
	})
	b.Run("mobilenet_v1_1.0_224", func(b *testing.B) {
		f(b, Options{Backbone: reference.Path(b, "models", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite")})
	})
}

// withPhotos opens a workspace of n photos in ten classes. The embeddings are random, because
// the time of a change does not depend on their values.
func withPhotos(b *testing.B, o Options, n int) *Workspace {
	b.Helper()
	w := openWorkspace(b, filepath.Join(b.TempDir(), "ws"), o)
	if n == 0 {
		return w
	}
	r := rand.New(rand.NewPCG(1, 2))
	c := store.Change{Verb: "add", Settings: w.state.Settings}
	for i := range n {
		e := store.Example{Label: fmt.Sprint("class ", i%10), Path: fmt.Sprintf("/home/somebody/photos/class %d/%d.jpg", i%10, i), Raw: make([]byte, w.state.Backbone.Size)}
		for j := range e.Raw {
			e.Raw[j] = byte(r.Uint32())
		}
		e.Photo = store.Sum(e.Raw)
		c.Added = append(c.Added, e)
	}
	err := w.commit(context.Background(), func(s *store.State) error { s.Apply(c); return nil })
	if err != nil {
		b.Fatal(err)
	}
	return w
}

func BenchmarkEmbed(b *testing.B) {
	eachBackbone(b, func(b *testing.B, o Options) {
		w := withPhotos(b, o, 0)
		items := photos("a", 0, 0, 1)
		b.ReportAllocs()
		for b.Loop() {
			if err := w.embed(context.Background(), dataset.Crop, items, nil, func(_ int, e infer.Embedding) error { return e.Err }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkClassify(b *testing.B) {
	eachBackbone(b, func(b *testing.B, o Options) {
		w := withPhotos(b, o, 100)
		items := photos("?", 0, 0, 1)
		b.ReportAllocs()
		for b.Loop() {
			if err := w.Classify(context.Background(), items, 1, func(r predict.Result) error { return r.Err }); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkAdd adds one photo to workspaces of different sizes. On a real disk, most of the time
// goes into syncing.
func BenchmarkAdd(b *testing.B) {
	for _, n := range []int{100, 10000} {
		b.Run(fmt.Sprint("to ", n), func(b *testing.B) {
			eachBackbone(b, func(b *testing.B, o Options) {
				w := withPhotos(b, o, n)
				var items []dataset.Item
				seed := uint64(0)
				b.ReportAllocs()
				for b.Loop() {
					b.StopTimer()
					items = photos("new", 0, seed, 1)
					seed++
					b.StartTimer()
					mustAdd(b, w, items...)
				}
			})
		})
	}
}

// BenchmarkAddTo10000 adds one photo of ten classes that differ to a workspace of 10,000 photos, which is
// open or is opened each time.
func BenchmarkAddTo10000(b *testing.B) {
	for name, o := range map[string]Options{
		"built-in":  {},
		"extractor": {Backbone: reference.Path(b, "models", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite")},
	} {
		w, r := openWorkspace(b, filepath.Join(b.TempDir(), "ws"), o), rand.New(rand.NewPCG(1, 2))
		observe := func(n int) (list []Observation) {
			for range n {
				c := r.IntN(10)
				o := Observation{Label: fmt.Sprint("class ", c), Path: fmt.Sprintf("/home/somebody/photos/class %d/%d.jpg", c, r.Uint32()), Embedding: make([]byte, w.state.Backbone.Size)}
				for j := range o.Embedding {
					o.Embedding[j] = byte(r.IntN(150))
					if (j+7*c)%10 < 3 {
						o.Embedding[j] += byte(r.IntN(25))
					}
				}
				o.Photo = store.Sum(o.Embedding)
				list = append(list, o)
			}
			return list
		}
		add := func(b *testing.B, w *Workspace, n int) {
			b.StopTimer()
			list := observe(n)
			b.StartTimer()
			if _, err := w.AddObservations(b.Context(), list); err != nil {
				b.Fatal(err)
			}
		}
		add(b, w, 10000)
		b.Run(name+"/open", func(b *testing.B) {
			for range b.N {
				add(b, w, 1)
			}
		})
		b.Run(name+"/new", func(b *testing.B) {
			for range b.N {
				add(b, openWorkspace(b, w.store.Dir, Options{Existing: true}), 1)
			}
		})
	}
}

func BenchmarkExport(b *testing.B) {
	eachBackbone(b, func(b *testing.B, o Options) {
		w := withPhotos(b, o, 100)
		path := filepath.Join(b.TempDir(), "m.tflite")
		b.ReportAllocs()
		for b.Loop() {
			if _, err := w.Export(path, "", classifier.Float, false); err != nil {
				b.Fatal(err)
			}
		}
		info, err := os.Stat(path)
		if err != nil {
			b.Fatal(err)
		}
		b.SetBytes(info.Size())
	})
}

func encoded(t testing.TB, s *store.State) []byte {
	t.Helper()
	b, err := s.Encode(store.MaxState)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// BenchmarkLarge measures the steps of a change in a workspace of 20 000 photos.
func BenchmarkLarge(b *testing.B) {
	eachBackbone(b, func(b *testing.B, o Options) {
		w := withPhotos(b, o, 20000)
		b.Run("head", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := w.newHead(w.state); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("open", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				w, err := Open(w.store.Dir, Options{Existing: true})
				if err != nil {
					b.Fatal(err)
				}
				w.Close()
			}
		})
		b.Run("encode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				encoded(b, w.state)
			}
		})
		file := encoded(b, w.state)
		b.Run("decode", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := store.Decode(file); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}

// BenchmarkPhoto measures the steps from a photo of 1600×1200 pixels to its embedding, and
// decoding with image/jpeg for comparison.
func BenchmarkPhoto(b *testing.B) {
	r := rand.New(rand.NewPCG(1, 2))
	img := image.NewRGBA(image.Rect(0, 0, 1600, 1200))
	for i := range img.Pix {
		x, y := i/4%1600, i/4/1600
		img.Pix[i] = uint8(128 + 60*math.Sin(float64(x*(i%4+1))/50) + 40*math.Sin(float64(y)/9) + 6*r.NormFloat64())
	}
	var photo bytes.Buffer
	if err := stdjpeg.Encode(&photo, img, &stdjpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	b.Run("decode by image-jpeg", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := stdjpeg.Decode(bytes.NewReader(photo.Bytes())); err != nil {
				b.Fatal(err)
			}
		}
	})
	eachBackbone(b, func(b *testing.B, o Options) {
		w := openWorkspace(b, filepath.Join(b.TempDir(), "ws"), o)
		item := dataset.Item{Path: "photo", Content: photo.Bytes()}
		runner := w.backbone.NewRunner(1)
		defer runner.Close()
		resizer := dataset.Resizer{Mode: dataset.Crop, Width: w.backbone.Width, Height: w.backbone.Height}
		b.Run("decode and resize", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				f, err := dataset.Open(item, dataset.DefaultLimits())
				if err != nil {
					b.Fatal(err)
				}
				if err := resizer.Read(runner.RGB(), f); err != nil {
					b.Fatal(err)
				}
			}
		})
		// For a model of 224×224, Resizer.Read decodes only the crop, at half its size.
		half := image.NewYCbCr(image.Rect(0, 0, 525, 525), image.YCbCrSubsampleRatio420)
		b.Run("resize", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := dataset.Squash.Resize(runner.RGB(), half, w.backbone.Width, w.backbone.Height); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run("embed", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := runner.Embed(context.Background()); err != nil {
					b.Fatal(err)
				}
			}
		})
	})
}
