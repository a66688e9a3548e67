package imprint

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// metadataName is the entry of a written model's metadata that says how photos
// have to be prepared for it.
const metadataName = "IMPRINT"

// modelMetadata is that entry, as JSON.
type modelMetadata struct {
	Version int               `json:"version"`
	Resize  dataset.Resize    `json:"fit"`
	Layout  classifier.Layout `json:"layout"`
}

// readMetadata returns that entry of m, empty where m was not written here.
func readMetadata(m *tflite.Model) (meta modelMetadata) {
	b, ok := m.MetadataEntry(metadataName)
	if !ok || json.Unmarshal(b, &meta) != nil {
		return modelMetadata{}
	}
	return meta
}

// modelFit returns the way of fitting photos that m was written with.
func modelResize(m *tflite.Model) (dataset.Resize, bool) {
	fit, err := dataset.ParseResize(string(readMetadata(m).Resize))
	return fit, err == nil
}

// sums adds up the examples of s.
func (k *Workspace) sums(s *state) (*classifier.Sums, error) {
	sums, x := new(classifier.Sums), make([]float64, k.backbone.Dim())
	for _, e := range s.positives() {
		unit(k.backbone, x, e.raw)
		if err := sums.Add(e.Label, x); err != nil {
			return nil, err
		}
	}
	return sums, nil
}

// unitsOf returns examples as the classifier takes them. Those of a class come together.
func (k *Workspace) unitsOf(examples []example) []classifier.Example {
	dim := k.backbone.Dim()
	values := make([]float64, len(examples)*dim)
	u := make([]classifier.Example, len(examples))
	parts := make(map[string]map[string]bool) // of each class: the sources it came from
	for _, e := range examples {
		if parts[e.Label] == nil {
			parts[e.Label] = make(map[string]bool)
		}
		parts[e.Label][e.Source] = true
	}
	for i, e := range examples {
		x := values[i*dim : (i+1)*dim]
		u[i] = classifier.Example{Label: e.Label, Unit: x, Norm: unit(k.backbone, x, e.raw), Burst: e.burst(len(parts[e.Label]) > 1)}
	}
	return u
}

// burst names photos that are not independent of each other: those of one source, such
// as a session of driving, if the class has photos from several, else those of one
// second.
func (e *example) burst(several bool) string {
	switch {
	case several && e.Source != "":
		return e.Source
	case !e.Taken.IsZero():
		return fmt.Sprint(e.Source, " ", e.Taken.Unix())
	}
	return ""
}

// unit writes the unit vector of a raw embedding into dst and returns the length
// that it had.
func unit(b *backbone.Backbone, dst []float64, raw []byte) float64 {
	b.Dequantize(dst, raw)
	return classifier.Normalize(dst)
}

// method is how the head of s is made. Beside the backbone's own classes, and where
// Coral's engine shall continue it, it can only be the mean head.
func (s Settings) method() classifier.Method {
	if s.KeepClasses || s.Layout == classifier.Coral || s.Head == "" {
		return classifier.Mean
	}
	return s.Head
}

// fit makes a linear head of s that is not the mean head.
func (k *Workspace) fit(s *state) (*classifier.Fitted, error) {
	return k.fitUnits(k.unitsOf(s.positives()), s.Settings)
}

func (k *Workspace) fitUnits(units []classifier.Example, s Settings) (*classifier.Fitted, error) {
	return classifier.Fit(units, s.method(), k.roots(s))
}

// roots reports whether square roots of embeddings may serve as features.
func (k *Workspace) roots(s Settings) bool {
	e := k.backbone.Embedding
	return s.Layout != classifier.TPU && (e.Type == tflite.TypeUint8 && len(e.ZeroPoint) == 1 && e.ZeroPoint[0] == 0 ||
		e.Type == tflite.TypeInt8 && len(e.ZeroPoint) == 1 && e.ZeroPoint[0] == -128)
}

// newHead makes the head of s, and for a mean head the length of each class's sum, 0
// for one of the backbone's own. A mean head without an answer for what is unknown comes
// without estimate.
func (k *Workspace) newHead(s *state) (*classifier.Fitted, []float64, error) {
	if s.Settings.Unknown > 0 {
		f, err := k.withUnknown(s)
		return f, nil, err
	}
	if s.Settings.method() != classifier.Mean || s.Settings.Layout == classifier.TPU {
		f, err := k.fit(s)
		return f, nil, err
	}
	head, norms, err := k.meanHead(s)
	return &classifier.Fitted{Head: head, Recipe: classifier.Recipe{Method: classifier.Mean}}, norms, err
}

func (k *Workspace) meanHead(s *state) (*classifier.Head, []float64, error) {
	sums, err := k.sums(s)
	if err != nil {
		return nil, nil, err
	}
	var head *classifier.Head
	kept := 0
	if s.Settings.KeepClasses {
		base, err := k.ownClasses()
		if err != nil {
			return nil, nil, err
		}
		kept = len(base.Labels)
		head, err = sums.Extend(base, k.unitsOf(s.positives()))
		if err != nil {
			return nil, nil, err
		}
	} else if head, err = sums.Mean(); err != nil {
		return nil, nil, err
	}
	norms := make([]float64, len(head.Labels))
	for c := kept; c < len(norms); c++ {
		norms[c] = sums.Norm(head.Labels[c])
	}
	return head, norms, nil
}

// ownClasses reads the backbone's own last layer.
func (k *Workspace) ownClasses() (*classifier.Head, error) {
	m, op := k.backbone.Model(), k.backbone.LastLayer
	if op < 0 {
		return nil, fmt.Errorf("keep the classes of %s: %w", k.backbone.Name, ErrNoClasses)
	}
	weights := m.Subgraphs[0].Tensors[m.Subgraphs[0].Operators[op].Inputs[1]]
	classes := int(weights.Shape[0])
	labels, err := m.Labels()
	if err != nil && !errors.Is(err, tflite.ErrNoLabels) {
		return nil, fmt.Errorf("keep the classes of %s: %w", k.backbone.Name, err)
	}
	for len(labels) < classes {
		labels = append(labels, fmt.Sprintf("class %d", len(labels)))
	}
	base, err := classifier.LastLayer(m, op, labels[:classes])
	if err != nil {
		return nil, fmt.Errorf("keep the classes of %s: %w", k.backbone.Name, err)
	}
	return base, nil
}

// currentHead returns the head of the Workspace's state.
func (k *Workspace) currentHead() (*classifier.Fitted, error) {
	if k.head == nil {
		if len(k.state.positives()) == 0 {
			return nil, fmt.Errorf("workspace %s: %w", k.store.dir, ErrNothingTaught)
		}
		var err error
		if k.head = k.writtenHead(); k.head == nil {
			if k.head, _, err = k.newHead(k.state); err != nil {
				return nil, err
			}
		}
	}
	return k.head, nil
}

// writtenHead is the head in the published model, if it is not the mean head, which is
// as quickly made, and not rounded there.
func (k *Workspace) writtenHead() *classifier.Fitted {
	if k.state.Made == nil || k.state.Settings.Layout != classifier.Float {
		return nil
	}
	b, err := k.publishedModel()
	if err != nil {
		return nil
	}
	return k.headIn(b)
}

// headIn is the head in the model b of the Workspace's state, if that says what is known of
// it and its layout holds it unrounded.
func (k *Workspace) headIn(b []byte) *classifier.Fitted {
	was := k.state.Made
	if was == nil || k.state.Settings.Layout != classifier.Float || b == nil {
		return nil
	}
	m, err := tflite.Parse(b)
	if err != nil {
		return nil
	}
	head, _, err := classifier.Read(m)
	if err != nil {
		return nil
	}
	f := &classifier.Fitted{Head: head, Recipe: was.Recipe, Estimate: was.Estimate, Rejection: was.Rejection, Candidates: was.Candidates, Advice: was.Advice, LogLoss: math.NaN()}
	if was.LogLoss != nil {
		f.LogLoss = *was.LogLoss
	}
	return f
}

// publishedModel reads model.tflite; nil is that of a state without examples. What is
// there and is not the model of the Workspace's state is ErrCorrupt.
func (k *Workspace) publishedModel() ([]byte, error) {
	b, err := readFile(k.ModelPath(), tflite.MaxFileSize)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		b = nil
	case err != nil:
		return nil, err
	}
	if sum(b) != k.state.Model {
		return nil, fmt.Errorf("%w: %s is not the model of generation %d", ErrCorrupt, k.ModelPath(), k.state.Generation)
	}
	return b, nil
}

// madeOf is what the state keeps of f; nil for the mean head and for nothing.
func madeOf(f *classifier.Fitted) *madeHead {
	if f == nil || f.Recipe == (classifier.Recipe{Method: classifier.Mean}) && f.Rejection == nil {
		return nil
	}
	m := &madeHead{Recipe: f.Recipe, Estimate: f.Estimate, Rejection: f.Rejection, Candidates: f.Candidates, Advice: f.Advice}
	if !math.IsNaN(f.LogLoss) {
		m.LogLoss = &f.LogLoss
	}
	return m
}

// build makes the model file of s and its head, both nil if nothing is taught, and
// notes in s what became of the head in a template.
func (k *Workspace) build(s *state) ([]byte, *classifier.Fitted, error) {
	s.Written = nil
	if len(s.positives()) == 0 {
		return nil, nil, nil
	}
	head, norms, err := k.newHead(s)
	if err != nil {
		return nil, nil, err
	}
	var b []byte
	if s.Settings.Layout == classifier.TPU {
		b, s.Written, err = k.writeTPU(head.Head, s)
	} else {
		b, err = k.write(head.Head, norms, s.Settings)
	}
	return b, head, err
}

// write returns the backbone's model with head behind it, as a file that has been
// read back and holds that head.
func (k *Workspace) write(head *classifier.Head, norms []float64, s Settings) ([]byte, error) {
	m, err := tflite.Parse(k.file)
	if err != nil {
		return nil, err
	}
	if err := head.Append(m, k.backbone.Embedding.Index, s.Layout, norms); err != nil {
		return nil, err
	}
	if err := m.SetLabels(head.Labels); err != nil {
		return nil, fmt.Errorf("put the labels into the model: %w", err)
	}
	b, err := encodeModel(m, s)
	if err != nil {
		return nil, err
	}
	if err := checkWritten(b, head, s.Layout); err != nil {
		return nil, fmt.Errorf("the model that was written does not hold what it should, and is not published: %w", err)
	}
	return b, nil
}

// encodeModel gives m as a file that says how photos are prepared for it.
func encodeModel(m *tflite.Model, s Settings) ([]byte, error) {
	meta, err := json.Marshal(modelMetadata{Version: 1, Resize: s.Resize, Layout: s.Layout})
	if err != nil {
		return nil, err
	}
	m.SetMetadataEntry(metadataName, meta)
	b, err := m.Encode()
	if err != nil {
		return nil, fmt.Errorf("write the model: %w", err)
	}
	return b, nil
}

// checkWritten reads a written model back.
func checkWritten(b []byte, head *classifier.Head, layout classifier.Layout) error {
	m, err := tflite.Parse(b)
	if err != nil {
		return err
	}
	got, _, err := classifier.Read(m)
	if err != nil {
		return err
	}
	var largest, tolerance float64
	for _, w := range head.Weights {
		largest = max(largest, math.Abs(float64(w)))
	}
	if layout == classifier.Coral {
		tolerance = largest / 100
	}
	if len(got.Weights) != len(head.Weights) {
		return fmt.Errorf("%d weights instead of %d", len(got.Weights), len(head.Weights))
	}
	for i, w := range head.Weights {
		if math.Abs(float64(got.Weights[i])-float64(w)) > tolerance {
			return fmt.Errorf("weight %d is %v instead of %v", i, got.Weights[i], w)
		}
	}
	return nil
}

// published is what model.tflite and labels.txt shall hold: nothing when nothing is
// taught. The labels come first, so that those of the model are there with it.
func (k *Workspace) published(model []byte, head *classifier.Fitted) []replacement {
	var labels []byte
	if head != nil {
		labels = labelLines(head.Head.Labels)
	}
	return []replacement{{k.store.path(labelsFile), labels}, {k.store.path(modelFile), model}}
}

// Repair publishes the model anew if it is not the one of the state, as after a
// process that was killed between writing the two. It says whether it had to. Each
// change does this too, even one that finds nothing to do; Repair is for a program
// that makes none. It does not wait: another process that is changing the workspace
// publishes its model itself.
func (k *Workspace) Repair(ctx context.Context) (bool, error) {
	if k.head == nil {
		// If the head is in the published model, this has summed that file up.
		if k.head = k.writtenHead(); k.head != nil {
			return false, nil
		}
	}
	if k.state.Generation == 0 || k.isPublished() {
		return false, nil
	}
	lock, err := k.store.lock(ctx, 0)
	if errors.Is(err, ErrLocked) && ctx.Err() == nil {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer lock.release()
	now, _, err := k.store.load()
	if err != nil {
		return false, err
	}
	if now == nil {
		lock.retract()
		return false, fmt.Errorf("repair %s: the workspace is gone: %w", k.store.dir, fs.ErrNotExist)
	}
	if err := k.sameKind(now); err != nil {
		return false, err
	}
	k.state, k.head = now, nil
	return k.republish()
}

// republish publishes the model of the Workspace's state unless it is there; the caller
// holds the lock.
func (k *Workspace) republish() (bool, error) {
	if k.isPublished() {
		return false, nil
	}
	model, head, err := k.build(k.state)
	if err != nil {
		return false, err
	}
	k.head = head
	return true, k.store.disk.replace(k.published(model, head)...)
}

// isPublished reports whether model.tflite is the model of the Workspace's state.
func (k *Workspace) isPublished() bool {
	got, err := sumFile(k.ModelPath())
	if errors.Is(err, fs.ErrNotExist) {
		got, err = sum(nil), nil
	}
	return err == nil && got == k.state.Model
}

// Export writes the model of the workspace to path, in any layout, and its labels
// to a file of their own if labels is not "". In the TPU layout it is written into the
// template of the Workspace's options, or else of the workspace, without the backbone's own
// classes; what became of it there is returned, and else nil.
func (k *Workspace) Export(path, labels string, layout classifier.Layout, keepClasses bool) (*Written, error) {
	fail := func(err error) (*Written, error) { return nil, fmt.Errorf("export: %w", err) }
	s := *k.state
	s.Settings.Layout, s.Settings.KeepClasses = layout, keepClasses && layout != classifier.TPU
	if layout == classifier.Coral || s.Settings.KeepClasses {
		s.Settings.Unknown = 0 // there it has no place
	}
	if k.options.Compiled != "" {
		s.Settings.Pair = k.pair.ref
	}
	if layout == classifier.TPU && s.Settings.Pair == (pairRef{}) {
		return fail(ErrNeedsCompiled)
	}
	model, head, err := k.build(&s)
	if err != nil {
		return fail(err)
	}
	if model == nil {
		return fail(ErrNothingTaught)
	}
	files := []replacement{{path, model}}
	if labels != "" {
		files = append(files, replacement{labels, labelLines(head.Head.Labels)})
	}
	if err := k.store.disk.replace(files...); err != nil {
		return fail(err)
	}
	return s.Written, nil
}

// labelLines is labels.txt. The number comes first on every line, because readers
// of Coral's files take a name that begins with digits ("50 limit") for a number.
func labelLines(labels []string) []byte {
	var b strings.Builder
	for i, l := range labels {
		fmt.Fprintf(&b, "%d  %s\n", i, l)
	}
	return []byte(b.String())
}

func sum(b []byte) digest {
	if b == nil {
		return digest{}
	}
	return sha256.Sum256(b)
}
