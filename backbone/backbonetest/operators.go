package backbonetest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// An OperatorTest is a model whose operators are of one kind, with random shapes and
// scales. Every operator reads its own inputs.
type OperatorTest struct {
	File []byte
	// Inputs are contents of the model's inputs, each for one run: the bytes of all
	// input tensors, one after the other.
	Inputs [][]byte
}

const (
	operatorsPerTest = 12
	runsPerTest      = 3
)

// Operators returns tests of operators, keyed by operator and element type, such as
// "TRANSPOSE int8". The test "all" has one operator of each. The seed determines all
// random choices.
func Operators(seed uint64) map[string]OperatorTest {
	tests := make(map[string]OperatorTest)
	all := newOperators(rand.New(rand.NewPCG(seed, 1<<32)))
	for i, k := range slices.Concat(moves, calculations) {
		for _, t := range k.types {
			b := newOperators(rand.New(rand.NewPCG(seed, uint64(i))))
			for range operatorsPerTest {
				k.add(b, t)
			}
			tests[fmt.Sprint(k.name, " ", t)] = b.test()
			k.add(all, t)
		}
	}
	tests["all"] = all.test()
	return tests
}

// An operatorKind adds an operator with random shapes to a model.
type operatorKind struct {
	name  string
	types []tflite.TensorType
	add   func(b *operators, t tflite.TensorType)
}

// operators builds a model of independent operators.
type operators struct {
	m      *tflite.Model
	random *rand.Rand
	fills  []func() []byte // of the inputs
}

func newOperators(random *rand.Rand) *operators {
	m := &tflite.Model{Version: 3, Description: "made by backbonetest", Buffers: []tflite.Buffer{nil}}
	m.Subgraphs = []tflite.Subgraph{{DebugMetadataIndex: -1}}
	return &operators{m: m, random: random}
}

// test returns the model and its inputs.
func (b *operators) test() OperatorTest {
	var test OperatorTest
	for range runsPerTest {
		var in []byte
		for _, fill := range b.fills {
			in = append(in, fill()...)
		}
		test.Inputs = append(test.Inputs, in)
	}
	var err error
	if test.File, err = b.m.Encode(); err != nil {
		panic(err) // a bug in this package
	}
	return test
}

// n returns a random number in lo…hi.
func (b *operators) n(lo, hi int32) int32 { return lo + b.random.Int32N(hi-lo+1) }

// coin returns true half of the time.
func (b *operators) coin() bool { return b.n(0, 1) == 1 }

// shape returns a random shape.
func (b *operators) shape(rank int32) []int32 {
	s := make([]int32, rank)
	for i := range s {
		s[i] = b.n(1, 6)
	}
	return s
}

// quantization returns random parameters for 8-bit types, and otherwise nil.
func (b *operators) quantization(t tflite.TensorType) *tflite.Quantization {
	zero := int64(b.n(0, 255))
	switch t {
	case tflite.TypeInt8:
		zero -= 128
	case tflite.TypeUint8:
	default:
		return nil
	}
	return &tflite.Quantization{Scale: []float32{float32(b.n(1, 1000)) / 4096}, ZeroPoint: []int64{zero}}
}

// tensor adds a tensor with random quantization.
func (b *operators) tensor(t tflite.TensorType, shape ...int32) int32 {
	return b.m.AddTensor(0, tflite.Tensor{Name: fmt.Sprint("t", len(b.m.Subgraphs[0].Tensors)), Shape: shape, Type: t, Quantization: b.quantization(t)})
}

// at returns tensor t.
func (b *operators) at(t int32) *tflite.Tensor { return &b.m.Subgraphs[0].Tensors[t] }

// like adds a tensor with the type and quantization of x.
func (b *operators) like(x int32, shape ...int32) int32 {
	t := b.tensor(b.at(x).Type, shape...)
	b.at(t).Quantization = b.at(x).Quantization
	return t
}

// input adds an input of the model. Integers are at most 100 in magnitude.
func (b *operators) input(t tflite.TensorType, shape ...int32) int32 {
	return b.inputOf(t, func() int64 { return int64(b.n(-100, 100)) }, shape...)
}

// inputOf adds an input of the model whose integers are chosen by next.
func (b *operators) inputOf(t tflite.TensorType, next func() int64, shape ...int32) int32 {
	x := b.tensor(t, shape...)
	g := &b.m.Subgraphs[0]
	g.Inputs = append(g.Inputs, x)
	b.fills = append(b.fills, func() []byte { return b.content(t, b.at(x).NumElements(), next) })
	return x
}

// content returns n random elements.
func (b *operators) content(t tflite.TensorType, n int, next func() int64) []byte {
	var raw []byte
	for range n {
		switch t {
		case tflite.TypeFloat32:
			raw = binary.LittleEndian.AppendUint32(raw, math.Float32bits(float32(b.n(-40000, 40000))/8192))
		case tflite.TypeInt32:
			raw = binary.LittleEndian.AppendUint32(raw, uint32(next()))
		case tflite.TypeInt64:
			raw = binary.LittleEndian.AppendUint64(raw, uint64(next()))
		default:
			raw = append(raw, byte(b.random.Uint32()))
		}
	}
	return raw
}

// constant adds a constant with random content.
func (b *operators) constant(t tflite.TensorType, shape ...int32) int32 {
	x := b.tensor(t, shape...)
	b.at(x).Buffer = b.m.AddBuffer(b.content(t, b.at(x).NumElements(), func() int64 { return int64(b.n(-100, 100)) }))
	return x
}

// ints adds a constant int32 tensor with one axis.
func (b *operators) ints(values ...int32) int32 {
	var raw []byte
	for _, v := range values {
		raw = binary.LittleEndian.AppendUint32(raw, uint32(v))
	}
	x := b.tensor(tflite.TypeInt32, int32(len(values)))
	b.at(x).Buffer = b.m.AddBuffer(raw)
	return x
}

// scalar adds a constant int32 tensor without axes.
func (b *operators) scalar(v int32) int32 {
	x := b.ints(v)
	b.at(x).Shape = []int32{}
	return x
}

// op adds an operator. Its outputs are outputs of the model.
func (b *operators) op(code tflite.BuiltinOperator, o tflite.Options, outputs []int32, inputs ...int32) {
	g := &b.m.Subgraphs[0]
	g.Operators = append(g.Operators, tflite.Operator{Opcode: b.m.OperatorCode(code, "", 1), Inputs: inputs,
		Outputs: outputs, Options: o, DebugMetadataIndex: -1})
	g.Outputs = append(g.Outputs, outputs...)
}
