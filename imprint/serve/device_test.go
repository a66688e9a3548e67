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

// sharedModel returns the path and the content of a reference model.
func sharedModel(t testing.TB, name string) (path string, content []byte) {
	t.Helper()
	return reference.Path(t, "models", name+".tflite"), reference.Read(t, "models", name+".tflite")
}

// Names of reference models that also exist compiled for the Edge TPU.
const (
	smallModel = "mobilenet_v1_0.25_128_quant"
	extractor  = "mobilenet_v1_1.0_224_quant_embedding_extractor"
)

// withEdgeTPU returns options for a workspace with a backbone that runs on an emulated Edge TPU.
func withEdgeTPU(t testing.TB, name string) (imprint.Options, *emulator.Device) {
	t.Helper()
	compiledPath, compiled := sharedModel(t, name+"_edgetpu")
	_, uncompiled := sharedModel(t, name)
	device := emulator.New(emulator.Config{Port: tpu.Port{Bus: 1, Path: "1"}, Application: true})
	if err := device.Register(compiled, uncompiled); err != nil {
		t.Fatal(err)
	}
	bus := emulator.NewBus(device)
	devices, err := pool.New(pool.Options{
		Device: "tpu", USB: func() (tpu.Bus, error) { return bus, nil },
		TPU: tpu.Options{Settle: -1, Timeout: time.Minute, Appear: time.Second, Patience: 50 * time.Millisecond,
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
	return imprint.Options{Backbone: compiledPath, Devices: devices}, device
}

// TestDeviceOpened checks that health knows the Edge TPU before the first frame, and later notices that
// it was plugged in.
func TestDeviceOpened(t *testing.T) {
	for _, there := range []bool{true, false} {
		workspace, device := withEdgeTPU(t, smallModel)
		want := DeviceHealth{Name: "usb:1-1", State: "ok"}
		if !there {
			device.Unplug()
			want = DeviceHealth{State: "down"}
		}
		s := start(t, testConfig{workspace: workspace, noCamera: true})
		s.awaitHealth(func(h Health) bool { return h.Device.State == want.State && h.Device.Name == want.Name })
		if s.Health().Device.Error == "" != there {
			t.Errorf("plugged in: %v: got %+v", there, s.Health().Device)
		}
		device.Plug()
		s.awaitHealth(func(h Health) bool { return h.Device.State == "ok" && h.Device.Name == "usb:1-1" })
	}
}

// TestDeviceUnplugged unplugs the Edge TPU while frames arrive, and plugs it in again.
func TestDeviceUnplugged(t *testing.T) {
	workspace, device := withEdgeTPU(t, smallModel)
	s := start(t, testConfig{workspace: workspace, period: 20 * time.Millisecond})
	s.camera.show(1)
	s.await(0, func(r Result) bool { return r.Device == "usb:1-1" })
	if got := s.teach("a", 3); got.State != "done" {
		t.Errorf("after training: got %+v, want state done", got)
	}
	device.Unplug()
	h := s.awaitHealth(func(h Health) bool { return h.Status == "down" })
	if h.Device.State != "down" || h.Device.Error == "" || h.Source.State != "ok" {
		t.Errorf("after unplugging: got health %+v, want only the device down", h)
	}
	var down Health
	s.do("GET", "/v1/health", "", 503, &down)
	s.do("POST", "/v1/classify", string(backbonetest.Photo(1, 1)), 503, nil)
	device.Plug()
	s.awaitHealth(func(h Health) bool { return h.Status == "ok" })
	s.await(s.newest(), func(r Result) bool { return r.Label == "a" && r.Device == "usb:1-1" })
	if n, known := workspace.Devices.Recoveries(); n == 0 || !known {
		t.Errorf("got %d recoveries, want at least 1", n)
	}
}

// TestCameraLost makes the camera fail, work again, and end.
func TestCameraLost(t *testing.T) {
	s := start(t, testConfig{})
	s.await(0, anyResult)
	s.camera.fail(os.ErrClosed)
	if h := s.awaitHealth(func(h Health) bool { return h.Source.State == "lost" }); h.Status != "degraded" || h.Source.Error != os.ErrClosed.Error() || h.Device.State != "ok" {
		t.Errorf("lost camera: got health %+v, want only the source lost", h)
	}
	// Training must now fail and say that the source is lost.
	s.do("POST", "/v1/teach", `{"label":"a","action":"start"}`, 200, nil)
	var p Problem
	s.do("POST", "/v1/teach", `{"label":"a","action":"stop"}`, 409, &p)
	if want := "train a: no frame arrived while the button was held: fake is lost: file already closed"; p.Error != want {
		t.Errorf("got %q, want %q", p.Error, want)
	}
	s.camera.fail(nil)
	s.awaitHealth(func(h Health) bool { return h.Status == "ok" })
	s.awaitNext(2)
	s.camera.pad(int(photoLimits.MaxBytes))
	s.awaitHealth(func(h Health) bool { return h.Source.Spoilt != "" })
	s.camera.pad(0)
	s.awaitNext(2)
	s.camera.fail(io.EOF)
	s.awaitHealth(func(h Health) bool { return h.Source.State == "ended" && h.Status == "ok" })
	s.do("POST", "/v1/classify", string(backbonetest.Photo(1, 1)), 200, nil)
}

// TestTeachLayoutTPU trains a last layer that runs on the Edge TPU itself.
func TestTeachLayoutTPU(t *testing.T) {
	workspace, _ := withEdgeTPU(t, smallModel)
	workspace.Backbone, workspace.Layout = "", classifier.TPU
	workspace.Compiled, _ = sharedModel(t, smallModel+"_edgetpu")
	workspace.Uncompiled, _ = sharedModel(t, smallModel)
	s := start(t, testConfig{workspace: workspace, anyBackbone: true, period: 20 * time.Millisecond})
	s.await(0, anyResult)
	for i, label := range []string{"a", "b"} {
		s.camera.show(uint64(i + 1))
		s.awaitNext(3)
		if got := s.teach(label, 3); got.State != "done" || got.Frames < 3 {
			t.Errorf("after training: got %+v, want state done", got)
		}
		s.await(s.newest(), func(r Result) bool { return r.Label == label && r.Device == "usb:1-1" })
	}
}

// BenchmarkRelease measures the time from the release of a button, held for 5 frames at
// 30 frames per second, to the first frame classified as the new class. The workspace has
// three classes of 20 photos.
func BenchmarkRelease(b *testing.B) {
	for _, c := range []struct {
		name      string
		workspace func(testing.TB) imprint.Options
	}{
		{"backbone=builtin/device=cpu", func(testing.TB) imprint.Options { return imprint.Options{} }},
		{"backbone=extractor/device=cpu", func(t testing.TB) imprint.Options {
			path, _ := sharedModel(t, extractor)
			return imprint.Options{Backbone: path}
		}},
		{"backbone=extractor/device=emulator", func(t testing.TB) imprint.Options {
			workspace, _ := withEdgeTPU(t, extractor)
			return workspace
		}},
	} {
		b.Run(c.name, func(b *testing.B) {
			workspace := c.workspace(b)
			s := start(b, testConfig{dir: threeClasses(b, workspace), workspace: workspace, period: time.Second / 30, anyBackbone: true})
			s.camera.show(1)
			s.await(0, anyResult)
			var times []float64
			for b.Loop() {
				if _, err := s.StartTeaching("new", ""); err != nil {
					b.Fatal(err)
				}
				s.awaitHeld(5)
				released := time.Now()
				if _, err := s.StopTeaching(context.Background(), "new"); err != nil {
					b.Fatal(err)
				}
				s.await(0, func(r Result) bool { return r.Label == "new" })
				times = append(times, milliseconds(time.Since(released)))
				if _, err := s.Undo(context.Background()); err != nil {
					b.Fatal(err)
				}
				s.await(0, func(r Result) bool { return r.Label != "new" })
			}
			slices.Sort(times)
			b.ReportMetric(times[len(times)/2], "ms-median")
			b.ReportMetric(times[len(times)-1], "ms-worst")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// threeClasses creates a workspace with three classes of 20 photos.
func threeClasses(t testing.TB, o imprint.Options) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "ws")
	ws, err := imprint.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var items []dataset.Item
	for i := range 60 {
		items = append(items, dataset.Item{Path: fmt.Sprint(i), Label: fmt.Sprint("class ", i%3), Content: backbonetest.Photo(uint64(10+i%3), uint64(i))})
	}
	if _, err := ws.Add(context.Background(), items, imprint.AddOptions{}); err != nil {
		t.Fatal(err)
	}
	return dir
}
