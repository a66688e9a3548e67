package tflitepeer

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

// peer returns the program of the TensorFlow Lite C library, or skips the test if there is none.
func peer(t *testing.T) Peer { return find(t, TFLite) }

func find(t *testing.T, variable string) Peer {
	t.Helper()
	p, err := FromEnvironment(variable)
	if err != nil {
		t.Skip(err)
	}
	return p
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A recording is a model with recorded inputs, and the outputs that TensorFlow Lite 2.9 gave for them.
type recording struct {
	path            string
	names           []string // the inputs' files
	inputs, outputs [][]byte
}

// recordings returns the recorded models by name.
func recordings(t *testing.T) map[string]recording {
	t.Helper()
	golden, models := reference.Path(t, "golden"), reference.Path(t, "models")
	var manifest struct {
		Models map[string]struct {
			File  string
			Cases []struct{ Input, Output string }
		}
	}
	if err := json.Unmarshal(readFile(t, filepath.Join(golden, "manifest.json")), &manifest); err != nil {
		t.Fatal(err)
	}
	suffix := ""
	if runtime.GOARCH == "arm64" {
		suffix = ".arm64" // the library's outputs depend on the processor
	}
	all := make(map[string]recording)
	for name, m := range manifest.Models {
		r := recording{path: filepath.Join(models, m.File)}
		for _, c := range m.Cases {
			r.names = append(r.names, c.Input)
			r.inputs = append(r.inputs, readFile(t, filepath.Join(golden, name, c.Input)))
			r.outputs = append(r.outputs, readFile(t, filepath.Join(golden, name, c.Output+suffix)))
		}
		if len(r.names) == 0 {
			t.Fatalf("the manifest has no cases for %s", name)
		}
		all[name] = r
	}
	if len(all) == 0 {
		t.Fatal("the manifest has no models")
	}
	return all
}

// TestPeerGivesRecordedOutputs runs the library on every recorded input. It checks that the recordings, which other
// tests rely on, are the library's outputs, and that tflitepeer.c passes inputs to the library correctly.
func TestPeerGivesRecordedOutputs(t *testing.T) {
	p := peer(t)
	for name, m := range recordings(t) {
		t.Run(name, func(t *testing.T) {
			outputs, err := p.Run(t.Context(), m.path, m.inputs)
			if err != nil {
				t.Fatal(err)
			}
			for i, want := range m.outputs {
				if !bytes.Equal(outputs[i], want) {
					t.Errorf("%s: %d of %d bytes differ from the recorded output", m.names[i], countDifferences(outputs[i], want), len(want))
				}
			}
			t.Logf("%d cases", len(m.names))
		})
	}
}

// countDifferences returns the number of bytes that differ.
func countDifferences(got, want []byte) int {
	n := max(len(got), len(want)) - min(len(got), len(want))
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			n++
		}
	}
	return n
}

func TestPeerThreadsGiveSameBytes(t *testing.T) {
	p := peer(t)
	model := reference.Path(t, "models/mobilenet_v1_0.25_128_quant.tflite")
	in := [][]byte{reference.Read(t, "golden/mobilenet_v1_0.25_128_quant/cat.bmp.in")}
	one, err := p.Run(t.Context(), model, in)
	if err != nil {
		t.Fatal(err)
	}
	p.Threads = 2
	two, err := p.Run(t.Context(), model, in)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.EqualFunc(one, two, bytes.Equal) {
		t.Error("outputs with one and two threads differ")
	}
}

// TestPeerXNNPACK checks that the XNNPACK delegate runs. The delegate rounds differently from the default kernels,
// so a few bytes must differ.
func TestPeerXNNPACK(t *testing.T) {
	p := peer(t)
	const name = "tf2_mobilenet_v2_1.0_224_ptq"
	model := reference.Path(t, "models/"+name+".tflite")
	in := [][]byte{reference.Read(t, "golden/"+name+"/cat.bmp.in")}
	want, err := p.Run(t.Context(), model, in)
	if err != nil {
		t.Fatal(err)
	}
	p.XNNPACK = true
	got, err := p.Run(t.Context(), model, in)
	if err != nil {
		t.Fatal(err)
	}
	if n := countDifferences(got[0], want[0]); n == 0 || n > len(want[0])/20 {
		t.Errorf("%d of %d bytes differ from the default kernels' output", n, len(want[0]))
	}
}

func TestPeerTime(t *testing.T) {
	p := peer(t)
	p.Threads = 2
	timing, err := p.Time(t.Context(), reference.Path(t, "models/mobilenet_v1_0.25_128_quant.tflite"), nil, 3)
	if err != nil {
		t.Fatal(err)
	}
	if timing.Repeat != 3 || timing.Threads != 2 || timing.Min <= 0 || timing.Median < timing.Min {
		t.Errorf("got %+v, want 3 runs on 2 threads with 0 < min <= median", timing)
	}
}

func TestPeerFailures(t *testing.T) {
	p := peer(t)
	model := reference.Path(t, "models/mobilenet_v1_0.25_128_quant.tflite")
	frame := make([]byte, 128*128*3)
	tests := []struct {
		name, model string
		inputs      [][]byte
		want        string
	}{
		{"missing model", "no-such.tflite", [][]byte{frame}, "cannot load no-such.tflite"},
		{"operator of the Edge TPU", reference.Path(t, "models/mobilenet_v1_0.25_128_quant_edgetpu.tflite"), [][]byte{frame}, "edgetpu-custom-op"},
		{"frame cut short", model, [][]byte{frame[1:]}, "ends inside a frame"},
		{"two halves of a frame", model, [][]byte{frame[:len(frame)/2], frame[len(frame)/2:]}, "1 frames"},
		{"empty input", model, [][]byte{{}}, "0 frames"},
		{"inputs of different lengths", model, [][]byte{frame, frame[1:]}, "input 1 has 49151 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := p.Run(t.Context(), tt.model, tt.inputs)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got error %v, want one with %q", err, tt.want)
			}
		})
	}
}
