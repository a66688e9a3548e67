package live_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/emulator/engine"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// TestDetectorTraffic counts what a frame sends if Edge TPUs run both the detector and the backbone.
// One device loads the parameters of both models for each frame. Two devices keep them.
func TestDetectorTraffic(t *testing.T) {
	if testing.Short() {
		t.Skip("emulating a detector is slow")
	}
	detector := reference.Path(t, "models", "detect", "ssdlite_v2_1class_edgetpu.tflite")
	uncompiled := reference.Path(t, "models", "detect", "ssdlite_v2_1class.tflite")
	backboneFile, extractor := reference.Path(t, "models", pooltest.Small+"_edgetpu.tflite"), reference.Path(t, "models", pooltest.Small+".tflite")
	img := decoded(t, picture(0, 70))
	for n := 1; n <= 2; n++ {
		var devices []*emulator.Device
		for i := range n {
			d := emulator.New(emulator.Config{Port: tpu.Port{Bus: 1, Path: fmt.Sprint(i + 1)}, Application: true, Operator: engine.Operator})
			err := errors.Join(d.Register(readFile(t, detector), readFile(t, uncompiled)), d.Register(readFile(t, backboneFile), readFile(t, extractor)))
			if err != nil {
				t.Fatal(err)
			}
			devices = append(devices, d)
		}
		m := &meter{Bus: emulator.NewBus(devices...)}
		o := imprint.Options{Backbone: backboneFile, Arithmetic: backbone.EdgeTPU,
			Detector: &predict.DetectorChoice{Model: detector, Min: 0.02},
			Devices:  pooltest.New(t, pool.Options{Device: "tpu", USB: func() (tpu.Bus, error) { return m, nil }})}
		l := openLive(t, filepath.Join(t.TempDir(), "ws"), o)
		var got traffic
		var r predict.Result
		for range 2 { // the first frame opens the devices
			before := m.now()
			var err error
			if r, err = l.Observe(context.Background(), img, 1); err != nil || len(r.Boxes) == 0 {
				t.Fatalf("got %d boxes, %v", len(r.Boxes), err)
			}
			got = m.now().since(before)
		}
		var once, parameters int64
		for model, runs := range map[string]int64{detector: 1, backboneFile: int64(len(r.Boxes))} {
			p := packageOf(t, readFile(t, model))
			_, inputs := sendsOf(p.Main)
			_, caching := sendsOf(p.Caching)
			once, parameters = once+runs*inputs, parameters+caching
		}
		want := once + parameters*int64(2-n)
		if got.Out != want || got.Opens+got.Resets+got.Controls > 0 {
			t.Errorf("%d devices: a frame with %d boxes sends %+v, want %d bytes", n, len(r.Boxes), got, want)
		}
		t.Logf("%d devices, %d boxes: %d bytes in %d transfers, of which the parameters of both models are %d", n, len(r.Boxes), got.Out, got.Writes, parameters*int64(2-n))
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(fmt.Errorf("read a model: %w", err))
	}
	return b
}
