package tflitepeer

import (
	"runtime"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

// TestPeerLiteRT compares LiteRT's outputs, with its default kernels and with XNNPACK, with the recorded outputs of
// TensorFlow Lite 2.9, which are also ours. The default kernels still give the same bytes, except in int8 MEAN, which
// newer versions round differently. XNNPACK scales sums in float32 and rounds ties to even, so values differ by 1 after
// most layers, and the differences add up.
func TestPeerLiteRT(t *testing.T) {
	p := find(t, LiteRT)
	if runtime.GOARCH != "amd64" {
		t.Skip("the limits were measured on amd64")
	}
	type limit struct {
		share   float64 // of the bytes
		largest int
	}
	limits := map[string][2]limit{ // about twice the measured differences: default kernels, XNNPACK
		"mobilenet_v1_0.25_128_quant":                    {{}, {0.02, 20}},
		"mobilenet_v1_0.5_160_quant":                     {{}, {0.02, 30}},
		"mobilenet_v1_1.0_224_quant_embedding_extractor": {{}, {0.75, 50}},
		"mobilenet_v2_1.0_224_quant":                     {{}, {0.025, 20}},
		"tf2_mobilenet_v2_1.0_224_ptq":                   {{0.0025, 8}, {0.02, 50}},
		"mobilenet_quant_v1_224_head_layers":             {{}, {}},
	}
	for name, m := range recordings(t) {
		for i, kernels := range []string{"default", "XNNPACK"} {
			t.Run(name+"/"+kernels, func(t *testing.T) {
				p.XNNPACK = i == 1
				outputs, err := p.Run(t.Context(), m.path, m.inputs)
				if err != nil {
					t.Fatal(err)
				}
				differ, total, largest := 0, 0, 0
				for j, want := range m.outputs {
					differ += countDifferences(outputs[j], want)
					total += len(want)
					for k := range min(len(want), len(outputs[j])) {
						d := int(outputs[j][k]) - int(want[k])
						largest = max(largest, d, -d)
					}
				}
				t.Logf("%d of %d bytes differ, by up to %d", differ, total, largest)
				if l := limits[name][i]; float64(differ) > l.share*float64(total) || largest > l.largest {
					t.Errorf("more than %.1f %% of the bytes, or by more than %d", 100*l.share, l.largest)
				}
			})
		}
	}
}

func TestPeerLiteRTTime(t *testing.T) {
	p := find(t, LiteRT)
	p.XNNPACK = true
	timing, err := p.Time(t.Context(), reference.Path(t, "models/mobilenet_v1_0.25_128_quant.tflite"), nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	if timing.Repeat != 3 || timing.Threads != 1 || timing.CPUMin <= 0 || timing.CPUMedian < timing.CPUMin || timing.Median < timing.Min {
		t.Errorf("got %+v, want 3 runs on 1 thread with 0 < min <= median", timing)
	}
}
