package compiled

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
	sum    *executable.Sum // of an ADD, instead of both
}

// write returns the template with changes made, and a new token if anything is
// another. Nothing is returned unless every change can be made.
func (t *Pair) write(changes []change) ([]byte, *executable.Package, error) {
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
		if c.sum != nil {
			if *c.sum != *c.layer.sum {
				p.Main.PutSum(*c.sumAt, *c.sum)
			}
			continue
		}
		if c.layer.stage == nil || c.stage == *c.layer.stage {
			continue
		}
		if len(c.stages) == 0 {
			return nil, nil, fmt.Errorf("layer %q: %w: its constants are not found in the instructions, so they can't become others", c.name, ErrCompiled)
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
				return nil, nil, fmt.Errorf("layer %q: %w: another layer has the same constants in the template and others in the new model", c.name, ErrCompiled)
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
	if reflect.DeepEqual(old, c.filter) {
		return nil
	}
	if c.found != 1 {
		return fmt.Errorf("layer %q: %w: its weights are at %d places of the template's parameters, not at 1", c.name, ErrCompiled, c.found)
	}
	if !sameShape(old, c.filter) {
		return fmt.Errorf("layer %q: %w: it has the shape %s in the template and %s in the new model", c.name, ErrCompiled, shape(old), shape(c.filter))
	}
	form := c.place.Form
	if form.NoBias && slices.ContainsFunc(c.filter.Biases, func(b int32) bool { return b != 0 }) {
		return fmt.Errorf("layer %q: %w: the template has no room for biases, which are all 0 there", c.name, ErrCompiled)
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
func (t *Pair) Retarget(model []byte) ([]byte, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, fmt.Errorf("read the new model: %w", err)
	}
	if len(m.Subgraphs) != 1 {
		return nil, fmt.Errorf("read the new model: it has %d subgraphs, want 1: %w", len(m.Subgraphs), ErrUncompiled)
	}
	if n := len(m.Subgraphs[0].Operators); n != len(t.layers) {
		return nil, fmt.Errorf("%w: it has %d layers, the new model %d", ErrCompiled, len(t.layers), n)
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
func (t *Pair) changes(m *tflite.Model, n int) ([]change, error) {
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
			return nil, fmt.Errorf("%w: it has %d layers before the last, the new model %d", ErrCompiled, n, len(all))
		}
	}
	var changes []change
	for i := range n {
		was, l := &t.layers[i], &all[i]
		if why := t.differs(m, i, &was.layer, l); why != "" {
			return nil, fmt.Errorf("layer %q, %v: %w: %s", was.name, was.kind, ErrCompiled, why)
		}
		switch {
		case t.onCPU(i):
		case l.stage != nil:
			changes = append(changes, change{placed: was, filter: l.filter, stage: *l.stage})
		case l.sum != nil && was.sumAt != nil:
			changes = append(changes, change{placed: was, sum: l.sum})
		case !slices.Equal(l.numerics, was.numerics):
			return nil, fmt.Errorf("layer %q, %v: %w: the new model has other scales around it, and where the template has constants made of them is not known", was.name, was.kind, ErrCompiled)
		}
	}
	return changes, nil
}

// differs says in which way layer i of m is not the twin's, but for what can be written;
// "" if in none.
func (t *Pair) differs(m *tflite.Model, i int, was, l *layer) string {
	x, y := &t.twin.Subgraphs[0].Operators[i], &m.Subgraphs[0].Operators[i]
	switch {
	case l.kind != was.kind:
		return fmt.Sprintf("it is %v in the new model", l.kind)
	case was.filter != nil && !sameShape(was.filter, l.filter):
		return fmt.Sprintf("it has the shape %s, and %s in the new model", shape(was.filter), shape(l.filter))
	case !sameTensors(t.twin, m, i) || len(l.numerics) != len(was.numerics):
		return "it has inputs or outputs of other types, shapes or places in the new model"
	case !reflect.DeepEqual(geometry(&t.twin.Subgraphs[0], l.kind, x), geometry(&m.Subgraphs[0], l.kind, y)):
		return "it has other options in the new model"
	case was.filter == nil && !t.onCPU(i):
		for j, s := range x.Inputs {
			if s >= 0 && !bytes.Equal(t.twin.TensorBytes(0, s), m.TensorBytes(0, y.Inputs[j])) {
				return fmt.Sprintf("constant %q is another in the new model, and where the template has it is not known", t.twin.Subgraphs[0].Tensors[s].Name)
			}
		}
	}
	return ""
}

// geometry are the options of an operator but the activation of those that have it in
// their stage, shapes, which tensors have, and the steps of a pool that makes none.
func geometry(g *tflite.Subgraph, kind tflite.BuiltinOperator, op *tflite.Operator) any {
	o := op.Options
	switch kind {
	case tflite.OpConv2D:
		v := o.Conv2D()
		v.Activation = 0
		return v
	case tflite.OpDepthwiseConv2D:
		v := o.DepthwiseConv2D()
		v.Activation = 0
		return v
	case tflite.OpFullyConnected:
		v := o.FullyConnected()
		v.Activation = 0
		return v
	case tflite.OpAveragePool2D:
		v := o.Pool2D()
		v.Activation = 0
		if out := g.Tensors[op.Outputs[0]].Shape; len(out) == 4 && out[1] == 1 && out[2] == 1 {
			v.StrideH, v.StrideW = 1, 1
		}
		return v
	case tflite.OpConcatenation:
		return o.Concatenation().Axis
	case tflite.OpSoftmax:
		return o.Softmax()
	case tflite.OpReshape, tflite.OpSqueeze:
		return nil
	}
	return o
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

// renumber gives the inputs and outputs of a written file's program and what is left to
// the CPU the scales and zero points of m.
func (t *Pair) renumber(file []byte, p *executable.Package, m *tflite.Model) ([]byte, error) {
	out, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	changed, err := t.rewriteRest(out, m)
	if err != nil {
		return nil, err
	}
	twin, from, g := &t.twin.Subgraphs[0], &m.Subgraphs[0], &out.Subgraphs[0]
	places, same := t.places(m), true
	for was, is := range places {
		if was >= 0 && is >= 0 && requantise(new(tflite.Tensor), &twin.Tensors[was], &from.Tensors[is]) {
			same = false
		}
	}
	op := &g.Operators[t.operator]
	for _, side := range []struct {
		layers  []executable.Layer
		tensors []int32
	}{{p.Main.Inputs, op.Inputs}, {p.Main.Outputs, op.Outputs}} {
		for i := range side.layers {
			l := &side.layers[i]
			if i >= len(side.tensors) {
				break // states of an LSTM, which the twin has no outputs for
			}
			tensor := &g.Tensors[side.tensors[i]]
			at := t.twinTensor(g, side.tensors[i])
			if at < 0 || l.Name != tensor.Name {
				if same {
					continue
				}
				return nil, fmt.Errorf("%w: tensor %q of its operator for the Edge TPU is none of the uncompiled model's", ErrCompiled, tensor.Name)
			}
			is := &from.Tensors[places[int32(at)]]
			if !requantise(tensor, &twin.Tensors[at], is) {
				continue
			}
			scale, zero, err := quantisation(is)
			if err != nil {
				return nil, err
			}
			if err := l.SetNumerics(scale, int(zero)); err != nil {
				return nil, err
			}
			changed = true
		}
	}
	if !changed {
		return file, nil
	}
	// The custom options of out share memory with file, and were changed there.
	return out.Encode()
}

// twinTensor is the tensor of the twin that a tensor of the template stands for: the same
// input or output of the model, or the one of the same name; −1 for none.
func (t *Pair) twinTensor(g *tflite.Subgraph, tensor int32) int {
	twin := &t.twin.Subgraphs[0]
	if k := slices.Index(g.Inputs, tensor); k >= 0 && len(g.Inputs) == len(twin.Inputs) {
		return int(twin.Inputs[k])
	}
	if k := slices.Index(g.Outputs, tensor); k >= 0 && len(g.Outputs) == len(twin.Outputs) {
		return int(twin.Outputs[k])
	}
	return slices.IndexFunc(twin.Tensors, func(t tflite.Tensor) bool { return t.Name == g.Tensors[tensor].Name })
}

// places gives for each tensor of the twin that operators have the one of m in its
// place.
func (t *Pair) places(m *tflite.Model) map[int32]int32 {
	p := map[int32]int32{}
	for i, x := range t.twin.Subgraphs[0].Operators {
		y := &m.Subgraphs[0].Operators[i]
		is := slices.Concat(y.Inputs, y.Outputs)
		for j, was := range slices.Concat(x.Inputs, x.Outputs) {
			p[was] = is[j]
		}
	}
	return p
}
