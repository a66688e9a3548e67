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
	soakTime = flag.Duration("soak", 2*time.Second, "how long TestSoak runs")
	loadTime = flag.Duration("load", 3*time.Second, "how long BenchmarkLoad runs")
)

// frameCounts returns the number of frames by result.
func (s *Server) frameCounts() map[string]uint64 {
	m := s.metrics
	return map[string]uint64{"answered": m.answered.Get(), "dropped": m.dropped.Get(), "failed": m.failedFrames.Get()}
}

var residentSize = regexp.MustCompile(`VmRSS:\s+(\d+) kB`)

// memory returns the size of the heap and of the resident set after garbage collection, in
// bytes. It takes the minimum of ten samples, because reading the state file takes a tenth of
// the heap. resident is 0 if it is not known.
func memory() (heap, resident uint64) {
	for sample := range 10 {
		debug.FreeOSMemory() // runs a garbage collection first
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		if sample == 0 || m.HeapAlloc < heap {
			heap = m.HeapAlloc
		}
		status, _ := os.ReadFile("/proc/self/status")
		if found := residentSize.FindSubmatch(status); found != nil {
			kb, _ := strconv.ParseUint(string(found[1]), 10, 64)
			if sample == 0 || kb<<10 < resident {
				resident = kb << 10
			}
		}
		time.Sleep(min(*soakTime/100, 200*time.Millisecond))
	}
	return heap, resident
}

// TestSoak uses all features at the same time. The camera delivers 30 frames per second, classes
// are trained by button and by photo, changes are undone, the workspace is reloaded and also
// changed by another process, clients listen, the Edge TPU is unplugged, and the camera fails. No
// acknowledged change may be lost, and every frame must be classified or counted as dropped or
// failed. In a run of at least five minutes, memory must grow by less than 5 %. To reproduce the
// numbers in docs/serve.md:
//
//	go test ./imprint/serve -run TestSoak -soak 20m -timeout 30m -v
func TestSoak(t *testing.T) {
	if testing.Short() {
		*soakTime = min(*soakTime, time.Second)
	}
	workspace, device := withEdgeTPU(t, smallModel)
	s := start(t, testConfig{workspace: workspace, period: time.Second / 30, options: Options{Vote: 5}})
	d := &driver{testServer: s, edgeTPU: device, added: make(map[string]map[string]bool), random: rand.New(rand.NewPCG(1, 2))}
	s.await(0, anyResult)
	ctx, cancel := context.WithTimeout(context.Background(), *soakTime)
	defer cancel()
	var others sync.WaitGroup
	others.Go(func() { d.breakHardware(ctx) })
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
		t.Errorf("memory grew by %.1f %% on the heap and %.1f %% in total", 100*(float64(heap2)/float64(heap)-1), 100*(float64(resident2)/float64(resident)-1))
	}
	d.checkPhotos()
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	counts, total := s.frameCounts(), uint64(0)
	for _, n := range counts {
		total += n
	}
	recoveries, _ := workspace.Devices.Recoveries()
	t.Logf("%d frames: %v; %d changes, %d refused; unplugged %d times, %d recoveries; camera lost %d times; generation %d", s.intake.frames(), counts, d.changes, d.refused, d.unplugged, recoveries, d.cameraLost, s.live.Generation())
	if total != s.intake.frames() {
		t.Errorf("%d frames arrived, but %d are counted: %v", s.intake.frames(), total, counts)
	}
}

// A driver uses every feature of a server and tracks the changes that the server acknowledged.
type driver struct {
	*testServer
	edgeTPU *emulator.Device
	random  *rand.Rand
	added   map[string]map[string]bool // SHA-256 of the acknowledged photos by label

	changes, refused, unplugged, cameraLost int
}

// request sends a request and reports whether the server acknowledged the change.
func (d *driver) request(method, path string, body []byte, contentType string, response any) (ok bool) {
	r, _ := http.NewRequest(method, "http://imprint"+path, bytes.NewReader(body))
	r.Header.Set("Content-Type", contentType)
	resp, err := d.client.Do(r)
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
		// These status codes are expected without a device or camera.
		if resp.StatusCode != 503 && resp.StatusCode != 409 && resp.StatusCode != 404 {
			d.t.Errorf("%s %s: got status %d: %s", method, path, resp.StatusCode, b)
		}
		d.refused++
		return false
	}
	d.changes++
	if response != nil {
		if err := json.Unmarshal(b, response); err != nil {
			d.t.Errorf("%s %s: %v in %s", method, path, err, b)
		}
	}
	return true
}

// step makes several changes. It replaces classes, so that their number stays the same.
func (d *driver) step(ctx context.Context) {
	label := fmt.Sprint("class ", d.random.IntN(4))
	d.camera.show(uint64(label[len(label)-1]))
	if d.request("DELETE", "/v1/classes/"+label[:5]+"%20"+label[6:], nil, "", nil) {
		delete(d.added, label)
	}
	if d.request("POST", "/v1/teach", []byte(`{"label":"`+label+`","action":"start"}`), "application/json", nil) {
		sleep(ctx, 300*time.Millisecond)
		var t Teaching
		if d.request("POST", "/v1/teach", []byte(`{"label":"`+label+`","action":"stop"}`), "application/json", &t) && t.Frames == 0 {
			d.t.Errorf("training was acknowledged without frames: %+v", t)
		}
	}
	photo := backbonetest.Photo(9, d.random.Uint64())
	if d.request("POST", "/v1/examples?label=class%20"+label[6:], photo, "image/png", nil) {
		if d.added[label] == nil {
			d.added[label] = make(map[string]bool)
		}
		d.added[label][fmt.Sprintf("%x", sumOf(photo))] = true
	}
	switch d.random.IntN(4) {
	case 0:
		d.request("POST", "/v1/reload", nil, "", nil)
	case 1:
		if d.request("POST", "/v1/retrain", nil, "", nil) {
			d.request("POST", "/v1/undo", nil, "", nil)
		}
	case 2: // change the workspace as another process does
		ws, err := imprint.Open(d.workspace.dir, imprint.Options{Devices: d.workspace.options.Devices})
		if err == nil {
			err = ws.Retrain(ctx, "")
			ws.Close()
		}
		if err != nil && ctx.Err() == nil {
			d.t.Error(err)
		}
	}
	d.checkPhotos()
}

// checkPhotos checks that no acknowledged photo is lost.
func (d *driver) checkPhotos() {
	var list Classes
	d.do("GET", "/v1/classes", "", 200, &list)
	for label, photos := range d.added {
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

// breakHardware unplugs the Edge TPU and makes the camera fail from time to time.
func (d *driver) breakHardware(ctx context.Context) {
	for {
		sleep(ctx, min(*soakTime/8, 20*time.Second))
		if ctx.Err() != nil {
			return
		}
		d.unplugged++
		d.edgeTPU.Unplug()
		sleep(ctx, min(*soakTime/16, 2*time.Second))
		d.edgeTPU.Plug()
		sleep(ctx, min(*soakTime/8, 10*time.Second))
		d.cameraLost++
		d.camera.fail(io.ErrNoProgress)
		sleep(ctx, min(*soakTime/16, time.Second))
		d.camera.fail(nil)
	}
}

// listen reads a stream, and reconnects every five seconds.
func (d *driver) listen(ctx context.Context, path string) {
	for ctx.Err() == nil {
		short, cancel := context.WithTimeout(ctx, 5*time.Second)
		r, _ := http.NewRequestWithContext(short, "GET", "http://imprint"+path, nil)
		if resp, err := d.client.Do(r); err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		cancel()
	}
}

// BenchmarkLoad measures how a camera's 30 frames per second are classified while 64 clients
// classify photos over TCP as fast as they can. To reproduce the numbers in docs/serve.md:
//
//	go test ./imprint/serve -run '^$' -bench Load -benchtime 1x -load 60s
func BenchmarkLoad(b *testing.B) {
	for _, clients := range []int{0, 64} {
		b.Run(fmt.Sprint("clients=", clients), func(b *testing.B) {
			s := start(b, testConfig{period: time.Second / 30, anyBackbone: true})
			s.camera.show(1)
			s.await(0, anyResult)
			s.teach("a", 5)
			var fixed [][]byte
			for i := range uint64(50) {
				fixed = append(fixed, backbonetest.Photo(1, i))
			}
			s.camera.mu.Lock()
			s.camera.fixed = fixed // rendering would add to the load
			s.camera.mu.Unlock()
			before, from := s.frameCounts(), s.intake.frames()
			start := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), *loadTime)
			defer cancel()
			statuses := classifyFrom(ctx, clients, s.url)
			<-ctx.Done()
			took := time.Since(start).Seconds()
			after, to := s.frameCounts(), s.intake.frames()
			counts := statuses()
			b.ReportMetric(float64(to-from)/took, "frames/s-came")
			b.ReportMetric(float64(after["answered"]-before["answered"])/took, "frames/s-answered")
			b.ReportMetric(float64(after["dropped"]-before["dropped"]), "dropped")
			b.ReportMetric(float64(counts[200])/took, "photos/s")
			b.ReportMetric(0, "ns/op")
			b.Logf("clients got statuses %v", counts)
		})
	}
}

// classifyFrom starts clients that classify photos until ctx ends. statuses waits for the
// clients and returns the number of responses by status; failed requests count as status 0.
func classifyFrom(ctx context.Context, clients int, url string) (statuses func() map[int]int) {
	var mu sync.Mutex
	counts := make(map[int]int)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			photo := backbonetest.Photo(2, uint64(i))
			for ctx.Err() == nil {
				r, _ := http.NewRequestWithContext(ctx, "POST", url+"/v1/classify", bytes.NewReader(photo))
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
				counts[status]++
				mu.Unlock()
			}
		})
	}
	return func() map[int]int {
		all.Wait()
		return counts
	}
}
