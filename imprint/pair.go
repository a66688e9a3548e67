package imprint

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/tpu/compiled"
)

// ErrNoTemplate is wrapped when the layout tpu is asked for and no compiled model is
// named to write into, or not the one that it was compiled from.
var ErrNeedsCompiled = errors.New("the layout tpu needs a compiled model to write into, and the model that was compiled from")

// ErrKeepClasses is returned when the backbone's classes shall be kept in a compiled
// model, where the taught ones take their place.
var ErrKeepClasses = errors.New("the layout tpu can't keep the backbone's own classes")

// A pair is a compiled model and the model that it was compiled from.
type pair struct {
	ref                  store.PairRef
	compiled, uncompiled []byte
	names                [2]string // as they were given
	*compiled.Pair
}

// readPair reads two files, or pulled models, as a pair.
func readPair(compiledName, uncompiledName string) (*pair, error) {
	p := &pair{names: [2]string{compiledName, uncompiledName}, ref: store.PairRef{Compiled: filepath.Base(compiledName), Uncompiled: filepath.Base(uncompiledName)}}
	for _, f := range []struct {
		what, name string
		to         *[]byte
	}{{"compiled model", compiledName, &p.compiled}, {"uncompiled model", uncompiledName, &p.uncompiled}} {
		path, err := findModel(f.name)
		if err == nil {
			*f.to, err = tflite.ReadFile(path)
		}
		if err != nil {
			return nil, fmt.Errorf("read the %s %s: %w", f.what, f.name, err)
		}
	}
	p.ref.CompiledSHA256, p.ref.UncompiledSHA256 = store.Sum(p.compiled), store.Sum(p.uncompiled)
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
		if o.Layout == classifier.TPU && k.state.Settings.Pair == (store.PairRef{}) {
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
func (k *Workspace) pairOf(ref store.PairRef) (*pair, error) {
	if k.pair != nil && k.pair.ref.Same(ref) {
		return k.pair, nil
	}
	compiled, twin := ref.Files()
	p, err := readPair(k.store.Path(compiled), k.store.Path(twin))
	if err != nil {
		return nil, fmt.Errorf("%w: name %s again with --template, and %s with --twin", err, ref.Compiled, ref.Uncompiled)
	}
	if !p.ref.Same(ref) {
		return nil, fmt.Errorf("%w: %s is not the model %s that it was: name that again with --template, and %s with --twin",
			store.ErrCorrupt, k.store.Path(compiled), ref.Compiled, ref.Uncompiled)
	}
	p.ref = ref
	k.pair = p
	return p, nil
}

// parseBackbone loads the workspace's backbone.
func (k *Workspace) parseBackbone(file []byte, o backbone.Options) (*backbone.Backbone, error) {
	if k.options.Layout != classifier.TPU && k.state.Settings.Layout != classifier.TPU {
		return k.options.Devices.Backbone(file, o)
	}
	// Devices run the written model, and the CPU what embeds photos.
	o.Accelerator = k.options.Devices.Accelerator()
	return backbone.Parse(file, o)
}

// writeTPU writes head into the template of s.
func (k *Workspace) writeTPU(head *classifier.Head, s *store.State) ([]byte, *store.Written, error) {
	fail := func(err error) ([]byte, *store.Written, error) {
		return nil, nil, fmt.Errorf("write the last layer into %s: %w", s.Settings.Pair.Compiled, err)
	}
	if backbone.Compiled(k.backbone.Model()) {
		return fail(fmt.Errorf("%w: the backbone %s is a compiled model; the layout tpu needs the one before it was compiled", compiled.ErrUncompiled, k.backbone.Name))
	}
	p, err := k.pairOf(s.Settings.Pair)
	if err != nil {
		return nil, nil, err
	}
	units := k.unitsOf(s.Positives())
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
	return b, &store.Written{LogitScale: w.LogitScale, Disagreements: w.Disagreements, Examples: w.Examples}, nil
}

// Written says what became of the head in the TPU layout; nil in another.
func (k *Workspace) Written() *Written { return (*Written)(k.state.Written) }

// onDevice reports whether the model of the workspace itself runs on devices.
func (k *Workspace) onDevices() bool {
	d := k.options.Devices
	return k.state.Settings.Layout == classifier.TPU && d.UsesTPU()
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
	var uncompiled *tflite.Model
	if k.options.Devices.HasFallback() {
		p, err := k.pairOf(k.state.Settings.Pair)
		if err != nil {
			return nil, nil, err
		}
		if uncompiled, _, err = p.Uncompiled(model, k.backbone.Model()); err != nil {
			return nil, nil, err
		}
	}
	on := k.options.Devices.AcceleratorFor(uncompiled)
	b, err := backbone.Parse(model, backbone.Options{Name: store.ModelFile, Embedding: fmt.Sprint("#", m.Subgraphs[0].Outputs[0]), Accelerator: on})
	if err != nil {
		return nil, nil, err
	}
	if b.Dim() < len(labels) {
		return nil, nil, fmt.Errorf("the model has %d scores for %d classes: %w", b.Dim(), len(labels), classifier.ErrShape)
	}
	return b, &scorer{labels: labels, embedding: b.Embedding, dim: b.Dim()}, nil
}
