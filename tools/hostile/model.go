package hostile

import (
	"bytes"
	"errors"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

// Model changes fields of a valid model and returns its file. If the changed model breaks a rule of the format that every
// reader checks, such as the range of an index, Model restores the rule first. Model returns nil if it can't, or if the
// file would be large.
func Model(file, edits []byte) []byte {
	m, err := tflite.Parse(bytes.Clone(file))
	if err != nil {
		return nil
	}
	var late []edit // edits of the encoded file
	for _, e := range parseEdits(edits) {
		if !e.model(m) {
			late = append(late, e)
		}
	}
	out, err := m.Encode()
	if errors.Is(err, tflite.ErrCorrupt) {
		repair(m)
		out, err = m.Encode()
	}
	if err != nil || len(out) > max(maxSize, 2*len(file)) {
		return nil
	}
	for _, e := range late {
		out = e.words(out)
	}
	return out
}

// model applies e to m. It returns false if e changes the encoded file instead.
func (e edit) model(m *tflite.Model) bool {
	g := &m.Subgraphs[0]
	if e.how%32 == 31 {
		g = pick(m.Subgraphs, e)
	}
	op, t := pick(g.Operators, e), pick(g.Tensors, e)
	switch e.kind % 20 {
	case 0, 1:
		op.Inputs = changed(op.Inputs, e, e.index(len(g.Tensors)))
	case 2:
		op.Outputs = changed(op.Outputs, e, e.index(len(g.Tensors)))
	case 3, 4:
		t.Shape = changed(t.Shape, e, func(old int32) int32 { return int32(e.number(int64(old))) })
	case 5:
		t.Type = tflite.TensorType(e.number(int64(t.Type)) & 31)
	case 6, 7:
		e.quantization(t)
	case 8:
		t.Buffer = uint32(e.index(len(m.Buffers))(int32(t.Buffer)))
	case 9:
		b := pick(m.Buffers, e)
		if *b = e.words(*b); e.how%8 == 7 {
			*b = changed(*b, e, func(old byte) byte { return byte(e.number(int64(old))) })
		}
	case 10, 11:
		op.Options = e.options(op.Options, g)
	case 12:
		g.Operators = changed(g.Operators, e, func(old tflite.Operator) tflite.Operator { return *pick(g.Operators, e) })
	case 13:
		g.Inputs = changed(g.Inputs, e, e.index(len(g.Tensors)))
	case 14:
		g.Outputs = changed(g.Outputs, e, e.index(len(g.Tensors)))
	case 15:
		op.Opcode = uint32(e.index(len(m.OperatorCodes))(int32(op.Opcode)))
	case 16:
		c := pick(m.OperatorCodes, e)
		c.Builtin = tflite.BuiltinOperator(e.number(int64(c.Builtin)) & 255)
	case 17:
		e.rest(m, op, t)
	case 18:
		e.program(m)
	case 19:
		return false
	}
	return true
}

// program changes a number in a program for the Edge TPU, or in the options of another custom operator. It usually leaves
// out the instructions and parameters, which are most of a program and have no structure that is checked.
func (e edit) program(m *tflite.Model) {
	for i := range m.Subgraphs[0].Operators {
		op := &m.Subgraphs[0].Operators[i]
		if len(op.CustomOptions) == 0 {
			continue
		}
		places := tables(op.CustomOptions)
		if len(places) == 0 || e.how%16 == 0 {
			op.CustomOptions = e.words(op.CustomOptions)
			return
		}
		at := places[int(uint32(e.where)<<8|uint32(e.kind))%len(places)] &^ 3
		b := bytes.Clone(op.CustomOptions)
		copy(b[at:], e.words(bytes.Clone(b[at:min(at+4, len(b))])))
		op.CustomOptions = b
		return
	}
}

// tables returns the places of a program's bytes outside of its instructions and parameters.
func tables(options []byte) []int {
	p, err := executable.Parse(options)
	if err != nil {
		return nil
	}
	bulk := make([]bool, len(options))
	mark := func(b []byte) {
		if i := bytes.Index(options, b); len(b) >= 64 && i >= 0 {
			for j := range b {
				bulk[i+j] = true
			}
		}
	}
	for _, e := range p.Executables {
		mark(e.Parameters)
		for _, c := range e.Chunks {
			mark(c.Bytes)
		}
	}
	var places []int
	for i, b := range bulk {
		if !b {
			places = append(places, i)
		}
	}
	return places
}

// index returns a function that returns the index of one of n things, or sometimes an invalid index.
func (e edit) index(n int) func(old int32) int32 {
	return func(old int32) int32 {
		if e.how >= 128 && n > 0 {
			return int32(uint32(e.value) % uint32(n))
		}
		return int32(e.number(int64(old)))
	}
}

// real returns a float32 to replace old with.
func (e edit) real(old float32) float32 {
	special := []float32{0, -1, 1, math.MaxFloat32, math.SmallestNonzeroFloat32, float32(math.Inf(1)), float32(math.NaN()), 1e30, 1e-30, -old, 2 * old, 1e9}
	if i := int(e.how >> 3); i < len(special) {
		return special[i]
	}
	return math.Float32frombits(uint32(e.value))
}

func (e edit) quantization(t *tflite.Tensor) {
	q := tflite.Quantization{}
	if t.Quantization != nil {
		q = *t.Quantization
	}
	t.Quantization = &q
	switch uint32(e.value) % 6 {
	case 0:
		t.Quantization = nil
	case 1, 2:
		q.Scale = changed(q.Scale, e, e.real)
	case 3, 4:
		q.ZeroPoint = changed(q.ZeroPoint, e, e.number)
	case 5:
		q.Dimension = int32(e.number(int64(q.Dimension)))
	}
}

// options changes one field of an operator's options, or replaces them with those of another operator.
func (e edit) options(o tflite.Options, g *tflite.Subgraph) tflite.Options {
	n := int32(e.number(int64(e.value)))
	switch o.Type {
	case tflite.OptionsConv2D:
		v := o.Conv2D()
		*[]*int32{&v.StrideW, &v.StrideH, &v.DilationW, &v.DilationH}[e.how%4] = n
		v.Padding, v.Activation = tflite.Padding(e.value>>8&3), tflite.Activation(e.value>>16&7)
		return v.Options()
	case tflite.OptionsDepthwiseConv2D:
		v := o.DepthwiseConv2D()
		*[]*int32{&v.StrideW, &v.StrideH, &v.DilationW, &v.DilationH, &v.DepthMultiplier}[e.how%5] = n
		v.Padding, v.Activation = tflite.Padding(e.value>>8&3), tflite.Activation(e.value>>16&7)
		return v.Options()
	case tflite.OptionsPool2D:
		v := o.Pool2D()
		*[]*int32{&v.StrideW, &v.StrideH, &v.FilterWidth, &v.FilterHeight}[e.how%4] = n
		v.Padding, v.Activation = tflite.Padding(e.value>>8&3), tflite.Activation(e.value>>16&7)
		return v.Options()
	case tflite.OptionsReshape:
		return tflite.ReshapeOptions{NewShape: changed(o.Reshape().NewShape, e, func(old int32) int32 { return int32(e.number(int64(old))) })}.Options()
	case tflite.OptionsSoftmax:
		return tflite.SoftmaxOptions{Beta: e.real(o.Softmax().Beta)}.Options()
	case tflite.OptionsFullyConnected:
		v := o.FullyConnected()
		v.Activation, v.WeightsFormat, v.KeepNumDims = tflite.Activation(e.value>>16&7), int8(e.value&1), e.value&2 != 0
		v.AsymmetricQuantizeInputs = e.value&4 != 0
		return v.Options()
	case tflite.OptionsConcatenation:
		return tflite.ConcatenationOptions{Axis: n, Activation: tflite.Activation(e.value >> 16 & 7)}.Options()
	case tflite.OptionsPack, tflite.OptionsUnpack:
		return tflite.PackOptions{Count: o.Pack().Count, Axis: n}.Options(o.Type)
	case tflite.OptionsSpaceToDepth, tflite.OptionsDepthToSpace:
		return tflite.BlockOptions{BlockSize: n}.Options(o.Type)
	case tflite.OptionsGather:
		v := o.Gather()
		*[]*int32{&v.Axis, &v.BatchDims}[e.how%2] = n
		return v.Options()
	case tflite.OptionsStridedSlice:
		v := o.StridedSlice()
		*[]*int32{&v.BeginMask, &v.EndMask, &v.EllipsisMask, &v.NewAxisMask, &v.ShrinkAxisMask}[e.how%5] = n
		v.Offset = e.value&1 != 0
		return v.Options()
	case tflite.OptionsResizeBilinear, tflite.OptionsResizeNearestNeighbor:
		return tflite.ResizeOptions{AlignCorners: e.value&1 != 0, HalfPixelCenters: e.value&2 != 0}.Options(o.Type)
	}
	if e.how%2 == 0 {
		return tflite.Options{}
	}
	return pick(g.Operators, edit{where: int(uint32(e.value) % maxList)}).Options
}

// rest changes one of the fields that are seldom used.
func (e edit) rest(m *tflite.Model, op *tflite.Operator, t *tflite.Tensor) {
	switch uint32(e.value) % 11 {
	case 0:
		t.IsVariable = !t.IsVariable
	case 1:
		t.ShapeSignature = changed(t.ShapeSignature, e, func(old int32) int32 { return int32(e.number(int64(old))) })
	case 2:
		t.Name = pick(m.Subgraphs[0].Tensors, edit{where: int(e.how)}).Name
	case 3:
		op.Intermediates = changed(op.Intermediates, e, e.index(len(m.Subgraphs[0].Tensors)))
	case 4:
		m.Metadata = changed(m.Metadata, e, func(old tflite.Metadata) tflite.Metadata {
			old.Buffer = uint32(e.index(len(m.Buffers))(int32(old.Buffer)))
			return old
		})
	case 5, 6:
		if len(m.Metadata) > 0 {
			b := pick(m.Buffers, edit{where: int(pick(m.Metadata, e).Buffer % maxList)})
			*b = e.words(*b)
		}
	case 7, 8:
		m.Tail = e.words(m.Tail)
	case 9:
		m.Subgraphs = changed(m.Subgraphs, edit{e.kind, e.how, e.where, e.value & 3}, func(old tflite.Subgraph) tflite.Subgraph { return old })
		if len(m.Subgraphs) == 0 {
			m.Subgraphs = []tflite.Subgraph{{}}
		}
	case 10:
		pick(m.OperatorCodes, e).CustomCode = "edgetpu-custom-op"
	}
}

// repair makes indices, sizes and quantizations of m valid.
func repair(m *tflite.Model) {
	for i := range m.Metadata {
		m.Metadata[i].Buffer %= uint32(max(1, len(m.Buffers)))
	}
	if len(m.OperatorCodes) == 0 {
		m.OperatorCodes = []tflite.OperatorCode{{Builtin: tflite.OpReshape}}
	}
	for i := range m.Subgraphs {
		g := &m.Subgraphs[i]
		if len(g.Tensors) == 0 {
			g.Tensors = []tflite.Tensor{{}}
		}
		for j := range g.Tensors {
			repairTensor(m, &g.Tensors[j])
		}
		inRange := func(list []int32, least int32) {
			for k, t := range list {
				if t < least || int(t) >= len(g.Tensors) {
					list[k] = int32(uint32(t) % uint32(len(g.Tensors)))
				}
			}
		}
		inRange(g.Inputs, 0)
		inRange(g.Outputs, 0)
		for j := range g.Operators {
			op := &g.Operators[j]
			op.Opcode %= uint32(len(m.OperatorCodes))
			inRange(op.Inputs, -1)
			inRange(op.Outputs, 0)
			inRange(op.Intermediates, -1)
		}
	}
}

// repairTensor makes t valid. It gives a constant whose size has changed a new buffer.
func repairTensor(m *tflite.Model, t *tflite.Tensor) {
	if t.Buffer >= uint32(len(m.Buffers)) {
		t.Buffer = 0
	}
	size := int64(max(t.Type.Size(), 1))
	for i, d := range t.Shape {
		if d < 0 || size*int64(d) > 1<<31-1 {
			t.Shape[i] = 1
		}
		size *= int64(t.Shape[i])
	}
	for i, d := range t.ShapeSignature {
		t.ShapeSignature[i] = max(d, -1)
	}
	if old := m.Buffers; t.Buffer > 0 && len(old[t.Buffer]) > 0 && int64(len(old[t.Buffer])) != size {
		if t.Buffer = 0; size < maxSize {
			b := make([]byte, size)
			for n := copy(b, old[len(old)-1]); 0 < n && n < len(b); n *= 2 {
				copy(b[n:], b[:n])
			}
			t.Buffer = m.AddBuffer(b)
		}
	}
	q := t.Quantization
	if q == nil {
		return
	}
	for i, s := range q.Scale {
		if s-s != 0 { // NaN or infinite
			q.Scale[i] = 1
		}
	}
	if q.Dimension < 0 || int(q.Dimension) >= len(t.Shape) {
		q.Dimension = 0
	}
	want := 1
	if len(t.Shape) > 0 {
		want = min(int(t.Shape[q.Dimension]), maxList)
	}
	if len(q.Scale) > 1 && want < maxList {
		q.Scale = repeated(q.Scale, want)
	} else if len(q.Scale) > 1 {
		q.Scale = q.Scale[:1]
	}
	if len(q.ZeroPoint) > 1 && want < maxList {
		q.ZeroPoint = repeated(q.ZeroPoint, want)
	} else if len(q.ZeroPoint) > 1 {
		q.ZeroPoint = q.ZeroPoint[:1]
	}
}

// repeated returns a list of n elements that repeats list.
func repeated[T any](list []T, n int) []T {
	out := make([]T, n)
	for i := range out {
		out[i] = list[i%len(list)]
	}
	return out
}
