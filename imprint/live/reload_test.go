package live_test

import (
	"context"
	"flag"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

var reloads = flag.Int("reloads", 0, "how often TestReloadUnderLoad reloads (0: 1000, or 100 with -short, and 20 or 5 on an emulated Edge TPU)")

// meter is a bus that counts what goes over it.
type meter struct {
	tpu.Bus
	opens, resets, controls, writes, reads, out atomic.Int64
}

type meteredConn struct {
	tpu.Conn
	m *meter
}

func (m *meter) Open(ctx context.Context, port tpu.Port) (tpu.Conn, error) {
	m.opens.Add(1)
	c, err := m.Bus.Open(ctx, port)
	return meteredConn{c, m}, err
}

func (c meteredConn) Reset(ctx context.Context) error {
	c.m.resets.Add(1)
	return c.Conn.Reset(ctx)
}

func (c meteredConn) Control(ctx context.Context, requestType, request uint8, value, index uint16, p []byte) (int, error) {
	c.m.controls.Add(1)
	return c.Conn.Control(ctx, requestType, request, value, index, p)
}

func (c meteredConn) Write(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.m.writes.Add(1)
	c.m.out.Add(int64(len(p)))
	return c.Conn.Write(ctx, endpoint, p)
}

func (c meteredConn) Read(ctx context.Context, endpoint uint8, p []byte) (int, error) {
	c.m.reads.Add(1)
	return c.Conn.Read(ctx, endpoint, p)
}

// traffic is what has gone over the bus.
type traffic struct{ Opens, Resets, Controls, Writes, Reads, Out int64 }

func (m *meter) now() traffic {
	return traffic{m.opens.Load(), m.resets.Load(), m.controls.Load(), m.writes.Load(), m.reads.Load(), m.out.Load()}
}

func (t traffic) since(u traffic) traffic {
	return traffic{t.Opens - u.Opens, t.Resets - u.Resets, t.Controls - u.Controls, t.Writes - u.Writes, t.Reads - u.Reads, t.Out - u.Out}
}

// metered gives the devices of a meter on an emulated bus.
func metered(t testing.TB, model string) (compiled, twin string, m *meter, d *pool.Pool) {
	t.Helper()
	compiled, twin, usb := emulated(t, 1, model)
	bus, err := usb()
	if err != nil {
		t.Fatal(err)
	}
	m = &meter{Bus: bus}
	return compiled, twin, m, pooltest.New(t, pool.Options{Device: "tpu", USB: func() (tpu.Bus, error) { return m, nil }})
}

// opening is what opening a device once takes: it is opened, reset, and opened again.
var opening = traffic{Opens: 2, Resets: 1}

// A version is what a workspace publishes, and what it answers.
type version struct {
	state  *store.State
	model  []byte
	labels []byte
	want   []predict.Result // of each probe
}

// versions teaches a workspace n times something else, and keeps what was published
// and what a imprint.Workspace answers for the probes then.
func versions(t testing.TB, dir string, o imprint.Options, n int, probes []dataset.Item) []version {
	t.Helper()
	k := openWorkspace(t, dir, o)
	var all []version
	for i := range n {
		var items []dataset.Item
		for kind := range uint64(4) { // the labels wander over the kinds
			items = append(items, photos(fmt.Sprint("class ", (kind+uint64(i))%4), 2*kind, uint64(10*i), 1)...)
		}
		if i > 0 {
			if _, err := k.Undo(context.Background()); err != nil {
				t.Fatal(err)
			}
		}
		mustAdd(t, k, items...)
		v := versionOf(t, k, dir)
		v.want = classify(t, k, probes...)
		all = append(all, v)
	}
	return all
}

// versionOf is what w has published in dir.
func versionOf(t testing.TB, w *imprint.Workspace, dir string) version {
	t.Helper()
	files := store.Store{Dir: dir}
	s, _, err := files.Load()
	if err != nil {
		t.Fatal(err)
	}
	labels, err := os.ReadFile(files.Path(store.LabelsFile))
	if err != nil {
		t.Fatal(err)
	}
	return version{state: s, model: readModel(t, w), labels: labels}
}

// publish makes v generation n of the workspace, as a imprint.Workspace does, but for the syncing,
// which would take all the time.
func (v *version) publish(t testing.TB, dir string, n uint64) {
	t.Helper()
	s := *v.state
	s.Generation = n
	b, err := s.Encode(store.MaxState)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range []store.Replacement{{Path: store.SlotFile(n), Content: b}, {Path: store.LabelsFile, Content: v.labels}, {Path: store.ModelFile, Content: v.model}} {
		path := filepath.Join(dir, f.Path)
		if err := os.WriteFile(path+".new", f.Content, 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
}

// A frameLoop asks a live.Live about probes in turn at a steady rate, several at a time if
// need be.
type frameLoop struct {
	frames sync.WaitGroup
	stop   chan struct{}
	asked  int
	done   chan struct{}
	mu     sync.Mutex
	got    []frameAnswer
}

type frameAnswer struct {
	probe int
	least uint64 // the generation served before it was asked
	predict.Result
	err  error
	took time.Duration
}

const perFrame = time.Second / 200

func startFrames(l *live.Live, probes []image.Image, every time.Duration) *frameLoop {
	f := &frameLoop{stop: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(f.done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		asking := make(chan struct{}, 16) // a machine that is too slow for the rate asks later
		for {
			select {
			case <-tick.C:
			case <-f.stop:
				f.frames.Wait()
				return
			}
			probe := f.asked % len(probes)
			f.asked++
			asking <- struct{}{}
			f.frames.Go(func() {
				defer func() { <-asking }()
				least, start := l.Generation(), time.Now()
				r, err := l.Classify(context.Background(), probes[probe], 0)
				f.mu.Lock()
				defer f.mu.Unlock()
				f.got = append(f.got, frameAnswer{probe, least, r, err, time.Since(start)})
			})
		}
	}()
	return f
}

func (f *frameLoop) end() []frameAnswer {
	close(f.stop)
	<-f.done
	return f.got
}

func images(t testing.TB, items []dataset.Item) (all []image.Image) {
	t.Helper()
	for _, it := range items {
		all = append(all, decoded(t, it.Content))
	}
	return all
}

// Every frame is answered, and each answer is exactly that of the generation that it
// says, however often the model changes meanwhile.
func TestReloadUnderLoad(t *testing.T) {
	probes := kinds(70, 1)
	variants := uint64(5)
	if testing.Short() {
		variants = 2
	}
	run := func(t *testing.T, dir string, o imprint.Options, devices *pool.Pool, n int) {
		all := versions(t, dir, o, int(variants), probes)
		for i, v := range all[1:] {
			if slices.EqualFunc(v.want, all[i].want, func(a, b predict.Result) bool { return slices.Equal(a.Top, b.Top) }) {
				t.Fatal("two versions can't be told from each other by their answers")
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
		bad := 0
		for i := range uint64(n) {
			generation := first + 1 + i
			if i%250 == 25 { // what can't be used is no harm either
				if err := os.WriteFile(filepath.Join(dir, store.ModelFile), all[0].model[:1000], 0o644); err != nil {
					t.Fatal(err)
				}
				if _, err := l.Reload(context.Background()); err == nil {
					t.Error("half a model is served")
				}
				bad++
			}
			all[generation%variants].publish(t, dir, generation)
			r := mustReload(t, l)
			if !r.Changed || r.Generation != generation {
				t.Fatalf("reload to %d: got %+v", generation, r)
			}
			worst = max(worst, r.Elapsed)
			if devices != nil { // let each be seen
				for f.seen() < generation {
					time.Sleep(time.Millisecond)
				}
			}
		}
		got := f.end()
		if len(got) != f.asked || len(got) == 0 {
			t.Errorf("%d answers to %d frames", len(got), f.asked)
		}
		seen := make(map[uint64]bool)
		for _, a := range got {
			if a.err != nil {
				t.Fatalf("a frame has no answer: %v", a.err)
			}
			want := all[a.Generation%variants].want[a.probe]
			want.Generation, want.Device = a.Generation, a.Device
			if !sameResult(a.Result, want) {
				t.Fatalf("generation %d answers %+v, want %+v", a.Generation, a.Result, want)
			}
			if a.Generation < a.least {
				t.Errorf("generation %d answers when %d is served", a.Generation, a.least)
			}
			seen[a.Generation] = true
		}
		t.Logf("%d reloads, %d of a bad file, %d frames from %d generations, longest reload %v", n, bad, len(got), len(seen), worst)
	}
	count := func(whole, short int) int {
		switch {
		case *reloads > 0:
			return *reloads
		case testing.Short():
			return short
		}
		return whole
	}
	t.Run("tail", func(t *testing.T) {
		dir, o := newWorkspace(t)
		run(t, dir, o, nil, count(1000, 100))
	})
	t.Run("tpu", func(t *testing.T) {
		compiled, twin, m, devices := metered(t, smallModel)
		dir := filepath.Join(t.TempDir(), "ws")
		run(t, dir, imprint.Options{Compiled: compiled, Uncompiled: twin, Devices: devices}, devices, count(20, 5))
		if got := m.now(); got.Opens != opening.Opens || got.Resets != opening.Resets {
			t.Errorf("opened %d times and reset %d times, want %d and %d", got.Opens, got.Resets, opening.Opens, opening.Resets)
		}
	})
}

// seen is the newest generation that has answered.
func (f *frameLoop) seen() (newest uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.got {
		newest = max(newest, a.Generation)
	}
	return newest
}

// sent is what running an executable's sends take: transfers and bytes, each with a
// header of 8 bytes in a transfer of its own.
func sent(t testing.TB, e *executable.Executable) (transfers, bytes int64) {
	t.Helper()
	for _, h := range e.Hints {
		switch {
		case h.Kind == executable.Instructions:
			transfers, bytes = transfers+2, bytes+8+int64(len(e.Chunks[h.Chunk].Bytes))
		case h.Kind == executable.Transfer && !h.Out:
			transfers, bytes = transfers+2, bytes+8+int64(h.Size)
		}
	}
	return transfers, bytes
}

// A new generation in the TPU layout costs the open device its parameters and nothing
// else; one behind a backbone on a device costs the device nothing at all.
func TestReloadTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("templates take long, and the race detector sees nothing of it")
	}
	ctx := context.Background()
	probe := decoded(t, picture(0, 70))
	t.Run("tpu", func(t *testing.T) {
		compiled, twin, m, devices := metered(t, smallModel)
		dir := filepath.Join(t.TempDir(), "ws")
		all := versions(t, dir, imprint.Options{Compiled: compiled, Uncompiled: twin}, 2, nil)
		l := openLive(t, dir, imprint.Options{Devices: devices})
		frame := func() traffic {
			t.Helper()
			before := m.now()
			if _, err := l.Classify(ctx, probe, 1); err != nil {
				t.Fatal(err)
			}
			return m.now().since(before)
		}
		frame()
		usual := frame()
		pkg, err := compiledPackage(all[0].model)
		if err != nil {
			t.Fatal(err)
		}
		transfers, bytes := sent(t, pkg.Caching)
		for i := range uint64(4) {
			all[i%2].publish(t, dir, 10+i)
			before := m.now()
			mustReload(t, l)
			if got := m.now().since(before); got != (traffic{}) {
				t.Errorf("a reload itself sends %+v", got)
			}
			got := frame()
			if extra := got.since(usual); extra.Writes != transfers || extra.Out != bytes || extra.Opens != 0 || extra.Resets != 0 || extra.Controls != 0 {
				t.Errorf("the first frame of a generation costs %+v more than another, want %d transfers and %d bytes", extra, transfers, bytes)
			}
			if got := frame(); got.Writes != usual.Writes || got.Out != usual.Out {
				t.Errorf("the second frame costs %+v, want %+v", got, usual)
			}
		}
		t.Logf("a frame sends %d bytes in %d transfers, a new generation %d bytes in %d more", usual.Out, usual.Writes, bytes, transfers)
	})
	t.Run("tail", func(t *testing.T) {
		compiled, twin, m, devices := metered(t, extractorModel)
		dir := filepath.Join(t.TempDir(), "ws")
		on := imprint.Options{Backbone: compiled, Devices: pooltest.New(t, pool.Options{Device: "cpu", Uncompiled: twin})}
		all := versions(t, dir, on, 2, nil)
		l := openLive(t, dir, imprint.Options{Devices: devices})
		var usual traffic
		for i := range uint64(3) {
			all[i%2].publish(t, dir, 10+i)
			before := m.now()
			if r := mustReload(t, l); !r.Changed {
				t.Errorf("got %+v", r)
			}
			if got := m.now().since(before); got != (traffic{}) {
				t.Errorf("a reload sends %+v", got)
			}
			r, err := l.Classify(ctx, probe, 1)
			if err != nil || r.Generation != 10+i || r.Device != "usb:1-1" {
				t.Fatalf("got %+v, %v", r, err)
			}
			got := m.now().since(before)
			switch i {
			case 0:
			case 1:
				usual = got
			default:
				if got.Writes != usual.Writes || got.Out != usual.Out || got.Controls != 0 {
					t.Errorf("a frame after a reload costs %+v, want %+v", got, usual)
				}
			}
		}
		parameters, bytes := sent(t, func() *executable.Executable {
			pkg, err := compiledPackage(reference.Read(t, "models", extractorModel+"_edgetpu.tflite"))
			if err != nil {
				t.Fatal(err)
			}
			return pkg.Main
		}())
		if usual.Writes != parameters || usual.Out != bytes {
			t.Errorf("a frame costs %+v, want %d transfers and %d bytes: the program and its input", usual, parameters, bytes)
		}
	})
}

// compiledPackage is the program in a compiled model.
func compiledPackage(file []byte) (*executable.Package, error) {
	m, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	return executable.Parse(m.Subgraphs[0].Operators[0].CustomOptions)
}
