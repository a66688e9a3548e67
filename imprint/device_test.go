package imprint

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

const (
	extractorModel = "mobilenet_v1_1.0_224_quant_embedding_extractor"
	smallModel     = "mobilenet_v1_0.25_128_quant"
)

// emulated is the paths of a compiled model and its uncompiled one, and a bus with n
// emulated accelerators that know them.
func emulated(t testing.TB, n int, name string) (compiled, uncompiled string, devices []*emulator.Device, usb func() (tpu.Bus, error)) {
	t.Helper()
	compiled, uncompiled = reference.Path(t, "models", name+"_edgetpu.tflite"), reference.Path(t, "models", name+".tflite")
	devices, usb = pooltest.Emulated(t, n, compiled, uncompiled)
	return compiled, uncompiled, devices, usb
}

func bytesOf(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// A workspace taught on two devices, and one taught on the twin, become the same
// model; both answer what that model answers, and say what on.
func TestWorkspaceOnDevices(t *testing.T) {
	compiled, twin, _, usb := emulated(t, 2, extractorModel)
	photos := kinds(0, 1)
	teach := func(o pool.Options) (*Workspace, *Added) {
		t.Helper()
		k, err := Open(filepath.Join(t.TempDir(), "w"), Options{Backbone: compiled, Devices: pooltest.New(t, o), Resize: dataset.Squash, Threads: 4})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { k.Close() })
		learned, err := k.Add(context.Background(), photos, AddOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return k, learned
	}
	onTPU, learned := teach(pool.Options{Device: "tpu", USB: usb})
	if n := learned.Devices["usb:1-1"] + learned.Devices["usb:1-2"]; n != len(photos) || len(learned.Devices) != 2 {
		t.Errorf("taught on %v, want %d photos on two devices", learned.Devices, len(photos))
	}
	onTwin, learned := teach(pool.Options{Device: "cpu", Uncompiled: twin})
	if want := map[string]int{pool.FallbackDevice: len(photos)}; !reflect.DeepEqual(learned.Devices, want) {
		t.Errorf("taught on %v, want %v", learned.Devices, want)
	}
	model := bytesOf(t, onTPU.ModelPath())
	if !bytes.Equal(model, bytesOf(t, onTwin.ModelPath())) {
		t.Error("the models differ")
	}

	unseen := kinds(1, 1)
	var labels []string
	deliver := func(r predict.Result) error {
		if r.Err != nil || !strings.HasPrefix(r.Device, "usb:1-") {
			t.Errorf("%s: on %q, %v", r.Path, r.Device, r.Err)
		}
		labels = append(labels, r.Label)
		return nil
	}
	if err := onTPU.Classify(context.Background(), unseen, 0, deliver); err != nil {
		t.Fatal(err)
	}
	// The published model is the compiled operator and the tail behind it.
	if err := predict.File(context.Background(), onTPU.ModelPath(), predict.Options{Devices: onTPU.options.Devices}, unseen, deliver); err != nil {
		t.Fatal(err)
	}
	if len(labels) != 2*len(unseen) || labels[0] != labels[len(unseen)] {
		t.Errorf("labels %q", labels)
	}
	set, _, _, err := evaluate.Embed(context.Background(), "two", onTPU.Backbone(), kinds(0, 2)[:4], evaluate.EmbedOptions{Resize: dataset.Squash, Support: 1, Episodes: 1, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if n := set.Devices["usb:1-1"] + set.Devices["usb:1-2"]; n != 4 {
		t.Errorf("evaluated on %v", set.Devices)
	}
}
