package imprint

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime/pprof"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tools/reference"
)

func cpuNow() time.Duration {
	var r syscall.Rusage
	syscall.Getrusage(0, &r)
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func BenchmarkZZ(b *testing.B) {
	mode := os.Getenv("ZZ")
	if mode == "" {
		b.Skip()
	}
	o := Options{Backbone: reference.Path(b, "models", "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite")}
	n := 10000
	w := withPhotos(b, o, n)
	if dir := os.Getenv("ZZDIR"); dir != "" {
		os.RemoveAll(dir)
		if err := os.CopyFS(dir, os.DirFS(w.store.Dir)); err != nil {
			b.Fatal(err)
		}
	}
	mustAdd(b, w, photos("warm", 0, 1<<40, 1)...)
	var all []time.Duration
	if p := os.Getenv("ZZPROF"); p != "" {
		f, _ := os.Create(p)
		pprof.StartCPUProfile(f)
		defer pprof.StopCPUProfile()
	}
	for i := range 12 {
		var items []dataset.Item
		items = photos("class 1", 0, uint64(i+100), 1)
		a := cpuNow()
		use := w
		if mode == "fresh" {
			var err error
			if use, err = Open(w.store.Dir, Options{Existing: true}); err != nil {
				b.Fatal(err)
			}
		}
		mustAdd(b, use, items...)
		all = append(all, cpuNow()-a)
		if use != w {
			use.Close()
		}
	}
	slices.Sort(all)
	fmt.Printf("ZZ %s min %.1f med %.1f ms\n", mode, all[0].Seconds()*1e3, all[len(all)/2].Seconds()*1e3)
	_ = filepath.Join
	for b.Loop() {
	}
}
