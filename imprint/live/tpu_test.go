package live_test

import (
	"bytes"
	"context"
	"errors"
	"math"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/pool"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// TestTPULayout checks that a workspace in the TPU layout gives the same results on the device,
// on the CPU, and on the CPU after the device has failed.
func TestTPULayout(t *testing.T) {
	if testing.Short() {
		t.Skip("making compiled models is slow")
	}
	compiledFile, uncompiledFile, _, usb := pooltest.Reference(t, 1, pooltest.Small)
	unseen := kinds(50, 2)
	var first []byte
	for _, c := range []struct {
		name string
		o    imprint.Options
		same bool // whether the model is the same as in the first case
	}{
		{"uncompiled model as backbone", imprint.Options{Compiled: compiledFile, Uncompiled: uncompiledFile}, true},
		{"pair as backbone", imprint.Options{Backbone: compiledFile, Uncompiled: uncompiledFile}, true},
		{"built-in backbone", imprint.Options{Compiled: compiledFile, Uncompiled: uncompiledFile, Backbone: builtin.Name}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "ws")
			w := openWorkspace(t, dir, c.o)
			mustAdd(t, w, kinds(0, 3)...)
			if got := w.Settings().Layout; got != classifier.TPU {
				t.Fatalf("got layout %s, want %s", got, classifier.TPU)
			}
			if r := w.Written(); r == nil || r.Examples != 12 || r.Disagreements != 0 {
				t.Errorf("got written %+v, want 12 examples and no disagreement", r)
			}
			b, err := backbone.Parse(readModel(t, w), backbone.Options{Accelerator: pooltest.New(t, pool.Options{USB: usb})})
			if err != nil || !backbone.Compiled(b.Model()) || len(b.Model().Subgraphs[0].Operators) != 1 {
				t.Fatalf("the published model is not a single compiled operator: %v", err)
			}
			if first == nil {
				first = readModel(t, w)
			} else if same := bytes.Equal(readModel(t, w), first); same != c.same {
				t.Errorf("same model as in the first case: got %v, want %v", same, c.same)
			} else if same {
				return
			}
			answers := map[string][]predict.Result{}
			for what, o := range map[string]pool.Options{
				"usb:1-1":           {USB: usb},
				"cpu":               {Device: "cpu"},
				pool.FallbackDevice: {USB: pooltest.None, Uncompiled: uncompiledFile},
				"usb:1-1, live":     {USB: usb},
				"cpu, live":         {Device: "cpu"},
			} {
				answers[what] = answersOn(t, dir, what, o, unseen)
			}
			compareAnswers(t, answers, unseen)
			compareWithFloat(t, w, answers["usb:1-1"], unseen)
			none := imprint.Options{Devices: pooltest.New(t, pool.Options{USB: pooltest.None})}
			err = openWorkspace(t, dir, none).Classify(context.Background(), unseen, 1, func(predict.Result) error { return nil })
			if !errors.Is(err, tpu.ErrNoDevice) {
				t.Errorf("without a device: got error %v, want %v", err, tpu.ErrNoDevice)
			}
		})
	}
}

// answersOn classifies photos on a device. If what ends in ", live", it uses a Live.
func answersOn(t *testing.T, dir, what string, o pool.Options, items []dataset.Item) (answers []predict.Result) {
	t.Helper()
	devices := pooltest.New(t, o)
	device, isLive := strings.CutSuffix(what, ", live")
	if isLive {
		l := openLive(t, dir, imprint.Options{Devices: devices})
		for _, it := range items {
			r, err := l.Observe(context.Background(), decoded(t, it.Content), 0)
			if err != nil || len(r.Embedding) != l.Backbone().EmbeddingSize() {
				t.Fatalf("%s: got %+v, %v, want a result with an embedding", what, r, err)
			}
			answers = append(answers, r)
		}
		l.Close()
	} else {
		answers = classify(t, openWorkspace(t, dir, imprint.Options{Devices: devices}), items...)
	}
	for _, r := range answers {
		if r.Err != nil || r.Device != device {
			t.Errorf("%s: ran on %q, error %v", what, r.Device, r.Err)
		}
	}
	if err := devices.Close(); err != nil {
		t.Error(err)
	}
	return answers
}

// compareAnswers compares all results with the device's results. It allows small differences in
// scores, because the emulated device rounds SOFTMAX differently than the CPU. It is unknown how a
// real device rounds SOFTMAX.
func compareAnswers(t *testing.T, answers map[string][]predict.Result, items []dataset.Item) {
	t.Helper()
	for i, it := range items {
		want := answers["usb:1-1"][i]
		if len(want.Top) != 5 || want.Generation != 1 {
			t.Errorf("%s: got %+v, want 4 classes and unknown, of generation 1", it.Path, want)
		}
		for what, all := range answers {
			got, like := all[i], want
			if strings.HasPrefix(what, "cpu") {
				like = answers["cpu"][i]
				if like.Label != want.Label || math.Abs(like.Score-want.Score) > 2.0/256 {
					t.Errorf("%s: got %+v on the CPU and %+v on the device", it.Path, like, want)
				}
			}
			got.Device = like.Device
			if !sameResult(got, like) {
				t.Errorf("%s, %s: got %+v, want %+v", what, it.Path, all[i], like)
			}
		}
	}
}

// compareWithFloat compares the predictions with the float head's predictions. Quantization may
// change one prediction, in a near tie.
func compareWithFloat(t *testing.T, w *imprint.Workspace, answers []predict.Result, items []dataset.Item) {
	t.Helper()
	exported := filepath.Join(t.TempDir(), "float.tflite")
	if _, err := w.Export(exported, "", classifier.Float, false); err != nil {
		t.Fatal(err)
	}
	i, changed := 0, 0
	err := predict.File(context.Background(), exported, predict.Options{Arithmetic: backbone.EdgeTPU}, items, func(r predict.Result) error {
		if r.Label != answers[i].Label {
			changed++
		}
		i++
		return r.Err
	})
	if err != nil {
		t.Fatal(err)
	}
	if changed > 1 {
		t.Errorf("quantization changes %d of %d predictions, want at most 1", changed, len(items))
	}
}
