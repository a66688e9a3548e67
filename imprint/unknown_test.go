package imprint

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/tools/reference"
	"github.com/imprintkit/imprint/tpu/pool/pooltest"
)

// builtinWorkspace opens a new workspace with the built-in backbone.
func builtinWorkspace(t *testing.T, o Options) *Workspace {
	t.Helper()
	return openWorkspace(t, filepath.Join(t.TempDir(), "ws"), o)
}

// TestUnknownByDefault checks that a single photo suffices for the answer "unknown", that the user
// can turn it off and on, and that undo restores the default.
func TestUnknownByDefault(t *testing.T) {
	w := builtinWorkspace(t, Options{})
	mustAdd(t, w, phototest.Waves("cone", 1, 1)...)
	ask := slices.Concat(phototest.Waves("", 1, 2)[1:], phototest.Blocks(1))
	answers := func(w *Workspace, want ...string) {
		t.Helper()
		results := classify(t, w, ask...)
		if got := labelsOf(results); !slices.Equal(got, want) {
			t.Errorf("got answers %v, want %v", got, want)
		}
		for i, r := range results {
			if want := want[i] != "cone"; r.Unknown != want {
				t.Errorf("%s: got unknown %v, want %v", r.Label, r.Unknown, want)
			}
		}
	}
	answers(w, "cone", "unknown")
	if got := w.Settings().Unknown; got != infer.DefaultRate || w.Settings().UnknownOff != "" || w.state.Version != 4 {
		t.Errorf("got rate %v, off because %q, version %d, want %v, on, 4", got, w.Settings().UnknownOff, w.state.Version, infer.DefaultRate)
	}
	before := readModel(t, w)

	off, strict := 0.0, 0.01
	w = openWorkspace(t, w.store.Dir, Options{Unknown: &off})
	if err := w.Retrain(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	answers(w, "cone", "cone")
	w = openWorkspace(t, w.store.Dir, Options{Unknown: &strict, None: "none"})
	if err := w.Retrain(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	answers(w, "cone", "none")
	_, err := w.Add(t.Context(), photos("none", 2, 0, 1), AddOptions{})
	wantError(t, err, ErrLabel)
	for range 2 {
		if _, err := w.Undo(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	answers(w, "cone", "unknown")
	if !bytes.Equal(readModel(t, w), before) {
		t.Error("the model after undo differs from the first")
	}
}

// TestUnknownOff lists the settings for which the answer "unknown" is not on by default. They fail
// only if the user has asked for the answer.
func TestUnknownOff(t *testing.T) {
	yes, rate := true, 0.1
	own := phototest.Backbone(t, "own.tflite", backbonetest.Classifier(3))
	for _, test := range []struct {
		name  string
		o     Options
		label string
		want  error // with a rate
	}{
		{"coral layout", Options{Layout: classifier.Coral}, "cone", ErrUnknown},
		{"own classes", Options{KeepClasses: &yes, Backbone: own}, "cone", nil}, // without a background
		{"coral-sgd", Options{Head: classifier.CoralSGD, Backbone: own}, "cone", nil},
		{"label of an own class", Options{KeepClasses: &yes, Backbone: own, None: "base 1"}, "cone", ErrUnknown},
		{"label", Options{}, classifier.UnknownLabel, ErrUnknown},
		{"label in upper case", Options{}, "UNKNOWN", nil},
		{"label with another name", Options{None: "none"}, classifier.UnknownLabel, ErrUnknown},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := builtinWorkspace(t, test.o)
			mustAdd(t, w, slices.Concat(photos(test.label, 1, 0, 1), photos("duck", 2, 0, 1))...)
			if w.Settings().UnknownOff == "" || w.Settings().Unknown != 0 || w.Head().Rejection != nil {
				t.Errorf("got off because %q, rate %v, %v", w.Settings().UnknownOff, w.Settings().Unknown, w.Head().Rejection)
			}
			w = openWorkspace(t, w.store.Dir, Options{Unknown: &rate})
			if err := w.Retrain(t.Context(), ""); test.want != nil {
				wantError(t, err, test.want)
			} else if off := w.Settings().UnknownOff != ""; err != nil || off == (w.Head().Rejection != nil) {
				t.Errorf("got off because %q, %v, error %v", w.Settings().UnknownOff, w.Head().Rejection, err)
			}
		})
	}
}

// TestSetUnknownOnce checks that later changes do not set a rate again, whether or not the head could
// be trained with it.
func TestSetUnknownOnce(t *testing.T) {
	for _, test := range []struct {
		layout classifier.Layout
		want   float64 // after undo, or after the error
		err    error
	}{{classifier.Float, 0.05, nil}, {classifier.Coral, 0, ErrUnknown}} {
		w := builtinWorkspace(t, Options{Layout: test.layout})
		mustAdd(t, w, photos("cone", 1, 0, 2)...)
		if err := w.SetUnknown(0.25); err != nil {
			t.Fatal(err)
		}
		switch err := w.Retrain(t.Context(), ""); {
		case test.err != nil:
			wantError(t, err, test.err)
		case err != nil || w.Settings().Unknown != 0.25:
			t.Fatalf("got the rate %v, error %v", w.Settings().Unknown, err)
		default:
			if _, err := w.Undo(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		mustAdd(t, w, photos("duck", 2, 0, 2)...)
		if got := w.Settings().Unknown; got != test.want {
			t.Errorf("%s: got the rate %v, want %v", test.layout, got, test.want)
		}
	}
}

// TestUnknownFromNegatives checks that ten negatives take the place of a background.
func TestUnknownFromNegatives(t *testing.T) {
	w := openNew(t)
	mustAdd(t, w, slices.Concat(photos("a", 0, 0, 3), photos("b", 1, 0, 3))...)
	for i, want := range []string{"a", "a", "unknown"} {
		if i > 0 {
			if _, err := w.Add(t.Context(), nil, AddOptions{Negatives: photos("", 2, uint64(5*i), 5)}); err != nil {
				t.Fatal(err)
			}
		}
		results := classify(t, w, slices.Concat(photos("", 0, 9, 1), photos("", 2, 20, 1))...)
		if results[0].Label != "a" || results[1].Unknown != (want == "unknown") {
			t.Errorf("%d negatives: got %v, want a and unknown %v", 5*i, labelsOf(results), want == "unknown")
		}
	}
	if r := w.Head().Rejection; r == nil || r.Negatives != 10 || r.Background {
		t.Errorf("got %+v, want 10 negatives and no background", r)
	}
}

// TestUnknownOfOlderVersions checks that a workspace of an older version keeps its rule until the
// user chooses a rate, and that merging it with a new one takes the new default.
func TestUnknownOfOlderVersions(t *testing.T) {
	w := builtinWorkspace(t, Options{})
	w.state.Settings.UnknownRule = store.ClassesLeftOut // as older versions left it
	mustAdd(t, w, slices.Concat(photos("cone", 1, 0, 2), photos("duck", 2, 0, 2))...)
	if got, _ := headLabels(w); !slices.Equal(got, []string{"cone", "duck"}) || w.Settings().UnknownOff != "" || w.state.Version != 1 {
		t.Errorf("got classes %v, off because %q, version %d, want no row for unknown things", got, w.Settings().UnknownOff, w.state.Version)
	}
	fresh := builtinWorkspace(t, Options{})
	mustAdd(t, fresh, photos("box", 4, 0, 2)...)
	merged, _, err := Merge(t.Context(), filepath.Join(t.TempDir(), "both"), sourcesIn(w.store.Dir, fresh.store.Dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer merged.Close()
	if got, _ := headLabels(merged); !slices.Equal(got, []string{"box", "cone", "duck", "unknown"}) {
		t.Errorf("got classes %v after the merge, want a row for unknown things", got)
	}

	rate := 0.05
	w.state.Settings.Unknown = rate
	old, err := w.withUnknown(w.state)
	if err != nil || old.Rejection.Background || old.Rejection.Negatives != 512 {
		t.Fatalf("got %+v, %v, want the old rule", old.Rejection, err)
	}
	w = openWorkspace(t, w.store.Dir, Options{Unknown: &rate})
	if err := w.Retrain(t.Context(), ""); err != nil || !w.Head().Rejection.Background {
		t.Errorf("got %+v, %v, want the new rule", w.Head().Rejection, err)
	}
}

// TestUnknownBefore opens workspaces of an older version, which had no row for "unknown" in these cases.
// Its models must stay as they are until the next change, even if model.tflite is lost.
func TestUnknownBefore(t *testing.T) {
	own := phototest.Backbone(t, "own.tflite", append(builtin.Model(), 0))
	small := reference.Path(t, "models", pooltest.Small+".tflite")
	yes := true
	for _, test := range []struct {
		name string
		o    Options
	}{
		{"auto", Options{Backbone: own}},
		{"mean", Options{Backbone: own, Head: classifier.Mean}},
		{"own classes", Options{Backbone: small, KeepClasses: &yes}},
	} {
		t.Run(test.name, func(t *testing.T) {
			off := 0.0
			test.o.Unknown = &off
			w := builtinWorkspace(t, test.o)
			mustAdd(t, w, slices.Concat(photos("a", 0, 0, 6), photos("b", 1, 0, 6))...)
			old := *w.state
			old.Settings.UnknownRule = store.ByDefault // as the older version left it
			writeState(t, w, &old)
			before, ask := readModel(t, w), slices.Concat(photos("", 0, 29, 1), phototest.Waves("", 6, 1))
			want := classify(t, w, ask...)
			for range 2 {
				w = openWorkspace(t, w.store.Dir, Options{})
				if r := w.Head().Rejection; r != nil {
					t.Errorf("got %+v, want no rejection", r)
				}
				for i, got := range classify(t, w, ask...) {
					if got.Label != want[i].Label || got.Score != want[i].Score {
						t.Errorf("photo %d: got %s %v, want %s %v", i, got.Label, got.Score, want[i].Label, want[i].Score)
					}
				}
				if err := os.Remove(w.ModelPath()); err != nil {
					t.Fatal(err)
				}
				w = openWorkspace(t, w.store.Dir, Options{})
				if repaired, err := w.Repair(t.Context()); err != nil || !repaired || !bytes.Equal(readModel(t, w), before) {
					t.Errorf("repaired %v, error %v, want the same model", repaired, err)
				}
			}
			mustAdd(t, w, photos("b", 1, 6, 1)...)
			if w.Head().Rejection == nil {
				t.Error("no rejection after the next change")
			}
		})
	}
}

// TestUnknownInCompiledModel checks that a compiled model has no row for "unknown" without a background:
// such a row would lose its threshold, because biases are folded into the weights.
func TestUnknownInCompiledModel(t *testing.T) {
	if testing.Short() {
		t.Skip("making compiled models is slow")
	}
	rate, model := 0.1, "older/"+pooltest.Small
	o := Options{Backbone: reference.Path(t, "models", model+".tflite"), Layout: classifier.TPU}
	o.Compiled, o.Uncompiled = reference.Path(t, "models", model+"_edgetpu.tflite"), o.Backbone
	w := builtinWorkspace(t, o)
	mustAdd(t, w, kinds(0, 6)...)
	for range 2 {
		if r := w.Head().Rejection; r != nil || w.Settings().UnknownOff == "" {
			t.Errorf("got %+v, off because %q, want no rejection", r, w.Settings().UnknownOff)
		}
		w = openWorkspace(t, w.store.Dir, Options{Unknown: &rate})
		if err := w.Retrain(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.Add(t.Context(), nil, AddOptions{Negatives: phototest.Waves("", 6, 10)}); err != nil {
		t.Fatal(err)
	}
	if w.Head().Rejection == nil || w.Settings().UnknownOff != "" {
		t.Errorf("got no rejection with ten negatives, off because %q", w.Settings().UnknownOff)
	}
}

// TestUnknownWithoutBackground checks that a backbone without a background rejects what is unlike the
// user's photos, from ten photos on, unless the user turns it off.
func TestUnknownWithoutBackground(t *testing.T) {
	for _, m := range []classifier.Method{classifier.Auto, classifier.Mean} {
		w := openWorkspace(t, filepath.Join(t.TempDir(), "ws"), Options{Backbone: phototest.Backbone(t, "own.tflite", append(builtin.Model(), 0)), Head: m})
		mustAdd(t, w, slices.Concat(photos("a", 0, 0, 4), photos("b", 1, 0, 4))...)
		if r := w.Head().Rejection; r != nil || w.Settings().Unknown != infer.DefaultRate || w.Settings().UnknownOff != "" {
			t.Fatalf("8 photos: got %+v, settings %+v, want no rejection yet", r, w.Settings())
		}
		mustAdd(t, w, slices.Concat(photos("a", 0, 4, 16), photos("b", 1, 4, 16))...)
		if r := w.Head().Rejection; r == nil || !r.Own || r.Positives < 10 {
			t.Fatalf("40 photos: got %+v, want a rejection by the own photos", r)
		}
		ask := slices.Concat(photos("", 0, 29, 1), phototest.Waves("", 6, 1))
		if got := labelsOf(classify(t, w, ask...)); !slices.Equal(got, []string{"a", "unknown"}) {
			t.Errorf("got %v, want a and unknown", got)
		}
		if err := w.SetUnknown(0); err != nil {
			t.Fatal(err)
		}
		if err := w.Retrain(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		if r := w.Head().Rejection; r != nil || w.Settings().Unknown != 0 {
			t.Errorf("turned off: got %+v, settings %+v", r, w.Settings())
		}
	}
}

// TestUnknownWithOwnClasses checks that a photo may show one of the backbone's own classes, a trained class
// or something unknown, if ten negatives take the place of a background.
func TestUnknownWithOwnClasses(t *testing.T) {
	yes := true
	o := Options{KeepClasses: &yes, Backbone: phototest.Backbone(t, "own.tflite", backbonetest.Classifier(3)), None: "none"}
	var models [][]byte
	items, negatives := slices.Concat(photos("cone", 1, 0, 4), photos("duck", 2, 0, 4)), slices.Concat(photos("", 5, 0, 6), phototest.Waves("", 6, 6))
	for range 2 {
		w := builtinWorkspace(t, o)
		if _, err := w.Add(t.Context(), items, AddOptions{Negatives: negatives}); err != nil {
			t.Fatal(err)
		}
		if got, err := headLabels(w); !slices.Equal(got, []string{"base 0", "base 1", "base 2", "cone", "duck", "none"}) {
			t.Errorf("got labels %v, error %v", got, err)
		}
		if r := w.Head().Rejection; r == nil || r.Negatives != 12 || w.Settings().Unknown != infer.DefaultRate {
			t.Errorf("got %+v, settings %+v, want 12 negatives", r, w.Settings())
		}
		unknown := 0
		for i, r := range classify(t, w, slices.Concat(photos("", 1, 9, 1), photos("", 2, 9, 1), negatives)...) {
			if want := []string{"cone", "duck"}; i < 2 && r.Label != want[i] || i >= 2 && slices.Contains(want, r.Label) {
				t.Errorf("photo %d: got %s", i, r.Label)
			}
			if r.Unknown {
				unknown++
			}
		}
		if unknown < 6 {
			t.Errorf("%d of 12 negatives are unknown, want half of them", unknown)
		}
		models = append(models, readModel(t, w))
		slices.Reverse(items)
		slices.Reverse(negatives)
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("another order of the photos gives another model")
	}
}

// TestUnknownWithImageNet adds hot dogs to the 1001 classes of a model of Coral's.
func TestUnknownWithImageNet(t *testing.T) {
	yes := true
	w := builtinWorkspace(t, Options{KeepClasses: &yes, Backbone: reference.Path(t, "models", pooltest.Small+".tflite")})
	photo := func(name, label string) dataset.Item {
		b, err := os.ReadFile(reference.Path(t, "images", name))
		if err != nil {
			t.Fatal(err)
		}
		return dataset.Item{Path: name, Label: label, Content: b}
	}
	mustAdd(t, w, photo("hotdog_train_0.bmp", "lunch"), photo("hotdog_train_1.bmp", "lunch"))
	if r := w.Head().Rejection; r == nil || !r.Background {
		t.Fatalf("got %+v, want a rejection with a background", r)
	}
	ask := []dataset.Item{photo("hotdog_test_0.bmp", ""), photo("parrot.jpg", ""), photo("cat.bmp", "")}
	if got := labelsOf(classify(t, w, ask...)); !slices.Equal(got, []string{"lunch", "macaw", "Egyptian cat"}) {
		t.Errorf("got %v, want lunch and the model's own classes", got)
	}
	drawings, unknown := slices.Concat(phototest.Kinds(0, 3), phototest.Blocks(3)), 0
	for _, r := range classify(t, w, drawings...) {
		if r.Label == "lunch" {
			t.Errorf("a drawing is %s", r.Label)
		}
		if r.Unknown {
			unknown++
		}
	}
	if unknown < len(drawings)/4 {
		t.Errorf("%d of %d drawings are unknown", unknown, len(drawings))
	}
}

// TestUnknownInModel checks that the order of photos does not change the model, and that the model
// names the answer for other programs.
func TestUnknownInModel(t *testing.T) {
	items := slices.Concat(photos("cone", 1, 0, 3), photos("duck", 2, 0, 3), photos("box", 4, 0, 1))
	var models [][]byte
	for range 2 {
		w := builtinWorkspace(t, Options{None: "none"})
		if _, err := w.Add(t.Context(), items, AddOptions{Negatives: photos("", 6, 0, 2)}); err != nil {
			t.Fatal(err)
		}
		models = append(models, readModel(t, w))
		slices.Reverse(items)
	}
	if !bytes.Equal(models[0], models[1]) {
		t.Error("another order of the photos gives another model")
	}
	m, err := tflite.Parse(models[0])
	if err != nil {
		t.Fatal(err)
	}
	labels, err := m.Labels()
	if want := []string{"box", "cone", "duck", "none"}; err != nil || !slices.Equal(labels, want) || classifier.ReadMetadata(m).None != "none" {
		t.Errorf("got labels %v, %v, metadata %+v, want %v", labels, err, classifier.ReadMetadata(m), want)
	}
}
