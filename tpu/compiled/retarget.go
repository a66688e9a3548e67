package compiled

import (
	"bytes"
	"cmp"
	"fmt"
	"reflect"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Retarget returns the compiled model with the weights and quantization of model, an uncompiled
// model of the same architecture. The result has the parameters and instructions that the compiler
// would have made from model.
//
// If both are classifiers, model may have fewer classes. Then the last outputs of the result belong
// to no class: their logits have code 0, the lowest. The result has the metadata and labels of
// model.
//
// An error names the layer that can't be written. The shape of a layer can't change. Its
// quantization can't change if the constants derived from it were not found. If the compiler left
// out a layer's biases because they are all 0, the layer can't get biases. Errors wrap ErrCompiled,
// ErrUncompiled or an error of package tflite.
func (p *Pair) Retarget(model []byte) ([]byte, error) {
	m, err := tflite.Parse(model)
	if err != nil {
		return nil, fmt.Errorf("read the new model: %w", err)
	}
	if len(m.Subgraphs) != 1 {
		return nil, fmt.Errorf("read the new model: it has %d subgraphs, want 1: %w", len(m.Subgraphs), ErrUncompiled)
	}
	if isCompiled(m) {
		return nil, fmt.Errorf("read the new model: %w: it is already compiled for the Edge TPU", ErrUncompiled)
	}
	if n := len(m.Subgraphs[0].Operators); n != len(p.layers) {
		return nil, fmt.Errorf("%w: it has %d layers, but the new model has %d", ErrCompiled, len(p.layers), n)
	}
	if at := p.last(); at >= 0 && p.layers[at].found == 0 && p.isClassifier(at) == nil {
		return nil, fmt.Errorf("%w: the compiled model does not contain the weights of its last layer %q, so it was made from another model, or in a layout that is not known", ErrUncompiled, p.layers[at].name)
	}
	if err := p.addClasses(m); err != nil {
		return nil, err
	}
	if err := p.checkOutputs(m); err != nil {
		return nil, err
	}
	changes, err := p.changes(m, len(p.layers))
	if err != nil {
		return nil, err
	}
	file, program, err := p.write(changes)
	if err != nil {
		return nil, err
	}
	return p.requantizeEnds(file, program, m)
}

// checkOutputs returns an error unless m has the inputs and outputs of the uncompiled model, in the
// same order.
func (p *Pair) checkOutputs(m *tflite.Model) error {
	old, g, sources := &p.uncompiled.Subgraphs[0], &m.Subgraphs[0], sourcesOf(m)
	if len(g.Inputs) != len(old.Inputs) {
		return fmt.Errorf("%w: it has %d inputs, but the new model has %d", ErrCompiled, len(old.Inputs), len(g.Inputs))
	}
	if !slices.EqualFunc(old.Outputs, g.Outputs, func(s, t int32) bool { return p.sources[s] == sources[t] }) {
		return fmt.Errorf("%w: the new model outputs the results of other operators, or in another order", ErrCompiled)
	}
	return nil
}

// changes returns the edits that replace the first n layers with layers of m. If m has fewer
// layers, changes skips RESHAPEs at the end of the n layers, because they only change the shape of
// the embedding.
func (p *Pair) changes(m *tflite.Model, n int) ([]change, error) {
	layers, err := readLayers(m)
	if err != nil {
		return nil, fmt.Errorf("read the new model: %w", err)
	}
	for n > len(layers) && p.layers[n-1].kind == tflite.OpReshape {
		n--
	}
	if n > len(layers) {
		return nil, fmt.Errorf("%w: it has %d layers before the last, but the new model has %d", ErrCompiled, n, len(layers))
	}
	var changes []change
	var reshape error // what refuses a RESHAPE, unless a later layer is refused
	sources := sourcesOf(m)
	for i := range n {
		was, l := &p.layers[i], &layers[i]
		if why := p.mismatch(m, sources, i, l); why != "" {
			return nil, fmt.Errorf("layer %q, %v: %w: %s", was.name, was.kind, ErrCompiled, why)
		}
		switch {
		case p.onCPU(i):
		case l.stage != nil && was.stage != nil:
			changes = append(changes, change{placed: was, filter: l.filter, stage: *l.stage})
		case l.sum != nil && was.sumAt != nil:
			changes = append(changes, change{placed: was, sum: l.sum})
		case l.softmax != nil && was.softmaxAt != nil:
			changes = append(changes, change{placed: was, softmax: l.softmax})
		case l.onlySign() && was.onlySign():
		case l.keepsCodes() && was.keepsCodes() && p.readBySoftmax(i):
		case !slices.Equal(l.around, was.around):
			err := fmt.Errorf("layer %q, %v: %w: the new model quantizes its inputs or outputs differently, and the constants derived from their quantization were not found", was.name, was.kind, ErrCompiled)
			if !was.keepsCodes() || !l.keepsCodes() {
				return nil, err
			}
			reshape = cmp.Or(reshape, err)
		}
	}
	return changes, reshape
}

// onlySign reports whether the layer is a QUANTIZE from uint8 to int8 or back that only changes the
// sign bit. The chip has no constants for it.
func (l *layer) onlySign() bool {
	return l.kind == tflite.OpQuantize && len(l.around) == 2 && l.around[0] == l.around[1]
}

// readBySoftmax reports whether the next layer is a SOFTMAX of layer i's output whose constants were
// found. Then they include those of layer i, if any: the instructions of Coral's MobileNet v1 0.25
// and 0.5 are equal from the RESHAPE on, except for addresses, if both have the same SOFTMAX.
func (p *Pair) readBySoftmax(i int) bool {
	ops := p.uncompiled.Subgraphs[0].Operators
	return i+1 < len(p.layers) && p.layers[i+1].softmaxAt != nil && ops[i+1].Inputs[0] == ops[i].Outputs[0]
}

// keepsCodes reports whether the layer passes on the codes and the quantization of its
// input. Then another layer, which computes with those codes, has the constants derived
// from them. Whether the compiled layer has constants too is not known, so they can't
// change, but the error should name the other layer.
func (l *layer) keepsCodes() bool {
	switch l.kind {
	case tflite.OpReshape, tflite.OpSqueeze:
		return len(l.around) == 2 && l.around[0] == l.around[1]
	}
	return false
}

// mismatch describes how l, layer i of m, differs from layer i of the uncompiled model,
// apart from weights and quantization. If it does not differ, mismatch returns "". sources are the
// sources of m.
func (p *Pair) mismatch(m *tflite.Model, sources []source, i int, l *layer) string {
	was := &p.layers[i]
	old, op := &p.uncompiled.Subgraphs[0].Operators[i], &m.Subgraphs[0].Operators[i]
	switch {
	case l.kind != was.kind:
		return fmt.Sprintf("it is %v in the new model", l.kind)
	case was.filter != nil && !sameShape(was.filter, l.filter):
		return fmt.Sprintf("its shape is %s, but %s in the new model", shape(was.filter), shape(l.filter))
	case !p.sameTensors(m, sources, i) || len(l.around) != len(was.around):
		return "its inputs or outputs have other types, shapes or sources in the new model"
	case !reflect.DeepEqual(p.fixedOptions(p.uncompiled, i), p.fixedOptions(m, i)):
		return "it has other options in the new model"
	case was.filter == nil && !p.onCPU(i):
		for j, t := range old.Inputs {
			if t >= 0 && !sameConstant(p.uncompiled, m, t, op.Inputs[j]) {
				return fmt.Sprintf("the constant %q differs in the new model, and its place in the compiled model is not known", p.uncompiled.Subgraphs[0].Tensors[t].Name)
			}
		}
	}
	return ""
}

// sameConstant reports whether tensors s of a and t of b have the same bytes and, if they are
// constant, the same quantization.
func sameConstant(a, b *tflite.Model, s, t int32) bool {
	x, y := a.TensorBytes(0, s), b.TensorBytes(0, t)
	before, after := &a.Subgraphs[0].Tensors[s], &b.Subgraphs[0].Tensors[t]
	return bytes.Equal(x, y) && (x == nil || !requantize(new(tflite.Tensor), before, after))
}

// fixedOptions returns the options of operator i of m that can't change. It leaves out shapes,
// which are part of tensors, and on the Edge TPU the activations, which are part of a stage. It
// also leaves out the strides of a pool with one output per channel, since they have no effect.
func (p *Pair) fixedOptions(m *tflite.Model, i int) any {
	kind, op := p.layers[i].kind, &m.Subgraphs[0].Operators[i]
	o := op.Options
	switch {
	case kind == tflite.OpReshape, kind == tflite.OpSqueeze:
		return nil
	case p.onCPU(i):
		return o
	}
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
		if out := m.Subgraphs[0].Tensors[op.Outputs[0]].Shape; len(out) == 4 && out[1] == 1 && out[2] == 1 {
			v.StrideH, v.StrideW = 1, 1
		}
		return v
	case tflite.OpConcatenation:
		return o.Concatenation().Axis
	case tflite.OpSoftmax:
		return o.Softmax()
	}
	return o
}

// A source is the operator that writes a tensor, and the index of the tensor among its outputs.
// For an input of the model it is -1 and the index among the inputs, and for a constant -1 and -1.
type source struct{ op, output int }

// sourcesOf returns the source of each tensor of the main graph of m.
func sourcesOf(m *tflite.Model) []source {
	g := &m.Subgraphs[0]
	list := slices.Repeat([]source{{-1, -1}}, len(g.Tensors))
	for k, t := range slices.Backward(g.Inputs) {
		list[t].output = k
	}
	for i, op := range slices.Backward(g.Operators) {
		for k, t := range slices.Backward(op.Outputs) {
			list[t] = source{i, k}
		}
	}
	return list
}

// sameTensors reports whether the inputs and outputs of operator i have the same sources, types and
// shapes in p's uncompiled model and in b. sources are the sources of b.
func (p *Pair) sameTensors(b *tflite.Model, sources []source, i int) bool {
	a := p.uncompiled
	x, y := &a.Subgraphs[0].Operators[i], &b.Subgraphs[0].Operators[i]
	same := func(x, y []int32) bool {
		return slices.EqualFunc(x, y, func(s, t int32) bool {
			if s < 0 || t < 0 {
				return s == t
			}
			u, v := &a.Subgraphs[0].Tensors[s], &b.Subgraphs[0].Tensors[t]
			return p.sources[s] == sources[t] && u.Type == v.Type && slices.Equal(u.Shape, v.Shape)
		})
	}
	return same(x.Inputs, y.Inputs) && same(x.Outputs, y.Outputs)
}

// requantizeEnds copies the quantization of m to the inputs and outputs of a written
// file's program, and to the tensors that the CPU computes. It also copies m's metadata.
func (p *Pair) requantizeEnds(file []byte, program *executable.Package, m *tflite.Model) ([]byte, error) {
	out, err := tflite.Parse(file)
	if err != nil {
		return nil, err
	}
	changed, err := p.rewriteCPUOps(out, m)
	if err != nil {
		return nil, err
	}
	changed = replaceMetadata(out, p.uncompiled, m) || changed
	counterparts := p.counterparts(m)
	op := &out.Subgraphs[0].Operators[p.operator]
	for _, side := range []struct {
		layers  []executable.Layer
		tensors []int32
	}{{program.Main.Inputs, op.Inputs}, {program.Main.Outputs, op.Outputs}} {
		for i := range side.layers {
			if i >= len(side.tensors) {
				break // states of an LSTM, for which the uncompiled model has no outputs
			}
			c, err := p.requantizeEnd(&side.layers[i], out, side.tensors[i], m, counterparts)
			if err != nil {
				return nil, err
			}
			changed = changed || c
		}
	}
	if !changed {
		return file, nil
	}
	// The custom options of out share memory with file, where program was changed.
	return out.Encode()
}

// requantizeEnd copies the quantization of m to one input or output of the program, and to its
// tensor in out. It reports whether anything changed.
func (p *Pair) requantizeEnd(end *executable.Layer, out *tflite.Model, tensor int32, m *tflite.Model, counterparts map[int32]int32) (changed bool, err error) {
	old, from, to := &p.uncompiled.Subgraphs[0], &m.Subgraphs[0], &out.Subgraphs[0].Tensors[tensor]
	was := p.uncompiledTensor(&out.Subgraphs[0], tensor)
	now, used := counterparts[int32(was)]
	if !used || now < 0 || end.Name != to.Name {
		for a, b := range counterparts {
			if a >= 0 && b >= 0 && requantize(new(tflite.Tensor), &old.Tensors[a], &from.Tensors[b]) {
				return false, fmt.Errorf("%w: tensor %q of its Edge TPU operator is not in the uncompiled model", ErrCompiled, to.Name)
			}
		}
		return false, nil
	}
	is := &from.Tensors[now]
	if !requantize(to, &old.Tensors[was], is) {
		return false, nil
	}
	q, err := quantizationOf(is)
	if err != nil {
		return false, err
	}
	return true, end.SetNumerics(q.scale, int(q.zero))
}

// uncompiledTensor returns the index of the uncompiled model's tensor that corresponds to a tensor
// of g, the compiled model's graph. It finds inputs and outputs of the model by position, and other
// tensors by name. It returns -1 if there is none.
func (p *Pair) uncompiledTensor(g *tflite.Subgraph, tensor int32) int {
	old := &p.uncompiled.Subgraphs[0]
	if k := slices.Index(g.Inputs, tensor); k >= 0 && len(g.Inputs) == len(old.Inputs) {
		return int(old.Inputs[k])
	}
	if k := slices.Index(g.Outputs, tensor); k >= 0 && len(g.Outputs) == len(old.Outputs) {
		return int(old.Outputs[k])
	}
	return slices.IndexFunc(old.Tensors, func(t tflite.Tensor) bool { return t.Name == g.Tensors[tensor].Name })
}

// counterparts maps the tensors that the uncompiled model's operators use to the corresponding
// tensors of m.
func (p *Pair) counterparts(m *tflite.Model) map[int32]int32 {
	c := map[int32]int32{}
	for i := range p.uncompiled.Subgraphs[0].Operators {
		is := tensorsOf(&m.Subgraphs[0].Operators[i])
		for j, was := range tensorsOf(&p.uncompiled.Subgraphs[0].Operators[i]) {
			c[was] = is[j]
		}
	}
	return c
}

// replaceMetadata replaces the metadata and associated files of out, such as labels, by those of m.
// It reports whether anything changed. That is not the case if old has the same ones, and out has no
// labels that they lack.
func replaceMetadata(out, old, m *tflite.Model) bool {
	metadata := func(m *tflite.Model) []byte {
		for _, e := range m.Metadata {
			if e.Name == tflite.MetadataName && int64(e.Buffer) < int64(len(m.Buffers)) {
				return m.Buffers[e.Buffer]
			}
		}
		return nil
	}
	b := metadata(m)
	if bytes.Equal(b, metadata(old)) && bytes.Equal(m.Tail, old.Tail) && (b != nil || metadata(out) == nil) {
		return false
	}
	out.Metadata = slices.DeleteFunc(out.Metadata, func(e tflite.Metadata) bool { return e.Name == tflite.MetadataName })
	if b != nil {
		out.Metadata = append(out.Metadata, tflite.Metadata{Name: tflite.MetadataName, Buffer: out.AddBuffer(b)})
	}
	out.Tail = m.Tail
	return true
}
