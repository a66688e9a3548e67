package live_test

import (
	"context"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

var reloads = flag.Int("reloads", 0, "number of reloads in TestReloadUnderLoad (0: 1000, or 100 with -short; on an emulated Edge TPU 20, or 5 with -short)")

// reloadCount returns the number of reloads in TestReloadUnderLoad.
func reloadCount(whole, short int) int {
	switch {
	case *reloads > 0:
		return *reloads
	case testing.Short():
		return short
	}
	return whole
}

// TestReloadUnderLoad reloads while frames arrive. Each result carries a generation number and must
// equal the result that this generation gives for the frame.
func TestReloadUnderLoad(t *testing.T) {
	t.Run("head", func(t *testing.T) {
		dir, o := newWorkspace(t)
		reloadUnderLoad(t, dir, o, nil, reloadCount(1000, 100))
	})
	t.Run("tpu", func(t *testing.T) {
		compiled, uncompiled, m, devices := metered(t, pooltest.Small)
		dir := filepath.Join(t.TempDir(), "ws")
		o := imprint.Options{Compiled: compiled, Uncompiled: uncompiled, Devices: devices}
		reloadUnderLoad(t, dir, o, devices, reloadCount(20, 5))
		if got := m.now(); got.Opens != opening.Opens || got.Resets != opening.Resets {
			t.Errorf("got %d opens and %d resets, want %d and %d", got.Opens, got.Resets, opening.Opens, opening.Resets)
		}
	})
}

// reloadUnderLoad reloads n times while frames arrive, sometimes with a damaged model.
func reloadUnderLoad(t *testing.T, dir string, o imprint.Options, devices *pool.Pool, n int) {
	t.Helper()
	variants := uint64(5)
	if testing.Short() {
		variants = 2
	}
	probes := kinds(70, 1)
	all := versions(t, dir, o, int(variants), probes)
	for i, v := range all[1:] {
		if slices.EqualFunc(v.want, all[i].want, func(a, b predict.Result) bool { return slices.Equal(a.Top, b.Top) }) {
			t.Fatal("two versions have the same results")
		}
	}
	first := uint64(100)
	all[first%variants].publish(t, dir, first)
	l := openLive(t, dir, imprint.Options{Devices: devices})
	every := perFrame
	if devices != nil {
		every *= 5 // the emulated device takes 10 to 50 ms
	}
	f := startFrames(l, images(t, probes), every)
	var worst time.Duration
	damaged := 0
	for i := range uint64(n) {
		generation := first + 1 + i
		if i%250 == 25 {
			if err := os.WriteFile(filepath.Join(dir, store.ModelFile), all[0].model[:1000], 0o644); err != nil {
				t.Fatal(err)
			}
			if _, err := l.Reload(context.Background()); err == nil {
				t.Error("reload of a cut model: got no error")
			}
			damaged++
		}
		all[generation%variants].publish(t, dir, generation)
		r := mustReload(t, l)
		if !r.Changed || r.Generation != generation {
			t.Fatalf("reload: got %+v, want generation %d", r, generation)
		}
		worst = max(worst, r.Elapsed)
		if devices != nil { // reloads are faster than frames: wait until each generation has classified a frame
			for f.newest() < generation {
				time.Sleep(time.Millisecond)
			}
		}
	}
	got := f.end()
	if len(got) != f.sent || len(got) == 0 {
		t.Errorf("got %d results for %d frames, want one for each", len(got), f.sent)
	}
	generations := make(map[uint64]bool)
	for _, a := range got {
		if a.err != nil {
			t.Fatalf("classify a frame: %v", a.err)
		}
		want := all[a.Generation%variants].want[a.probe]
		want.Generation, want.Device = a.Generation, a.Device
		if !sameResult(a.Result, want) {
			t.Fatalf("generation %d: got %+v, want %+v", a.Generation, a.Result, want)
		}
		if a.Generation < a.oldest {
			t.Errorf("generation %d classified a frame that was sent after generation %d became current", a.Generation, a.oldest)
		}
		generations[a.Generation] = true
	}
	t.Logf("%d reloads, %d of them with a damaged model; %d frames classified by %d generations; longest reload %v", n, damaged, len(got), len(generations), worst)
}

// TestReloadTraffic counts the bytes and transfers that a reload sends to an open device. A new
// head inside the compiled model must send its parameters and nothing else; a new head on the
// CPU must send nothing.
func TestReloadTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("making compiled models is slow")
	}
	t.Run("tpu", reloadTrafficTPU)
	t.Run("head", reloadTrafficHead)
}

func reloadTrafficTPU(t *testing.T) {
	compiled, uncompiled, m, devices := metered(t, pooltest.Small)
	dir := filepath.Join(t.TempDir(), "ws")
	all := versions(t, dir, imprint.Options{Compiled: compiled, Uncompiled: uncompiled}, 2, nil)
	l := openLive(t, dir, imprint.Options{Devices: devices})
	probe := decoded(t, picture(0, 70))
	frame := func() traffic {
		t.Helper()
		before := m.now()
		if _, err := l.Classify(context.Background(), probe, 1); err != nil {
			t.Fatal(err)
		}
		return m.now().since(before)
	}
	frame()
	usual := frame()
	transfers, size := sendsOf(packageOf(t, all[0].model).Caching)
	for i := range uint64(4) {
		all[i%2].publish(t, dir, 10+i)
		before := m.now()
		mustReload(t, l)
		if got := m.now().since(before); got != (traffic{}) {
			t.Errorf("reload: got %+v, want no traffic", got)
		}
		got := frame()
		if extra := got.since(usual); extra.Writes != transfers || extra.Out != size || extra.Opens != 0 || extra.Resets != 0 || extra.Controls != 0 {
			t.Errorf("first frame of a generation: got %+v more than for later frames, want %d transfers and %d bytes", extra, transfers, size)
		}
		if got := frame(); got.Writes != usual.Writes || got.Out != usual.Out {
			t.Errorf("second frame: got %+v, want %+v", got, usual)
		}
	}
	t.Logf("a frame sends %d bytes in %d transfers; the first frame of a generation sends %d more bytes in %d more transfers", usual.Out, usual.Writes, size, transfers)
}

func reloadTrafficHead(t *testing.T) {
	compiled, uncompiled, m, devices := metered(t, pooltest.Extractor)
	dir := filepath.Join(t.TempDir(), "ws")
	o := imprint.Options{Backbone: compiled, Devices: pooltest.New(t, pool.Options{Device: "cpu", Uncompiled: uncompiled})}
	all := versions(t, dir, o, 2, nil)
	l := openLive(t, dir, imprint.Options{Devices: devices})
	probe := decoded(t, picture(0, 70))
	var usual traffic
	for i := range uint64(3) {
		all[i%2].publish(t, dir, 10+i)
		before := m.now()
		if r := mustReload(t, l); !r.Changed {
			t.Errorf("reload: got %+v, want a change", r)
		}
		if got := m.now().since(before); got != (traffic{}) {
			t.Errorf("reload: got %+v, want no traffic", got)
		}
		r, err := l.Classify(context.Background(), probe, 1)
		if err != nil || r.Generation != 10+i || r.Device != "usb:1-1" {
			t.Fatalf("got %+v, %v, want generation %d on usb:1-1", r, err, 10+i)
		}
		got := m.now().since(before)
		switch i {
		case 0: // this frame opens the device
		case 1:
			usual = got
		default:
			if got.Writes != usual.Writes || got.Out != usual.Out || got.Controls != 0 {
				t.Errorf("frame after a reload: got %+v, want %+v", got, usual)
			}
		}
	}
	transfers, size := sendsOf(packageOf(t, reference.Read(t, "models", pooltest.Extractor+"_edgetpu.tflite")).Main)
	if usual.Writes != transfers || usual.Out != size {
		t.Errorf("frame: got %+v, want %d transfers and %d bytes for the program and its input", usual, transfers, size)
	}
}

// packageOf returns the executables in a compiled model.
func packageOf(t testing.TB, model []byte) *executable.Package {
	t.Helper()
	m, err := tflite.Parse(model)
	if err != nil {
		t.Fatal(err)
	}
	pkg, err := executable.Parse(m.Subgraphs[0].Operators[0].CustomOptions)
	if err != nil {
		t.Fatal(err)
	}
	return pkg
}

// sendsOf returns the number of transfers and bytes sent to run an executable. Each block is
// preceded by a header of 8 bytes in a transfer of its own.
func sendsOf(e *executable.Executable) (transfers, size int64) {
	for _, h := range e.Hints {
		switch {
		case h.Kind == executable.Instructions:
			transfers, size = transfers+2, size+8+int64(len(e.Chunks[h.Chunk].Bytes))
		case h.Kind == executable.Transfer && !h.Out:
			transfers, size = transfers+2, size+8+int64(h.Size)
		}
	}
	return transfers, size
}
