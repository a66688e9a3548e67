package template

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"reflect"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// A change gives a layer of the template other weights and another stage.
type change struct {
	*placed
	filter *executable.Filter
	stage  executable.Stage
}

// write returns the template with changes made, and a new token if anything is
// another. Nothing is returned unless every change can be made.
func (t *Template) write(changes []change) ([]byte, *executable.Package, error) {
	file := slices.Clone(t.file)
	p, err := executable.Parse(file[t.options:][:t.size])
	if err != nil {
		return nil, nil, err
	}
	// Layers may share a stage: then it can only become one.
	became := map[executable.StagePlace]executable.Stage{}
	for _, c := range changes {
		if c.filter != nil {
			if err := c.put(p); err != nil {
				return nil, nil, err
			}
		}
		if c.layer.stage == nil || c.stage == *c.layer.stage {
			continue
		}
		if len(c.stages) == 0 {
			return nil, nil, fmt.Errorf("layer %q: %w: its constants are not found in the instructions, so they can't become others", c.name, ErrTemplate)
		}
		for _, at := range c.stages {
			p.Main.PutStage(at, c.stage)
		}
	}
	for _, c := range changes {
		if c.layer.stage == nil {
			continue
		}
		for _, at := range c.stages {
			if s, ok := became[at]; ok && s != c.stage {
				return nil, nil, fmt.Errorf("layer %q: %w: another layer has the same constants in the template and others in the new model", c.name, ErrTemplate)
			}
			became[at] = c.stage
		}
	}
	if bytes.Equal(file, t.file) {
		return file, p, nil
	}
	// The token names the parameters: a driver that holds others by the same name on
	// the chip would not send these.
	h := sha256.New()
	for _, e := range p.Executables {
		h.Write(e.Parameters)
		for _, c := range e.Chunks {
			h.Write(c.Bytes)
		}
	}
	return file, p, p.SetToken(max(binary.LittleEndian.Uint64(h.Sum(nil)), 1))
}

// put writes a filter over the old one.
func (c *change) put(p *executable.Package) error {
	old := c.layer.filter
	if c.found != 1 {
		return fmt.Errorf("layer %q: %w: its weights are at %d places of the template's parameters, not at 1", c.name, ErrTemplate, c.found)
	}
	if !sameShape(old, c.filter) {
		return fmt.Errorf("layer %q: %w: it has the shape %s in the template and %s in the new model", c.name, ErrTemplate, shape(old), shape(c.filter))
	}
	form := c.place.Form
	if form.NoBias && slices.ContainsFunc(c.filter.Biases, func(b int32) bool { return b != 0 }) {
		return fmt.Errorf("layer %q: %w: the template has no room for biases, which are all 0 there", c.name, ErrTemplate)
	}
	f := *c.filter
	if !form.NoBias && f.Biases == nil {
		f.Biases = make([]int32, f.Outputs)
	}
	copy(c.parameters(p)[c.place.Offset:], f.Encode(form))
	return nil
}

func sameShape(a, b *executable.Filter) bool {
	return a.Outputs == b.Outputs && a.Inputs == b.Inputs && a.Height == b.Height && a.Width == b.Width &&
		a.Depthwise == b.Depthwise && a.FullyConnected == b.FullyConnected && (a.Multipliers == nil) == (b.Multipliers == nil)
}

func shape(f *executable.Filter) string {
	s := fmt.Sprintf("%d×%d×%d×%d", f.Outputs, f.Height, f.Width, f.Inputs)
	if f.Multipliers != nil {
		s += " quantised by channel"
	}
	return s
}

// Retarget returns the template with the weights and scales of model, which has the
// twin's architecture, as if model had been compiled. It refuses, naming the layer,
// what can't be expressed: other shapes, scales where the constants made of them are
// not known, biases where the template has none.
func (t *Template) Retarget(model []byte) ([]byte, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, fmt.Errorf("read the new model: %w", err)
	}
	if n := len(t.model.Subgraphs[0].Operators); n != 1 {
		return nil, fmt.Errorf("%w: it has %d operators on the CPU beside the one for the Edge TPU", ErrTemplate, n-1)
	}
	if n := len(m.Subgraphs[0].Operators); n != len(t.layers) {
		return nil, fmt.Errorf("%w: it has %d layers, the new model %d", ErrTemplate, len(t.layers), n)
	}
	changes, err := t.changes(m, len(t.layers))
	if err != nil {
		return nil, err
	}
	file, p, err := t.write(changes)
	if err != nil {
		return nil, err
	}
	return t.renumber(file, p, m)
}

// changes lists what the first n layers of m are in the place of the twin's.
func (t *Template) changes(m *tflite.Model, n int) ([]change, error) {
	all, err := layers(m)
	if err != nil {
		return nil, fmt.Errorf("read the new model: %w", err)
	}
	if len(all) < n {
		// The last layer may read the embedding in another shape.
		for n > len(all) && t.layers[n-1].kind == tflite.OpReshape {
			n--
		}
		if n > len(all) {
			return nil, fmt.Errorf("%w: it has %d layers before the last, the new model %d", ErrTemplate, n, len(all))
		}
	}
	var changes []change
	for i := range n {
		was, l := &t.layers[i], &all[i]
		if l.kind != was.kind || len(l.numerics) != len(was.numerics) || !sameOptions(t.twin, m, i) || !sameTensors(t.twin, m, i) {
			return nil, fmt.Errorf("layer %q: %w: it is %v in the template and another %v in the new model", was.name, ErrTemplate, was.kind, l.kind)
		}
		if l.stage == nil {
			if !slices.Equal(l.numerics, was.numerics) {
				return nil, fmt.Errorf("layer %q: %w: the scales around %v differ, and where the template has its constants is not known", was.name, ErrTemplate, l.kind)
			}
			continue
		}
		changes = append(changes, change{was, l.filter, *l.stage})
	}
	return changes, nil
}

// sameOptions reports whether operator i has the same options in both models.
func sameOptions(a, b *tflite.Model, i int) bool {
	return reflect.DeepEqual(a.Subgraphs[0].Operators[i].Options, b.Subgraphs[0].Operators[i].Options)
}

// source is the operator of m that writes tensor t, and as which of its outputs; -1
// and which of the model's inputs it is, or -1 and -1 for a constant.
func source(m *tflite.Model, t int32) (op, output int) {
	g := &m.Subgraphs[0]
	for i := range g.Operators {
		if k := slices.Index(g.Operators[i].Outputs, t); k >= 0 {
			return i, k
		}
	}
	return -1, slices.Index(g.Inputs, t)
}

// sameTensors reports whether the operands of operator i come from the same places in
// both models and have the same types and shapes.
func sameTensors(a, b *tflite.Model, i int) bool {
	x, y := &a.Subgraphs[0].Operators[i], &b.Subgraphs[0].Operators[i]
	same := func(p, q []int32) bool {
		return slices.EqualFunc(p, q, func(s, t int32) bool {
			if s < 0 || t < 0 {
				return s == t
			}
			u, v := &a.Subgraphs[0].Tensors[s], &b.Subgraphs[0].Tensors[t]
			from, output := source(a, s)
			like, as := source(b, t)
			return from == like && output == as && u.Type == v.Type && slices.Equal(u.Shape, v.Shape)
		})
	}
	return same(x.Inputs, y.Inputs) && same(x.Outputs, y.Outputs)
}

// renumber gives the inputs and outputs of a written file the scales and zero points
// of m.
func (t *Template) renumber(file []byte, p *executable.Package, m *tflite.Model) ([]byte, error) {
	out, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	from, to := &m.Subgraphs[0], &out.Subgraphs[0]
	twin := &t.twin.Subgraphs[0]
	changed := false
	for _, side := range []struct {
		layers         []executable.Layer
		from, to, twin []int32
	}{{p.Main.Inputs, from.Inputs, to.Inputs, twin.Inputs}, {p.Main.Outputs, from.Outputs, to.Outputs, twin.Outputs}} {
		if len(side.from) != len(side.to) || len(side.layers) != len(side.to) {
			return nil, fmt.Errorf("%w: it has %d inputs or outputs, the new model %d", ErrTemplate, len(side.to), len(side.from))
		}
		for i := range side.layers {
			scale, zero, err := quantisation(&from.Tensors[side.from[i]])
			if err != nil {
				return nil, err
			}
			was, wasZero, err := quantisation(&twin.Tensors[side.twin[i]])
			if err != nil {
				return nil, err
			}
			if scale == was && zero == wasZero {
				continue
			}
			if err := side.layers[i].SetNumerics(scale, int(zero)); err != nil {
				return nil, err
			}
			changed = true
			q := *to.Tensors[side.to[i]].Quantization
			q.Scale, q.ZeroPoint = []float32{scale}, slices.Clone(from.Tensors[side.from[i]].Quantization.ZeroPoint)
			to.Tensors[side.to[i]].Quantization = &q
		}
	}
	if !changed {
		return file, nil
	}
	// The custom options of out share memory with file, and were changed there.
	return out.Encode()
}
