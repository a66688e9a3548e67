package imprint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/tpu/compiled"
)

// ErrNoTemplate is wrapped when the layout tpu is asked for and no compiled model is
// named to write into, or not the one that it was compiled from.
var ErrNeedsCompiled = errors.New("the layout tpu needs a compiled model to write into, and the model that was compiled from")

// ErrKeepClasses is returned when the backbone's classes shall be kept in a compiled
// model, where the taught ones take their place.
var ErrKeepClasses = errors.New("the layout tpu can't keep the backbone's own classes")

// Written says what became of a head in a compiled model.
type Written struct {
	// Sharpened is the factor by which logits were multiplied to make use of the
	// layer's output.
	LogitScale float64 `json:"sharpened"`
	// Differ is the number of the photos taught, of Examples, whose winner is another
	// than the head's.
	Disagreements int `json:"differ"`
	Examples      int `json:"examples"`
}

// A templateRef says which compiled model a head is written into, and which model that
// was compiled from.
type pairRef struct {
	Compiled         string `json:"Name"` // both names are for messages
	Uncompiled       string `json:"Twin"`
	CompiledSHA256   digest `json:"SHA256"`
	UncompiledSHA256 digest `json:"TwinSHA256"`
}

func (r pairRef) same(other pairRef) bool {
	return r.CompiledSHA256 == other.CompiledSHA256 && r.UncompiledSHA256 == other.UncompiledSHA256
}

// Prefixes of the files of templates in a workspace. Their content is in their names,
// because an earlier one may be gone back to.
const (
	templatePrefix = "template-"
	twinPrefix     = "twin-"
)

// files are where the workspace keeps the two.
func (r pairRef) files() (compiled, twin string) {
	return fmt.Sprintf("%s%x.tflite", templatePrefix, r.CompiledSHA256[:8]), fmt.Sprintf("%s%x.tflite", twinPrefix, r.UncompiledSHA256[:8])
}

// A pair is a compiled model and the model that it was compiled from.
type pair struct {
	ref                  pairRef
	compiled, uncompiled []byte
	names                [2]string // as they were given
	*compiled.Pair
}

// readPair reads two files, or pulled models, as a pair.
func readPair(compiledName, uncompiledName string) (*pair, error) {
	p := &pair{names: [2]string{compiledName, uncompiledName}, ref: pairRef{Compiled: filepath.Base(compiledName), Uncompiled: filepath.Base(uncompiledName)}}
	for _, f := range []struct {
		what, name string
		to         *[]byte
	}{{"compiled model", compiledName, &p.compiled}, {"uncompiled model", uncompiledName, &p.uncompiled}} {
		path, err := findModel(f.name)
		if err == nil {
			*f.to, err = readFile(path, tflite.MaxFileSize)
		}
		if err != nil {
			return nil, fmt.Errorf("read the %s %s: %w", f.what, f.name, err)
		}
	}
	p.ref.CompiledSHA256, p.ref.UncompiledSHA256 = sum(p.compiled), sum(p.uncompiled)
	var err error
	p.Pair, err = compiled.Open(p.compiled, p.uncompiled)
	return p, err
}

// choosePair reads the template of the options, if they name one, and completes them.
func (k *Workspace) choosePair(fresh bool) error {
	o := &k.options
	if o.Compiled == "" && o.Uncompiled != "" && o.Backbone != "" {
		is, err := isPair(o.Backbone, o.Uncompiled)
		if err != nil {
			return err
		}
		if is {
			o.Compiled, o.Backbone = o.Backbone, o.Uncompiled
		}
	}
	if o.Compiled == "" {
		if o.Layout == classifier.TPU && k.state.Settings.Pair == (pairRef{}) {
			return ErrNeedsCompiled
		}
		return nil
	}
	if o.Uncompiled == "" {
		return fmt.Errorf("template %s: %w", o.Compiled, ErrNeedsCompiled)
	}
	if k.pair == nil || k.pair.names != [2]string{o.Compiled, o.Uncompiled} {
		var err error
		if k.pair, err = readPair(o.Compiled, o.Uncompiled); err != nil {
			return err
		}
	}
	if o.Layout == "" {
		o.Layout = classifier.TPU
	}
	if fresh && o.Backbone == "" {
		o.Backbone = o.Uncompiled
	}
	return nil
}

// isPair reports whether compiled is a model compiled for the Edge TPU and twin a
// classifier, which an extractor of embeddings is not.
func isPair(compiled, twin string) (bool, error) {
	var models [2]*tflite.Model
	for i, name := range []string{compiled, twin} {
		b, _, err := readBackbone(name)
		if err != nil {
			return false, err
		}
		if models[i], err = tflite.Parse(b); err != nil {
			return false, fmt.Errorf("load backbone %s: %w", name, err)
		}
	}
	if !backbone.Compiled(models[0]) || len(models[1].Subgraphs) == 0 {
		return false, nil
	}
	_, last, err := backbone.FindEmbedding(models[1])
	return err == nil && last >= 0, nil
}

// pairOf gives the template of settings.
func (k *Workspace) pairOf(ref pairRef) (*pair, error) {
	if k.pair != nil && k.pair.ref.same(ref) {
		return k.pair, nil
	}
	compiled, twin := ref.files()
	p, err := readPair(k.store.path(compiled), k.store.path(twin))
	if err != nil {
		return nil, fmt.Errorf("%w; the workspace was made with %s, compiled from %s", err, ref.Compiled, ref.Uncompiled)
	}
	if !p.ref.same(ref) {
		return nil, fmt.Errorf("%w: %s is no longer the model %s, compiled from %s",
			ErrCorrupt, k.store.path(compiled), ref.Compiled, ref.Uncompiled)
	}
	p.ref = ref
	k.pair = p
	return p, nil
}

// dropTemplates removes the files of templates that neither of two generations needs.
func (s store) dropPairs(states ...*state) {
	var keep []string
	for _, st := range states {
		for _, ref := range st.pairs() {
			compiled, twin := ref.files()
			keep = append(keep, compiled, twin)
		}
	}
	entries, _ := os.ReadDir(s.dir)
	for _, e := range entries {
		name := strings.TrimPrefix(e.Name(), ".") // what a killed process left
		if (strings.HasPrefix(name, templatePrefix) || strings.HasPrefix(name, twinPrefix)) && !slices.Contains(keep, e.Name()) {
			os.Remove(s.path(e.Name()))
		}
	}
}

// parseBackbone loads the workspace's backbone.
func (k *Workspace) parseBackbone(file []byte, o backbone.Options) (*backbone.Backbone, error) {
	if k.options.Layout != classifier.TPU && k.state.Settings.Layout != classifier.TPU {
		return k.options.Devices.backbone(file, o)
	}
	// Devices run the written model, and the CPU what embeds photos.
	o.Accelerator = k.options.Devices.accelerator()
	return backbone.Parse(file, o)
}

// writeTPU writes head into the template of s.
func (k *Workspace) writeTPU(head *classifier.Head, s *state) ([]byte, *Written, error) {
	fail := func(err error) ([]byte, *Written, error) {
		return nil, nil, fmt.Errorf("write the last layer into %s: %w", s.Settings.Pair.Compiled, err)
	}
	if backbone.Compiled(k.backbone.Model()) {
		return fail(fmt.Errorf("%w: the backbone %s is a compiled model; the layout tpu needs the one before it was compiled", compiled.ErrUncompiled, k.backbone.Name))
	}
	p, err := k.pairOf(s.Settings.Pair)
	if err != nil {
		return nil, nil, err
	}
	units := k.unitsOf(s.positives())
	file, w, err := p.WriteHead(head, units, k.backbone.Model())
	if err != nil {
		return fail(err)
	}
	m, err := tflite.Parse(file)
	if err != nil {
		return fail(err)
	}
	b, err := encodeModel(m, s.Settings)
	if err != nil {
		return fail(err)
	}
	if got, err := p.ReadHead(b, k.backbone.Model()); err != nil {
		return fail(err)
	} else if !slices.Equal(got.Labels, head.Labels) {
		return fail(fmt.Errorf("the model that was written does not hold the labels, and is not published: %w", classifier.ErrShape))
	}
	return b, &Written{LogitScale: w.LogitScale, Disagreements: w.Disagreements, Examples: w.Examples}, nil
}

// Written says what became of the head in the TPU layout; nil in another.
func (k *Workspace) Written() *Written { return k.state.Written }

// onDevice reports whether the model of the workspace itself runs on devices.
func (k *Workspace) onDevices() bool {
	d := k.options.Devices
	return k.state.Settings.Layout == classifier.TPU && d != nil && d.choice != "cpu"
}

// compiled prepares model, which is that of the workspace in the TPU layout, to run on
// the devices. It gives scores where a backbone gives an embedding.
func (k *Workspace) compiled(model []byte) (*backbone.Backbone, *scorer, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, nil, err
	}
	labels, err := m.Labels()
	if err != nil {
		return nil, nil, err
	}
	if len(m.Subgraphs[0].Outputs) != 1 {
		return nil, nil, fmt.Errorf("the model has %d outputs: %w", len(m.Subgraphs[0].Outputs), classifier.ErrShape)
	}
	on := trainedDevices{Devices: k.options.Devices}
	if on.Devices.uncompiled != nil { // the CPU may take over
		p, err := k.pairOf(k.state.Settings.Pair)
		if err != nil {
			return nil, nil, err
		}
		if on.uncompiled, _, err = p.Uncompiled(model, k.backbone.Model()); err != nil {
			return nil, nil, err
		}
	}
	b, err := backbone.Parse(model, backbone.Options{Name: modelFile, Embedding: fmt.Sprint("#", m.Subgraphs[0].Outputs[0]), Accelerator: on})
	if err != nil {
		return nil, nil, err
	}
	if b.Dim() < len(labels) {
		return nil, nil, fmt.Errorf("the model has %d scores for %d classes: %w", b.Dim(), len(labels), classifier.ErrShape)
	}
	return b, &scorer{labels: labels, embedding: b.Embedding, dim: b.Dim()}, nil
}
