package live_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// median sorts d and returns its median.
func median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

func inMS(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// observations returns n random embeddings in ten classes.
func observations(n, size int) []imprint.Observation {
	r := rand.New(rand.NewPCG(1, 2))
	var all []imprint.Observation
	for i := range n {
		o := imprint.Observation{Label: fmt.Sprint("class ", i%10), Path: fmt.Sprint(i), Embedding: make([]byte, size)}
		for j := range o.Embedding {
			o.Embedding[j] = byte(r.Uint32())
		}
		o.Photo = sha256.Sum256(o.Embedding)
		all = append(all, o)
	}
	return all
}

// BenchmarkReload reloads another head for the same backbone while 200 frames arrive per second.
// The head has ten classes of five photos. The benchmark reports the times of reloads and
// frames.
func BenchmarkReload(b *testing.B) {
	for name, model := range map[string]string{
		"built-in":             builtin.Name,
		"mobilenet_v1_1.0_224": reference.Path(b, "models", pooltest.Extractor+".tflite"),
	} {
		b.Run(name, func(b *testing.B) {
			dir := filepath.Join(b.TempDir(), "ws")
			w := openWorkspace(b, dir, imprint.Options{Backbone: model})
			if _, err := w.AddObservations(context.Background(), observations(50, w.Backbone().EmbeddingSize())); err != nil {
				b.Fatal(err)
			}
			two := []version{versionOf(b, w, dir)}
			if err := w.Rename(context.Background(), "class 0", "another"); err != nil {
				b.Fatal(err)
			}
			two = append(two, versionOf(b, w, dir))
			l := openLive(b, dir, imprint.Options{})
			f := startFrames(l, images(b, kinds(70, 1)), perFrame)
			var times []time.Duration
			generation := uint64(10)
			for b.Loop() {
				b.StopTimer()
				time.Sleep(perFrame) // let frames arrive between reloads
				generation++
				two[generation%2].publish(b, dir, generation)
				b.StartTimer()
				if r := mustReload(b, l); !r.Changed {
					b.Fatal("the reload changed nothing")
				} else {
					times = append(times, r.Elapsed)
				}
			}
			var frames []time.Duration
			for _, a := range f.end() {
				if a.err != nil {
					b.Fatal(a.err)
				}
				frames = append(frames, a.took)
			}
			b.ReportMetric(inMS(median(times)), "median-ms")
			b.ReportMetric(inMS(times[len(times)-1]), "worst-ms")
			b.ReportMetric(inMS(median(frames)), "frame-median-ms")
			b.ReportMetric(inMS(frames[len(frames)-1]), "frame-worst-ms")
			b.ReportMetric(float64(len(frames)), "frames")
		})
	}
}

// BenchmarkReloadTPU reloads another head inside the compiled model, on an emulated device. It
// reports how much more traffic and time the first frame after a reload takes than later frames.
func BenchmarkReloadTPU(b *testing.B) {
	for _, name := range []string{pooltest.Small, "mobilenet_v1_0.5_160_quant"} {
		b.Run(name, func(b *testing.B) {
			compiled, uncompiled, m, devices := metered(b, name)
			dir := filepath.Join(b.TempDir(), "ws")
			two := versions(b, dir, imprint.Options{Compiled: compiled, Uncompiled: uncompiled}, 2, nil)
			l := openLive(b, dir, imprint.Options{Devices: devices})
			probe := images(b, []dataset.Item{photo("?", 0, 70)})[0]
			frame := func() (traffic, time.Duration) {
				before, start := m.now(), time.Now()
				if _, err := l.Classify(context.Background(), probe, 1); err != nil {
					b.Fatal(err)
				}
				return m.now().since(before), time.Since(start)
			}
			frame()
			var extra traffic
			var reload, first, second []time.Duration
			generation := uint64(10)
			for b.Loop() {
				generation++
				two[generation%2].publish(b, dir, generation)
				reload = append(reload, mustReload(b, l).Elapsed)
				sent, took := frame()
				first = append(first, took)
				usual, took := frame()
				second = append(second, took)
				extra = sent.since(usual)
			}
			if extra.Resets+extra.Opens+extra.Controls != 0 {
				b.Errorf("after a reload: got traffic %+v, want only writes and reads", extra)
			}
			b.ReportMetric(float64(extra.Out), "bytes")
			b.ReportMetric(float64(extra.Writes), "transfers")
			b.ReportMetric(inMS(median(reload)), "median-ms")
			b.ReportMetric(inMS(slices.Max(reload)), "worst-ms")
			b.ReportMetric(inMS(median(first)-median(second)), "first-frame-ms")
		})
	}
}
