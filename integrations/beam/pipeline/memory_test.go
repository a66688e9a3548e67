package pipeline

import (
	"context"
	"crypto/sha256"
	"fmt"
	"image"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// madeUp makes a set of n made-up embeddings of 20 classes. Every 20th differs from another in one value.
func madeUp(t *testing.T, n int) (dir string) {
	t.Helper()
	e, err := bulk.Open(bulk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	photos, labels := make([]embeddings.Photo, n), make([]string, n)
	for i := range photos {
		photos[i].Path, labels[i] = fmt.Sprint(i), fmt.Sprint("class", i%20)
	}
	j, u := create(t, photos, labels, 2000), embeddings.NewUnits(e)
	for chunk := range j.Chunks {
		var rows []embeddings.Row
		for i := chunk * j.ChunkSize; i < min(n, (chunk+1)*j.ChunkSize); i++ {
			id := i
			if i%20 == 19 {
				id -= 10 // of another class
			}
			class, own := rand.New(rand.NewPCG(uint64(id%20), 1)), rand.New(rand.NewPCG(uint64(id), 2))
			raw := make([]byte, j.Size)
			for k := range raw {
				raw[k] = byte(class.IntN(128) + own.IntN(128))
			}
			raw[0] = byte(i)
			sum := sha256.Sum256([]byte(photos[i].Path))
			rows = append(rows, embeddings.Row{Position: int64(i), Label: labels[i], Path: photos[i].Path, SHA256: sum[:], Embedding: raw})
		}
		if err := j.WriteShard(chunk, rows, nil, u); err != nil {
			t.Fatal(err)
		}
	}
	set, err := j.Merge(nil, u)
	if err != nil {
		t.Fatal(err)
	}
	set.Close()
	return j.Dir
}

// TestNearDuplicatesInCells checks that comparing only some cells finds the near-duplicates of all classes.
func TestNearDuplicatesInCells(t *testing.T) {
	p := &place{Dir: madeUp(t, fewForCells)}
	if err := p.openSet(); err != nil {
		t.Fatal(err)
	}
	defer p.close()
	all, err := p.set.Pick(p.units, upTo(fewForCells))
	if err != nil {
		t.Fatal(err)
	}
	limit := classifier.NearDuplicateDistance(all)
	want := classifier.Groups(classifier.NearDuplicatesBetween(all, all, limit))
	for _, threads := range []int{1, 3} {
		got, err := nearDuplicates(context.Background(), p, Options{Threads: threads}, limit, true)
		if err != nil || len(want) < fewForCells/20 || !slices.EqualFunc(got, want, slices.Equal) {
			t.Errorf("%d threads: got %d groups, error %v, want %d", threads, len(got), err, len(want))
		}
	}
}

// peakMemory returns the largest number of bytes in use at a garbage collection while f runs.
func peakMemory(f func()) uint64 {
	defer debug.SetGCPercent(debug.SetGCPercent(20)) // to measure often
	runtime.GC()
	var peak atomic.Uint64
	var stopped atomic.Bool
	var measure func()
	measure = func() {
		sample := []metrics.Sample{{Name: "/gc/heap/live:bytes"}}
		metrics.Read(sample)
		peak.Store(max(peak.Load(), sample[0].Value.Uint64()))
		if !stopped.Load() { // the next collection calls measure again
			runtime.AddCleanup(new([8]*int), func(int) { measure() }, 0)
		}
	}
	measure()
	f()
	stopped.Store(true)
	return peak.Load()
}

// TestMemory checks that the memory does not grow with the photos, except for the bytes that docs/beam.md states.
func TestMemory(t *testing.T) {
	ctx, o := context.Background(), Options{Threads: 2}
	photo := filepath.Join(t.TempDir(), "photo.png")
	f, err := os.Create(photo)
	if err != nil {
		t.Fatal(err)
	}
	if err := png.Encode(f, image.NewGray(image.Rect(0, 0, 1200, 900))); err != nil {
		t.Fatal(err)
	}
	f.Close()
	embed := func(n int) func() error {
		photos, labels := slices.Repeat([]embeddings.Photo{{Path: photo}}, n), slices.Repeat([]string{"a"}, n)
		j := create(t, photos, labels, 10)
		return func() error {
			_, err := Embed(ctx, j, o)
			return err
		}
	}
	fit := func(n int) func() error {
		dir := madeUp(t, n)
		return func() error {
			_, err := Fit(ctx, dir, dir, classifier.Auto, o)
			return err
		}
	}
	evaluate := func(n int) func() error {
		dir := madeUp(t, n)
		return func() error {
			_, err := Evaluate(ctx, dir, []classifier.Method{classifier.Auto}, []int{1}, 1, o)
			return err
		}
	}
	for _, test := range []struct {
		name string
		make func(n int) func() error
		n    int
		most uint64 // bytes for each photo; a decoded photo has a million, the values of an embedding 2048
	}{{"embed", embed, 40, 200_000}, {"fit", fit, 9000, 800}, {"evaluate", evaluate, 9000, 800}} {
		var peak [2]uint64
		for k, n := range []int{test.n, 4 * test.n} {
			work := test.make(n)
			peak[k] = peakMemory(func() { err = work() })
			if err != nil {
				t.Fatalf("%s: %v", test.name, err)
			}
		}
		t.Logf("%s: %d kB for %d photos, %d kB for %d", test.name, peak[0]/1000, test.n, peak[1]/1000, 4*test.n)
		if peak[1] > peak[0]+3*uint64(test.n)*test.most {
			t.Errorf("%s needs %d bytes for %d photos and %d for %d, at most %d more are expected for each", test.name, peak[0], test.n, peak[1], 4*test.n, test.most)
		}
	}
}
