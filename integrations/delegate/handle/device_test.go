package handle_test

import (
	"path/filepath"
	"reflect"
	"sync"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/integrations/delegate/handle"
	"github.com/imprintkit/imprint/tools/reference"
)

// TestEmulatedModel runs a compiled model on an emulated device. The CPU must compute the same.
func TestEmulatedModel(t *testing.T) {
	skipUnderRace(t)
	compiled, uncompiled := reference.Path(t, "models", "mobilenet_v1_0.25_128_quant_edgetpu.tflite"), reference.Path(t, "models", "mobilenet_v1_0.25_128_quant.tflite")
	photo := handle.Photo{Content: backbonetest.Photo(4, 4)}
	answer := func(path string, pairs ...string) handle.Result {
		t.Helper()
		m, err := newLibrary().OpenModel(ctx, path, optionsOf(pairs...))
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close()
		r, err := m.Classify(ctx, &photo)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	want := answer(uncompiled, "arithmetic", "edgetpu")
	for device, name := range map[string]string{"": "usb:1-1", "usb": "usb:1-1", ":1": "usb:1-2", "usb:1-1": "usb:1-1"} {
		got := answer(compiled, "emulator", uncompiled, "device", device)
		if got.Device != name || !reflect.DeepEqual(got.Top, want.Top) {
			t.Errorf("device %q: got %s %.3f on %s, want %s %.3f on %s", device, got.Label, got.Score, got.Device, want.Label, want.Score, name)
		}
	}
	if got := answer(compiled, "device", "cpu", "uncompiled", uncompiled); !reflect.DeepEqual(got.Top, want.Top) {
		t.Errorf("on the CPU: got %s %.3f, want %s %.3f", got.Label, got.Score, want.Label, want.Score)
	}
}

// TestSharedDevice runs two models on one device, and closes one of them meanwhile.
func TestSharedDevice(t *testing.T) {
	compiled, uncompiled := reference.Path(t, "models", "mobilenet_v1_0.25_128_quant_edgetpu.tflite"), reference.Path(t, "models", "mobilenet_v1_0.25_128_quant.tflite")
	library := newLibrary()
	var models []*handle.Model
	for range 2 {
		m, err := library.OpenModel(ctx, compiled, optionsOf("emulator", uncompiled, "device", ":0"))
		if err != nil {
			t.Fatal(err)
		}
		models = append(models, m)
	}
	var wait sync.WaitGroup
	for i, m := range models {
		wait.Go(func() {
			for range 1 + 2*i {
				if _, err := m.Classify(ctx, &handle.Photo{Content: backbonetest.Photo(4, 4)}); err != nil {
					t.Error(err)
				}
			}
			if err := m.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
}

// TestEmulatedWorkspace trains the last layer in a compiled model, and classifies on an emulated
// device.
func TestEmulatedWorkspace(t *testing.T) {
	skipUnderRace(t)
	compiled, uncompiled := reference.Path(t, "models", "mobilenet_v1_0.25_128_quant_edgetpu.tflite"), reference.Path(t, "models", "mobilenet_v1_0.25_128_quant.tflite")
	dir := filepath.Join(t.TempDir(), "ws")
	photo := handle.Photo{Content: backbonetest.Photo(10, 9)}
	w := trained(t, dir, "compiled", compiled, "uncompiled", uncompiled, "emulator", uncompiled, "device", "usb")
	check := func(w *handle.Workspace, device string) handle.Result {
		t.Helper()
		r, err := w.Classify(ctx, &photo)
		if err != nil || r.Label != "dots" || r.Device != device {
			t.Fatalf("got %+v, %v, want dots on %s", r, err, device)
		}
		return r
	}
	got := check(w, "usb:1-1")
	if _, err := w.Rename(ctx, "waves", "lines"); err != nil {
		t.Fatal(err)
	}
	check(w, "usb:1-1")
	if want := check(openWorkspace(t, dir, "device", "cpu"), "cpu"); got.Score != want.Score {
		t.Errorf("got %v, want %v as on the CPU", got.Score, want.Score)
	}
}
