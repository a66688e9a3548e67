package imprint

import (
	"fmt"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/internal/infer"
	"github.com/imprintkit/imprint/imprint/internal/publish"
	"github.com/imprintkit/imprint/imprint/internal/store"
	"github.com/imprintkit/imprint/tpu/compiled"
)

// A pair is a compiled model and the model that it was compiled from.
type pair struct {
	ref                  store.PairRef
	compiled, uncompiled []byte
	names                [2]string // as the options give them
	*compiled.Pair
}

// readPair reads a pair from two files or pulled models.
func readPair(compiledName, uncompiledName string) (*pair, error) {
	p := &pair{names: [2]string{compiledName, uncompiledName}, ref: store.PairRef{Compiled: filepath.Base(compiledName), Uncompiled: filepath.Base(uncompiledName)}}
	for _, f := range []struct {
		what, name string
		to         *[]byte
	}{{"compiled model", compiledName, &p.compiled}, {"uncompiled model", uncompiledName, &p.uncompiled}} {
		path, err := infer.Locate(f.name)
		if err == nil {
			var file *tflite.ModelFile
			if file, err = tflite.ReadModel(path); err == nil {
				*f.to = file.Model
			}
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

// resolvePair reads the compiled model that o names, if any, and completes o.
func (w *Workspace) resolvePair(o Options, fresh bool) (Options, error) {
	if o.Compiled == "" && o.Uncompiled != "" && o.Backbone != "" {
		is, err := isPair(o.Backbone, o.Uncompiled)
		if err != nil {
			return o, err
		}
		if is {
			o.Compiled, o.Backbone = o.Backbone, o.Uncompiled
		}
	}
	if o.Compiled == "" {
		if o.Layout == classifier.TPU && w.state.Settings.Pair == (store.PairRef{}) {
			return o, ErrNeedsCompiled
		}
		return o, nil
	}
	if o.Uncompiled == "" {
		return o, fmt.Errorf("compiled model %s: %w", o.Compiled, ErrNeedsCompiled)
	}
	if w.pair == nil || w.pair.names != [2]string{o.Compiled, o.Uncompiled} {
		var err error
		if w.pair, err = readPair(o.Compiled, o.Uncompiled); err != nil {
			return o, err
		}
	}
	if o.Layout == "" {
		o.Layout = classifier.TPU
	}
	if fresh && o.Backbone == "" {
		o.Backbone = o.Uncompiled
	}
	return o, nil
}

// isPair reports whether one model is compiled for the Edge TPU and the other is an uncompiled
// classifier. An embedding extractor is not a classifier.
func isPair(compiledName, uncompiledName string) (bool, error) {
	var models [2]*tflite.Model
	for i, name := range []string{compiledName, uncompiledName} {
		b, _, err := infer.ReadBackbone(name)
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

// pairOf returns the pair that ref identifies.
func (w *Workspace) pairOf(ref store.PairRef) (*pair, error) {
	if w.pair != nil && w.pair.ref.Same(ref) {
		return w.pair, nil
	}
	compiledFile, uncompiledFile := ref.Files()
	p, err := readPair(w.store.Path(compiledFile), w.store.Path(uncompiledFile))
	if err != nil {
		return nil, fmt.Errorf("%w; the workspace was made with %s, compiled from %s", err, ref.Compiled, ref.Uncompiled)
	}
	if !p.ref.Same(ref) {
		return nil, fmt.Errorf("%w: %s is no longer the model %s, compiled from %s", ErrCorrupt, w.store.Path(compiledFile), ref.Compiled, ref.Uncompiled)
	}
	p.ref = ref
	w.pair = p
	return p, nil
}

// uncompiledBackbone returns an error if the backbone is a compiled model, whose layers
// can't be written into another.
func (w *Workspace) uncompiledBackbone() error {
	if !backbone.Compiled(w.backbone.Model()) {
		return nil
	}
	return fmt.Errorf("%w: the backbone %s is a compiled model; the tpu layout needs the uncompiled model", compiled.ErrUncompiled, w.backbone.Name)
}

// checkRoom returns an error if the workspace writes its last layer into a compiled model
// that can't take the new labels in addition to the workspace's. Embedding photos takes
// long, so this is checked first.
func (w *Workspace) checkRoom(added map[string]string) error {
	settings := w.state.Settings
	if err := w.choose(&settings); err != nil || settings.Layout != classifier.TPU {
		return err
	}
	p, err := w.pairOf(settings.Pair)
	if err != nil {
		return err
	}
	labels := make(map[string]bool)
	for _, l := range w.state.Labels() {
		labels[l] = true
	}
	for _, l := range added {
		labels[l] = true
	}
	delete(labels, store.NegativeLabel)
	if err = w.uncompiledBackbone(); err == nil {
		err = p.CheckRoom(len(labels), w.backbone.Dim())
	}
	if err != nil {
		return fmt.Errorf("write the last layer into %s: %w", settings.Pair.Compiled, err)
	}
	return nil
}

// writeTPU writes head into the compiled model of s.
func (w *Workspace) writeTPU(head *classifier.Head, s *store.State) ([]byte, *store.Written, error) {
	fail := func(err error) ([]byte, *store.Written, error) {
		return nil, nil, fmt.Errorf("write the last layer into %s: %w", s.Settings.Pair.Compiled, err)
	}
	p, err := w.pairOf(s.Settings.Pair)
	if err != nil {
		return nil, nil, err
	}
	if err := w.uncompiledBackbone(); err != nil {
		return fail(err)
	}
	layer, err := lastLayer(head)
	if err != nil {
		return fail(err)
	}
	var embeddings []compiled.Embedding
	for _, e := range w.unitsOf(s.Positives()) {
		embeddings = append(embeddings, compiled.Embedding{Unit: e.Unit, Norm: e.Norm})
	}
	file, written, err := p.WriteLastLayer(layer, embeddings, w.backbone.Model())
	if err != nil {
		return fail(err)
	}
	m, err := tflite.Parse(file)
	if err != nil {
		return fail(err)
	}
	b, err := publish.Encode(m, s.Settings, w.backbone.Normalized)
	if err != nil {
		return fail(err)
	}
	if got, err := p.ReadLastLayer(b, w.backbone.Model()); err != nil {
		return fail(err)
	} else if !slices.Equal(got.Labels, head.Labels) {
		return fail(fmt.Errorf("check the model before publishing it: its labels are missing: %w", classifier.ErrShape))
	}
	return b, &store.Written{LogitScale: written.LogitScale, Disagreements: written.Disagreements, Examples: written.Embeddings}, nil
}

// lastLayer converts a head to a layer of a compiled model. It fails for a head on square roots,
// which the Edge TPU can't compute.
func lastLayer(h *classifier.Head) (*compiled.LastLayer, error) {
	if err := h.Check(); err != nil {
		return nil, err
	}
	if h.Sqrt {
		return nil, fmt.Errorf("a head on square roots can't be a layer of a compiled model: %w", classifier.ErrShape)
	}
	return &compiled.LastLayer{Labels: h.Labels, Inputs: h.Dim, Weights: h.Weights, Bias: h.Bias}, nil
}

// onDevices reports whether Edge TPUs run the published model, not only its backbone.
func (w *Workspace) onDevices() bool {
	return w.state.Settings.Layout == classifier.TPU && w.options.Devices.UsesTPU()
}

// compiledModel prepares the published model, in the TPU layout, to run on the devices. It outputs
// scores instead of an embedding.
func (w *Workspace) compiledModel(model []byte) (*backbone.Backbone, *infer.Scorer, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, nil, err
	}
	labels, err := m.Labels()
	if err != nil {
		return nil, nil, err
	}
	if n := len(m.Subgraphs[0].Outputs); n != 1 {
		return nil, nil, fmt.Errorf("the model has %d outputs: %w", n, classifier.ErrShape)
	}
	var uncompiled *tflite.Model
	if w.options.Devices.HasFallback() {
		p, err := w.pairOf(w.state.Settings.Pair)
		if err != nil {
			return nil, nil, err
		}
		if uncompiled, _, err = p.Uncompiled(model, w.backbone.Model()); err != nil {
			return nil, nil, err
		}
	}
	b, err := backbone.Parse(model, backbone.Options{
		Name: store.ModelFile, Embedding: fmt.Sprint("#", m.Subgraphs[0].Outputs[0]), Accelerator: w.options.Devices.AcceleratorFor(uncompiled),
	})
	if err != nil {
		return nil, nil, err
	}
	if b.Dim() < len(labels) {
		return nil, nil, fmt.Errorf("the model has %d scores for %d classes: %w", b.Dim(), len(labels), classifier.ErrShape)
	}
	return b, &infer.Scorer{Labels: labels, Embedding: b.Embedding, Dim: b.Dim()}, nil
}
