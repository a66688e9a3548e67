package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tpu/emulator"
)

var (
	soakTime = flag.Duration("soak", 2*time.Second, "how long TestSoak goes on")
	loadTime = flag.Duration("load", 3*time.Second, "how long BenchmarkLoad goes on")
)

// counted is how many frames ended in each way.
func (s *Server) counted() (frames map[string]uint64) {
	frames = make(map[string]uint64)
	families, _ := s.metrics.registry.Gather()
	for _, f := range families {
		if f.GetName() == "imprint_frames_total" {
			for _, m := range f.GetMetric() {
				frames[m.GetLabel()[0].GetValue()] = uint64(m.GetCounter().GetValue())
			}
		}
	}
	return frames
}

// memory is what the heap holds after a collection, and the process's resident set when
// what is free has been given back, in bytes; 0 where that is not told. It is the least
// of several looks: a state file that is being read is a tenth of the heap.
func memory() (heap, resident uint64) {
	for look := range 10 {
		debug.FreeOSMemory() // after a collection
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if look == 0 || m.HeapAlloc < heap {
			heap = m.HeapAlloc
		}
		status, _ := os.ReadFile("/proc/self/status")
		if found := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(status); found != nil {
			kb, _ := strconv.ParseUint(string(found[1]), 10, 64)
			if look == 0 || kb<<10 < resident {
				resident = kb << 10
			}
		}
		time.Sleep(min(*soakTime/100, 200*time.Millisecond))
	}
	return heap, resident
}

// TestSoak drives a car: 30 frames/s, teaching by button and by photo, removing, undoing
// and reloading, another process that teaches, listeners, an accelerator that is
// unplugged and a camera that fails. Nothing that was acknowledged may be lost, every
// frame is answered or counted as dropped or failed, and (if it goes on for minutes)
// memory does not grow by 5 %. For the numbers:
//
//	go test ./imprint/serve -run TestSoak -soak 20m -timeout 30m -v
func TestSoak(t *testing.T) {
	if testing.Short() {
		*soakTime = min(*soakTime, time.Second)
	}
	kit, stick := accelerated(t, smallModel)
	th := perform(t, setting{kit: kit, period: time.Second / 30, options: Options{Vote: 5}})
	d := &driver{theatre: th, stick: stick, taught: make(map[string]map[string]bool), random: rand.New(rand.NewPCG(1, 2))}
	th.next(0, func(Result) bool { return true })
	ctx, cancel := context.WithTimeout(context.Background(), *soakTime)
	defer cancel()
	var others sync.WaitGroup
	others.Go(func() { d.breakThings(ctx) })
	others.Go(func() { d.listen(ctx, "/v1/events") })
	others.Go(func() { d.listen(ctx, "/v1/stream.mjpg") })
	var heap, resident uint64
	for start := time.Now(); ctx.Err() == nil; {
		d.step(ctx)
		if heap == 0 && time.Since(start) > *soakTime/5 {
			heap, resident = memory()
			t.Logf("after %v: heap %.1f MB, resident %.1f MB", time.Since(start).Round(time.Second), float64(heap)/1e6, float64(resident)/1e6)
		}
	}
	others.Wait()
	heap2, resident2 := memory()
	t.Logf("at the end: heap %.1f MB, resident %.1f MB", float64(heap2)/1e6, float64(resident2)/1e6)
	if *soakTime >= 5*time.Minute && (float64(heap2) > 1.05*float64(heap) || float64(resident2) > 1.05*float64(resident)) {
		t.Errorf("memory has grown by %.1f %% on the heap and %.1f %% in all", 100*(float64(heap2)/float64(heap)-1), 100*(float64(resident2)/float64(resident)-1))
	}
	d.compare()
	if err := th.end(); err != nil {
		t.Fatal(err)
	}
	frames, sum := th.server.counted(), uint64(0)
	for _, n := range frames {
		sum += n
	}
	recoveries, _ := kit.Devices.Recoveries()
	t.Logf("%d frames: %v; %d changes, %d refused; %d times unplugged, %d recoveries; %d times no camera; generation %d", th.server.frames, frames, d.changes, d.refused, d.unplugged, recoveries, d.blind, th.server.live.Generation())
	if sum != th.server.frames {
		t.Errorf("%d frames came, and %d are accounted for: %v", th.server.frames, sum, frames)
	}
}

// A driver does all that can be done with a server, and keeps account of it.
type driver struct {
	*theatre
	stick  *emulator.Device
	random *rand.Rand
	taught map[string]map[string]bool // label → SHA-256 of what was acknowledged

	changes, refused, unplugged, blind int
}

// ask makes a request; ok is whether the server has acknowledged it.
func (d *driver) ask(method, path string, body []byte, kind string, answer any) (ok bool) {
	r, _ := http.NewRequest(method, "http://imprint"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", kind)
	resp, err := d.http.Do(r)
	if err != nil {
		d.t.Error(err)
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		d.t.Error(err)
		return false
	}
	if resp.StatusCode != 200 {
		// Only for lack of a device or a camera.
		if resp.StatusCode != 503 && resp.StatusCode != 409 && resp.StatusCode != 404 {
			d.t.Errorf("%s %s: %d %s", method, path, resp.StatusCode, b)
		}
		d.refused++
		return false
	}
	d.changes++
	if answer != nil {
		if err := json.Unmarshal(b, answer); err != nil {
			d.t.Errorf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return true
}

// step makes one change after the other: the classes turn over, so that their number
// stays the same.
func (d *driver) step(ctx context.Context) {
	label := fmt.Sprint("class ", d.random.IntN(4))
	d.stage.show(uint64(label[len(label)-1]))
	if d.ask("DELETE", "/v1/classes/"+label[:5]+"%20"+label[6:], nil, "", nil) {
		delete(d.taught, label)
	}
	if d.ask("POST", "/v1/teach", []byte(`{"label":"`+label+`","action":"start"}`), "application/json", nil) {
		sleep(ctx, 300*time.Millisecond)
		var t Teaching
		if d.ask("POST", "/v1/teach", []byte(`{"label":"`+label+`","action":"stop"}`), "application/json", &t) && t.Frames == 0 {
			d.t.Errorf("acknowledged, and nothing was taught: %+v", t)
		}
	}
	photo := backbonetest.Photo(9, d.random.Uint64())
	if d.ask("POST", "/v1/examples?label=class%20"+label[6:], photo, "image/png", nil) {
		if d.taught[label] == nil {
			d.taught[label] = make(map[string]bool)
		}
		d.taught[label][fmt.Sprintf("%x", sumOf(photo))] = true
	}
	switch d.random.IntN(4) {
	case 0:
		d.ask("POST", "/v1/reload", nil, "", nil)
	case 1: // and back
		if d.ask("POST", "/v1/retrain", nil, "", nil) {
			d.ask("POST", "/v1/undo", nil, "", nil)
		}
	case 2: // another process
		k, err := imprint.Open(d.server.dir, imprint.Options{Devices: d.server.workspace.Devices})
		if err == nil {
			err = k.Retrain(ctx, "")
			k.Close()
		}
		if err != nil && ctx.Err() == nil {
			d.t.Error(err)
		}
	}
	d.compare()
}

// compare looks whether all that was acknowledged is there.
func (d *driver) compare() {
	var list Classes
	d.do("GET", "/v1/classes", "", 200, &list)
	for label, photos := range d.taught {
		i := slices.IndexFunc(list.Classes, func(c Class) bool { return c.Label == label })
		if i < 0 {
			d.t.Errorf("generation %d has lost %s", list.Generation, label)
			continue
		}
		for sha := range photos {
			if !slices.ContainsFunc(list.Classes[i].Photos, func(p Photo) bool { return p.SHA256 == sha }) {
				d.t.Errorf("generation %d has lost photo %s of %s", list.Generation, sha, label)
			}
		}
	}
}

// breakThings unplugs the accelerator and the camera now and then.
func (d *driver) breakThings(ctx context.Context) {
	for {
		sleep(ctx, min(*soakTime/8, 20*time.Second))
		if ctx.Err() != nil {
			return
		}
		d.unplugged++
		d.stick.Unplug()
		sleep(ctx, min(*soakTime/16, 2*time.Second))
		d.stick.Plug()
		sleep(ctx, min(*soakTime/8, 10*time.Second))
		d.blind++
		d.stage.breakDown(io.ErrNoProgress)
		sleep(ctx, min(*soakTime/16, time.Second))
		d.stage.breakDown(nil)
	}
}

// listen reads a stream, and begins anew now and then.
func (d *driver) listen(ctx context.Context, path string) {
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		r, _ := http.NewRequestWithContext(short, "GET", "http://imprint"+path, nil)
		if resp, err := d.http.Do(r); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		cancel()
	}
}

// BenchmarkLoad is what 64 clients, which have photos classified over TCP as fast as
// they can, do to a camera of 30 frames/s. For the numbers:
//
//	go test ./imprint/serve -run '^$' -bench Load -benchtime 1x -load 60s
func BenchmarkLoad(b *testing.B) {
	for _, clients := range []int{0, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			th := perform(b, setting{period: time.Second / 30, anyBackbone: true})
			th.stage.show(1)
			th.next(0, func(Result) bool { return true })
			th.hold("a", 5)
			var few [][]byte
			for i := range uint64(50) {
				few = append(few, backbonetest.Photo(1, i))
			}
			th.stage.mu.Lock()
			th.stage.few = few // so that the camera is none of the load
			th.stage.mu.Unlock()
			before, from := th.server.counted(), th.server.Health().Source.Frames
			start := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), *loadTime)
			defer cancel()
			var mu sync.Mutex
			statuses := make(map[int]int)
			var all sync.WaitGroup
			for i := range clients {
				all.Go(func() {
					photo := backbonetest.Photo(2, uint64(i))
					for ctx.Err() == nil {
						r, _ := http.NewRequestWithContext(ctx, "POST", th.url+"/v1/classify", bytes.NewReader(photo))
						resp, err := http.DefaultClient.Do(r)
						status := 0
						if err == nil {
							io.Copy(io.Discard, resp.Body)
							resp.Body.Close()
							status = resp.StatusCode
						} else if ctx.Err() != nil {
							return
						}
						mu.Lock()
						statuses[status]++
						mu.Unlock()
					}
				})
			}
			<-ctx.Done()
			took := time.Since(start).Seconds()
			after, to := th.server.counted(), th.server.Health().Source.Frames
			all.Wait()
			b.ReportMetric(float64(to-from)/took, "frames/s-came")
			b.ReportMetric(float64(after["answered"]-before["answered"])/took, "frames/s-answered")
			b.ReportMetric(float64(after["dropped"]-before["dropped"]), "dropped")
			b.ReportMetric(float64(statuses[200])/took, "photos/s")
			b.ReportMetric(0, "ns/op")
			b.Logf("statuses of clients: %v", statuses)
		})
	}
}
