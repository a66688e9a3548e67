package serve

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/pool"
)

// sharedModel returns the path and the content of a model of the reference files.
func sharedModel(t testing.TB, name string) (path string, content []byte) {
	t.Helper()
	return reference.Path(t, "models", name+".tflite"), reference.Read(t, "models", name+".tflite")
}

// The models compiled for an Edge TPU that tests use.
const (
	smallModel = "mobilenet_v1_0.25_128_quant"
	extractor  = "mobilenet_v1_1.0_224_quant_embedding_extractor"
)

// accelerated is a workspace whose backbone runs on an emulated accelerator.
func accelerated(t testing.TB, name string) (imprint.Options, *emulator.Device) {
	t.Helper()
	compiled, code := sharedModel(t, name+"_edgetpu")
	_, twin := sharedModel(t, name)
	stick := emulator.New(emulator.Config{Port: tpu.Port{Bus: 1, Path: "1"}, Application: true})
	if err := stick.Register(code, twin); err != nil {
		t.Fatal(err)
	}
	bus := emulator.NewBus(stick)
	devices, err := pool.New(pool.Options{
		Device: "tpu", USB: func() (tpu.Bus, error) { return bus, nil },
		TPU: tpu.Options{Settle: -1, Timeout: time.Second, Appear: time.Second, Patience: 50 * time.Millisecond,
			Firmware: func() ([]byte, error) { return make([]byte, tpu.FirmwareSize), nil }},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := devices.Close(); err != nil {
			t.Error(err)
		}
	})
	return imprint.Options{Backbone: compiled, Devices: devices}, stick
}

// TestDeviceLostAndBack pulls the accelerator while frames are answered, and puts it
// back: the server says so, and goes on.
func TestDeviceLostAndBack(t *testing.T) {
	kit, stick := accelerated(t, smallModel)
	th := perform(t, setting{kit: kit, period: 20 * time.Millisecond})
	th.stage.show(1)
	th.next(0, func(r Result) bool { return r.Device == "usb:1-1" })
	if got := th.hold("a", 3); got.State != "done" {
		t.Errorf("taught %+v", got)
	}
	stick.Unplug()
	h := th.await(func(h Health) bool { return h.Status == "down" })
	if h.Device.State != "down" || h.Device.Error == "" || h.Source.State != "ok" {
		t.Errorf("unplugged: %+v", h)
	}
	var down Health
	th.do("GET", "/v1/health", "", 503, &down)
	th.do("POST", "/v1/classify", string(backbonetest.Photo(1, 1)), 503, nil)
	stick.Plug()
	th.await(func(h Health) bool { return h.Status == "ok" })
	th.next(th.frame(), func(r Result) bool { return r.Label == "a" && r.Device == "usb:1-1" })
	if n, known := kit.Devices.Recoveries(); n == 0 || !known {
		t.Errorf("%d recoveries", n)
	}
}

// await waits until the server is as wanted.
func (th *theatre) await(want func(Health) bool) Health {
	th.t.Helper()
	var h Health
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if h = th.server.Health(); want(h) {
			return h
		}
	}
	th.t.Fatalf("it is %+v", h)
	return h
}

// TestSourceLostAndBack unplugs the camera, spoils its pictures, and ends it.
func TestSourceLostAndBack(t *testing.T) {
	th := perform(t, setting{})
	th.next(0, func(Result) bool { return true })
	th.stage.breakDown(os.ErrClosed)
	if h := th.await(func(h Health) bool { return h.Source.State == "lost" }); h.Status != "degraded" || h.Source.Error != os.ErrClosed.Error() || h.Device.State != "ok" {
		t.Errorf("lost: %+v", h)
	}
	// A button that is held now ends in a sentence that says why nothing is learned.
	th.do("POST", "/v1/teach", `{"label":"a","action":"start"}`, 200, nil)
	var p Problem
	th.do("POST", "/v1/teach", `{"label":"a","action":"stop"}`, 409, &p)
	if want := "teach a: no frame came while the button was held: stage is lost: file already closed"; p.Error != want {
		t.Errorf("got %q, want %q", p.Error, want)
	}
	th.stage.breakDown(nil)
	th.await(func(h Health) bool { return h.Status == "ok" })
	th.next(th.frame()+1, func(Result) bool { return true })
	th.stage.fatten(int(limits.MaxBytes))
	th.await(func(h Health) bool { return h.Source.Spoilt != "" })
	th.stage.fatten(0)
	th.next(th.frame()+1, func(Result) bool { return true })
	th.stage.breakDown(io.EOF)
	th.await(func(h Health) bool { return h.Source.State == "ended" && h.Status == "ok" })
	th.do("POST", "/v1/classify", string(backbonetest.Photo(1, 1)), 200, nil)
}

// BenchmarkRelease is how long it takes from letting go of the button, 5 frames held
// at 30 frames/s, until a frame is answered with the new class. Three classes of 20
// photos are known already.
func BenchmarkRelease(b *testing.B) {
	builtin := func(testing.TB) imprint.Options { return imprint.Options{Backbone: "builtin"} }
	for _, c := range []struct {
		name string
		kit  func(testing.TB) imprint.Options
	}{
		{"backbone=builtin/device=cpu", builtin},
		{"backbone=extractor/device=cpu", func(t testing.TB) imprint.Options {
			path, _ := sharedModel(t, extractor)
			return imprint.Options{Backbone: path}
		}},
		{"backbone=extractor/device=emulator", func(t testing.TB) imprint.Options {
			kit, _ := accelerated(t, extractor)
			return kit
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			kit := c.kit(b)
			dir := filepath.Join(b.TempDir(), "ws")
			if kit.Backbone == "builtin" {
				kit.Backbone = ""
			}
			k, err := imprint.Open(dir, kit)
			if err != nil {
				b.Fatal(err)
			}
			var items []dataset.Item
			for i := range 60 {
				items = append(items, dataset.Item{Path: fmt.Sprint(i), Label: fmt.Sprint("class ", i%3), Content: backbonetest.Photo(uint64(10+i%3), uint64(i))})
			}
			if _, err := k.Add(context.Background(), items, imprint.AddOptions{}); err != nil {
				b.Fatal(err)
			}
			k.Close()
			th := perform(b, setting{dir: dir, kit: kit, period: time.Second / 30, anyBackbone: true})
			th.stage.show(1)
			th.next(0, func(Result) bool { return true })
			var times []float64
			for b.Loop() {
				if _, err := th.server.StartTeaching("new"); err != nil {
					b.Fatal(err)
				}
				th.held(5)
				released := time.Now()
				if _, err := th.server.StopTeaching(context.Background(), "new"); err != nil {
					b.Fatal(err)
				}
				th.next(0, func(r Result) bool { return r.Label == "new" })
				times = append(times, milliseconds(time.Since(released)))
				if _, err := th.server.Undo(context.Background()); err != nil {
					b.Fatal(err)
				}
				th.next(0, func(r Result) bool { return r.Label != "new" })
			}
			slices.Sort(times)
			b.ReportMetric(times[len(times)/2], "ms-median")
			b.ReportMetric(times[len(times)-1], "ms-worst")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// Where the taught layer is on the accelerator itself, teaching works as elsewhere.
func TestTeachOnTheAccelerator(t *testing.T) {
	kit, _ := accelerated(t, smallModel)
	kit.Backbone, kit.Layout = "", classifier.TPU
	kit.Compiled, _ = sharedModel(t, smallModel+"_edgetpu")
	kit.Uncompiled, _ = sharedModel(t, smallModel)
	th := perform(t, setting{kit: kit, anyBackbone: true, period: 20 * time.Millisecond})
	th.next(0, func(Result) bool { return true })
	for i, label := range []string{"a", "b"} {
		th.stage.show(uint64(i + 1))
		th.next(th.frame()+2, func(Result) bool { return true })
		if got := th.hold(label, 3); got.State != "done" || got.Frames < 3 {
			t.Errorf("taught %+v", got)
		}
		th.next(th.frame()+1, func(r Result) bool { return r.Label == label && r.Device == "usb:1-1" })
	}
}
