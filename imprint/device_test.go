package imprint

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

func bytesOf(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestWorkspaceOnDevices trains one workspace on two devices and one on the CPU. Both must have
// the same model, and results must name the device.
func TestWorkspaceOnDevices(t *testing.T) {
	ctx := context.Background()
	compiled, uncompiled, _, usb := pooltest.Reference(t, 2, pooltest.Extractor)
	items := kinds(0, 1)
	train := func(o pool.Options) (*Workspace, *Added) {
		t.Helper()
		w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), Options{Backbone: compiled, Devices: pooltest.New(t, o), Resize: dataset.Squash, Threads: 4})
		return w, mustAdd(t, w, items...)
	}
	onTPU, added := train(pool.Options{Device: "tpu", USB: usb})
	if n := added.Devices["usb:1-1"] + added.Devices["usb:1-2"]; n != len(items) || len(added.Devices) != 2 {
		t.Errorf("got %v, want %d photos on two devices", added.Devices, len(items))
	}
	onCPU, added := train(pool.Options{Device: "cpu", Uncompiled: uncompiled})
	if want := map[string]int{pool.FallbackDevice: len(items)}; !reflect.DeepEqual(added.Devices, want) {
		t.Errorf("got %v, want %v", added.Devices, want)
	}
	if !bytes.Equal(readModel(t, onTPU), readModel(t, onCPU)) {
		t.Error("the models differ")
	}

	unseen := kinds(1, 1)
	var labels []string
	deliver := func(r predict.Result) error {
		if r.Err != nil || !strings.HasPrefix(r.Device, "usb:1-") {
			t.Errorf("%s: ran on %q, error %v", r.Path, r.Device, r.Err)
		}
		labels = append(labels, r.Label)
		return nil
	}
	if err := onTPU.Classify(ctx, unseen, 0, deliver); err != nil {
		t.Fatal(err)
	}
	// The published model is the compiled backbone's operator followed by the head.
	if err := predict.File(ctx, onTPU.ModelPath(), predict.Options{Devices: onTPU.options.Devices}, unseen, deliver); err != nil {
		t.Fatal(err)
	}
	if len(labels) != 2*len(unseen) || !slices.Equal(labels[:len(unseen)], labels[len(unseen):]) {
		t.Errorf("got labels %q, want the same twice", labels)
	}
	set, _, _, err := evaluate.Embed(ctx, "two", onTPU.Backbone(), kinds(0, 2)[:4], evaluate.EmbedOptions{Resize: dataset.Squash, Support: 1, Episodes: 1, Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	if n := set.Devices["usb:1-1"] + set.Devices["usb:1-2"]; n != 4 {
		t.Errorf("got %v, want 4 photos on devices", set.Devices)
	}
}
