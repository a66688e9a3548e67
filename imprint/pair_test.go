package imprint

import (
	"bytes"
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tpu"
	"github.com/imprintkit/imprint/tpu/emulator"
)

// modelFiles lists the models in a workspace beside the published one.
func modelFiles(t testing.TB, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if name := e.Name(); strings.HasSuffix(name, ".tflite") && name != modelFile {
			names = append(names, name)
		}
	}
	return names
}

// A workspace in the TPU layout answers the same on the device, on the CPU, and on the
// CPU where the device fails, and the model file alone does too.
func TestTPULayout(t *testing.T) {
	if testing.Short() {
		t.Skip("templates take long, and the race detector sees nothing of it")
	}
	ctx := context.Background()
	compiled, twin, _, usb := emulated(t, 1, smallModel)
	none := func() (tpu.Bus, error) { return emulator.NewBus(), nil }
	unseen := kinds(50, 2)
	var first []byte
	for _, c := range []struct {
		name string
		o    Options
	}{
		{"twin as backbone", Options{Compiled: compiled, Uncompiled: twin}},
		{"pair as backbone", Options{Backbone: compiled, Uncompiled: twin}},
		{"backbone of the program", Options{Compiled: compiled, Uncompiled: twin, Backbone: builtin.Name}},
	} {
		t.Run(c.name, func(t *testing.T) {
			o := c.o
			dir := filepath.Join(t.TempDir(), "ws")
			k := openKit(t, dir, o)
			mustAdd(t, k, kinds(0, 3)...)
			if s := k.Settings(); s.Layout != classifier.TPU || s.Pair.Compiled != filepath.Base(compiled) {
				t.Fatalf("settings %+v", s)
			}
			if w := k.Written(); w == nil || w.Examples != 12 || w.Disagreements != 0 {
				t.Errorf("written: %+v", w)
			}
			model, err := backbone.Parse(readModel(t, k), backbone.Options{Accelerator: newDevices(t, DeviceOptions{USB: usb})})
			if err != nil || !backbone.Compiled(model.Model()) || len(model.Model().Subgraphs[0].Operators) != 1 {
				t.Fatalf("the published model is not one compiled operator: %v", err)
			}
			if first == nil {
				first = readModel(t, k)
			} else if same := bytes.Equal(readModel(t, k), first); same != (o.Backbone != builtin.Name) {
				t.Errorf("the model is the first: %v", same)
			} else if same {
				return
			}
			answers := map[string][]Result{}
			for what, d := range map[string]DeviceOptions{
				"usb:1-1":       {USB: usb},
				"cpu":           {Device: "cpu"},
				FallbackDevice:  {USB: none, Uncompiled: twin},
				"usb:1-1, live": {USB: usb},
				"cpu, live":     {Device: "cpu"},
			} {
				devices := newDevices(t, d)
				o := Options{Devices: devices}
				if device, live := strings.CutSuffix(what, ", live"); live {
					l := openLive(t, dir, o)
					for _, it := range unseen {
						r, err := l.Observe(ctx, decoded(t, it.Content), 0)
						if err != nil || r.Device != device || len(r.Embedding) != k.state.Backbone.Size {
							t.Fatalf("%s: got %+v, %v", what, r, err)
						}
						answers[what] = append(answers[what], r)
					}
					l.Close()
				} else {
					k := openKit(t, dir, o)
					answers[what] = classify(t, k, unseen...)
					for _, r := range answers[what] {
						if r.Err != nil || r.Device != what {
							t.Errorf("%s: on %q, %v", what, r.Device, r.Err)
						}
					}
				}
				if err := devices.Close(); err != nil {
					t.Error(err)
				}
			}
			// Codes of 8 bits turn near ties; else the winners are the float head's.
			exported := filepath.Join(t.TempDir(), "float.tflite")
			if _, err := k.Export(exported, "", classifier.Float, false); err != nil {
				t.Fatal(err)
			}
			var float []Result
			if err := ClassifyWith(ctx, exported, ModelOptions{Arithmetic: backbone.EdgeTPU}, unseen, func(r Result) error { float = append(float, r); return r.Err }); err != nil {
				t.Fatal(err)
			}
			turned := 0
			for i, it := range unseen {
				want := answers["usb:1-1"][i]
				if want.Label != float[i].Label {
					turned++
				}
				if len(want.Top) != 4 || want.Generation != 1 {
					t.Errorf("%s: got %+v", it.Path, want)
				}
				for what, all := range answers {
					got, like := all[i], want
					if strings.HasPrefix(what, "cpu") {
						like = answers["cpu"][i]
						// How a device rounds SOFTMAX isn't known: the emulated one does it otherwise.
						if like.Label != want.Label || math.Abs(like.Score-want.Score) > 2.0/256 {
							t.Errorf("%s: the CPU says %+v, the device %+v", it.Path, like, want)
						}
					}
					got.Device = like.Device
					if !sameResult(got, like) {
						t.Errorf("%s, %s: got %+v, want %+v", what, it.Path, all[i], like)
					}
				}
			}
			if turned > 1 {
				t.Errorf("%d of %d have another winner than with the float head", turned, len(unseen))
			}
			if err := openKit(t, dir, Options{Devices: newDevices(t, DeviceOptions{USB: none})}).Classify(ctx, unseen, 1, func(Result) error { return nil }); !errors.Is(err, tpu.ErrNoDevice) {
				t.Errorf("without a device: got %v, want ErrNoDevice", err)
			}
		})
	}
}

// What the workspace needs to write its model is in it: nothing is named twice.
func TestTPULayoutKept(t *testing.T) {
	if testing.Short() {
		t.Skip("templates take long, and the race detector sees nothing of it")
	}
	ctx := context.Background()
	compiled, twin := sharedFile(t, "models", smallModel+"_edgetpu.tflite"), sharedFile(t, "models", smallModel+".tflite")
	m, err := tflite.Parse(bytesOf(t, compiled))
	if err != nil {
		t.Fatal(err)
	}
	m.Description = "another file"
	other, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	another := backboneIn(t, "another_edgetpu.tflite", other)
	dir := filepath.Join(t.TempDir(), "ws")
	mustAdd(t, openKit(t, dir, Options{Backbone: twin}), kinds(0, 2)...)
	plain := readModel(t, openKit(t, dir, Options{}))
	if got := modelFiles(t, dir); len(got) != 1 {
		t.Errorf("without a template there are %q", got)
	}
	refused := func(want error, o Options) {
		t.Helper()
		before := files(t, dir)
		k, err := Open(dir, o)
		if err == nil {
			err = k.Retrain(ctx)
			k.Close()
		}
		wantError(t, err, want)
		sameFiles(t, files(t, dir), before)
	}
	yes := true
	refused(ErrNeedsCompiled, Options{Layout: classifier.TPU})
	refused(ErrNeedsCompiled, Options{Compiled: compiled})
	refused(ErrKeepClasses, Options{Compiled: compiled, Uncompiled: twin, KeepClasses: &yes})
	refused(ErrNoBackbone, Options{Compiled: filepath.Join(dir, "none"), Uncompiled: twin})
	refused(errAny, Options{Compiled: twin, Uncompiled: compiled})
	refused(errAny, Options{Compiled: sharedFile(t, "models", "mobilenet_v1_0.5_160_quant_edgetpu.tflite"), Uncompiled: sharedFile(t, "models", "mobilenet_v1_0.5_160_quant.tflite")})

	k := openKit(t, dir, Options{Compiled: compiled, Uncompiled: twin})
	if err := k.Retrain(ctx); err != nil {
		t.Fatal(err)
	}
	first := readModel(t, k)
	if got := modelFiles(t, dir); len(got) != 3 {
		t.Errorf("with a template there are %q", got)
	}
	k = openKit(t, dir, Options{})
	mustAdd(t, k, kinds(10, 1)...)
	if bytes.Equal(readModel(t, k), first) || k.Written() == nil || k.Written().Examples != 12 {
		t.Errorf("after more photos: %+v", k.Written())
	}
	if _, err := k.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, k), first) {
		t.Error("undone, the model is another than before")
	}
	out := filepath.Join(t.TempDir(), "m.tflite")
	if w, err := k.Export(out, "", classifier.TPU, false); err != nil || w.Examples != 8 || !bytes.Equal(bytesOf(t, out), first) {
		t.Errorf("exported: %+v, %v", w, err)
	}
	if _, err := k.Export(out, "", classifier.Float, false); err != nil || len(bytesOf(t, out)) != len(plain) {
		t.Errorf("exported as float: %v", err)
	}

	// Another template, and back.
	k = openKit(t, dir, Options{Compiled: another, Uncompiled: twin})
	if err := k.Retrain(ctx); err != nil {
		t.Fatal(err)
	}
	if len(modelFiles(t, dir)) != 4 {
		t.Errorf("with another template there are %q", modelFiles(t, dir))
	}
	k = openKit(t, dir, Options{})
	if _, err := k.Undo(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(readModel(t, k), first) {
		t.Error("with the first template again, the model is another than before")
	}
	if err := os.WriteFile(k.ModelPath(), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if done, err := openKit(t, dir, Options{}).Repair(ctx); err != nil || !done || !bytes.Equal(readModel(t, k), first) {
		t.Errorf("repaired: %v, %v", done, err)
	}
	ref := k.Settings().Pair
	kept, _ := ref.files()
	if err := os.WriteFile(filepath.Join(dir, kept), other, 0o644); err != nil {
		t.Fatal(err)
	}
	refused(ErrCorrupt, Options{})
	k = openKit(t, dir, Options{Compiled: compiled, Uncompiled: twin}) // named again
	if err := k.Retrain(ctx); err != nil || !bytes.Equal(bytesOf(t, filepath.Join(dir, kept)), bytesOf(t, compiled)) {
		t.Errorf("the template was not put back: %v", err)
	}
	k = openKit(t, dir, Options{Layout: classifier.Float})
	for range maxHistory + 3 { // until no change that can be undone had a template
		if err := k.Retrain(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if got := readModel(t, k); !bytes.Equal(got, plain) {
		t.Error("as float again, the model is another than in the beginning")
	}
}

// TestLastLayer converts heads that are no layers of a compiled model.
func TestLastLayer(t *testing.T) {
	h := &classifier.Head{Labels: []string{"a"}, Dim: 1, Weights: []float32{1}, Bias: []float32{0}}
	if l, err := lastLayer(h); err != nil || l.Inputs != 1 {
		t.Errorf("got %v, %v", l, err)
	}
	roots, short := *h, *h
	roots.Root, short.Bias = true, nil
	if _, err := lastLayer(&roots); !errors.Is(err, classifier.ErrShape) || !strings.Contains(err.Error(), "square roots") {
		t.Errorf("got %v, want %v with %q", err, classifier.ErrShape, "square roots")
	}
	if _, err := lastLayer(&short); !errors.Is(err, classifier.ErrShape) {
		t.Errorf("got %v, want %v", err, classifier.ErrShape)
	}
}
