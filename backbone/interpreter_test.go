package backbone

import (
	"bytes"
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/reference"
	"go.uber.org/goleak"
)

// graph builds small models in which every tensor is uint8 with scale 1.
type graph struct {
	m tflite.Model
}

func newGraph() *graph {
	return &graph{tflite.Model{Version: 3, Buffers: []tflite.Buffer{nil}, Subgraphs: []tflite.Subgraph{{}}}}
}

func (g *graph) tensor(data []byte, shape ...int32) int32 {
	s := &g.m.Subgraphs[0]
	t := tflite.Tensor{Shape: shape, Type: tflite.TypeUint8,
		Quantization: &tflite.Quantization{Scale: []float32{1}, ZeroPoint: []int64{0}}}
	if data != nil {
		g.m.Buffers = append(g.m.Buffers, data)
		t.Buffer = uint32(len(g.m.Buffers) - 1)
	}
	s.Tensors = append(s.Tensors, t)
	return int32(len(s.Tensors) - 1)
}

func (g *graph) operator(code tflite.BuiltinOperator, o tflite.Options, out int32, in ...int32) {
	s := &g.m.Subgraphs[0]
	g.m.OperatorCodes = append(g.m.OperatorCodes, tflite.OperatorCode{Builtin: code})
	s.Operators = append(s.Operators, tflite.Operator{Opcode: uint32(len(g.m.OperatorCodes) - 1), Inputs: in, Outputs: []int32{out}, Options: o})
}

func (g *graph) ends(in, out int32) *tflite.Model {
	g.m.Subgraphs[0].Inputs, g.m.Subgraphs[0].Outputs = []int32{in}, []int32{out}
	return &g.m
}

// chain returns a model that computes 2(x+1)+1 in three steps. Tensors 0 to 3 are its
// input and the results of the steps; the constants follow.
func chain() *tflite.Model {
	g := newGraph()
	for range 4 {
		g.tensor(nil, 1, 8)
	}
	one, two := g.tensor([]byte{1}, 1), g.tensor([]byte{2}, 1)
	g.operator(tflite.OpAdd, tflite.Options{}, 1, 0, one)
	g.operator(tflite.OpMul, tflite.Options{}, 2, 1, two)
	g.operator(tflite.OpAdd, tflite.Options{}, 3, 2, one)
	return g.ends(0, 3)
}

// tower returns a model of six operators. Their kernels check many conditions, which
// fuzzing should reach.
func tower() *tflite.Model {
	g := newGraph()
	ints := func(shape []int32, values ...byte) int32 {
		data := make([]byte, 4*len(values))
		for i, v := range values {
			data[4*i] = v
		}
		t := g.tensor(data, shape...)
		g.m.Subgraphs[0].Tensors[t].Type = tflite.TypeInt32
		return t
	}
	in := g.tensor(nil, 1, 4, 4, 3)
	padded, deep := g.tensor(nil, 1, 6, 6, 3), g.tensor(nil, 1, 4, 4, 3)
	both, flat := g.tensor(nil, 1, 4, 4, 6), g.tensor(nil, 1, 6)
	dense, out := g.tensor(nil, 1, 4), g.tensor(nil, 1, 4)
	g.operator(tflite.OpPad, tflite.Options{}, padded, in, ints([]int32{4, 2}, 0, 0, 1, 1, 1, 1, 0, 0))
	g.operator(tflite.OpDepthwiseConv2D, tflite.DepthwiseConv2DOptions{Padding: tflite.PaddingValid, StrideW: 1, StrideH: 1, DepthMultiplier: 1, DilationW: 1, DilationH: 1}.Options(),
		deep, padded, g.tensor(make([]byte, 27), 1, 3, 3, 3))
	g.operator(tflite.OpConcatenation, tflite.ConcatenationOptions{Axis: 3}.Options(), both, in, deep)
	g.operator(tflite.OpMean, tflite.Options{}, flat, both, ints([]int32{2}, 1, 2))
	g.operator(tflite.OpFullyConnected, tflite.Options{}, dense, flat, g.tensor(make([]byte, 24), 4, 6))
	g.operator(tflite.OpSoftmax, tflite.SoftmaxOptions{Beta: 1}.Options(), out, dense)
	return g.ends(in, out)
}

func invoke(t *testing.T, in *Interpreter) {
	t.Helper()
	if err := in.Invoke(context.Background()); err != nil {
		t.Fatal(err)
	}
}

func TestInvoke(t *testing.T) {
	in, err := NewInterpreter(chain(), InterpreterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for range 2 {
		copy(in.Input(0), []byte{0, 1, 2, 3, 4, 5, 100, 200})
		invoke(t, in)
		if got, want := in.Output(0), []byte{3, 5, 7, 9, 11, 13, 203, 255}; !bytes.Equal(got, want) {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	if _, err := in.Tensor(1); err == nil {
		t.Error("Tensor returned memory that is reused")
	}
	if _, err := in.Tensor(99); err == nil {
		t.Error("Tensor returned a tensor that does not exist")
	}
	if got := in.Outputs()[0]; got.Index != 3 || len(got.Shape) != 2 || got.Shape[1] != 8 || got.Scale[0] != 1 {
		t.Errorf("Outputs()[0] = %+v", got)
	}
}

func TestTower(t *testing.T) {
	in, err := NewInterpreter(tower(), InterpreterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	invoke(t, in)
	// Four equal logits give ¼ each, which the scale of 1 rounds to 0.
	if got := in.Output(0); !bytes.Equal(got, make([]byte, 4)) {
		t.Errorf("got %v, want zeros", got)
	}
}

func TestChosenOutputs(t *testing.T) {
	m := chain()
	// An unsupported operator only matters if the outputs need it.
	m.OperatorCodes[2].Builtin = tflite.OpCustom
	if _, err := NewInterpreter(m, InterpreterOptions{}); !errors.Is(err, ErrUnsupportedOperator) {
		t.Fatalf("got error %v, want %v", err, ErrUnsupportedOperator)
	}
	in, err := NewInterpreter(m, InterpreterOptions{Outputs: []int32{2, 0, 4}})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	copy(in.Input(0), []byte{7})
	invoke(t, in)
	for i, want := range []byte{16, 7, 1} {
		if got := in.Output(i)[0]; got != want {
			t.Errorf("output %d begins with %d, want %d", i, got, want)
		}
	}
}

func TestKeepAll(t *testing.T) {
	in, err := NewInterpreter(chain(), InterpreterOptions{KeepAll: true})
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	copy(in.Input(0), []byte{7})
	invoke(t, in)
	for i, want := range []byte{7, 8, 16, 17, 1, 2} {
		got, err := in.Tensor(int32(i))
		if err != nil || got[0] != want {
			t.Errorf("tensor %d begins with %v (%v), want %d", i, got, err, want)
		}
	}
}

// TestArena checks that tensors in use at the same time do not overlap.
func TestArena(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		p := &program{steps: make([]step, 20)}
		for range 30 {
			first := r.IntN(20)
			p.allocations = append(p.allocations, allocation{inArena: true, size: 1 + r.IntN(300), first: first, last: first + r.IntN(20-first), kept: r.IntN(8) == 0})
		}
		if err := p.layOutArena(); err != nil {
			t.Fatal(err)
		}
		for i, a := range p.allocations {
			if a.offset%alignment != 0 || a.offset+a.size > p.arenaSize {
				t.Fatalf("%+v is unaligned or outside the arena of %d bytes", a, p.arenaSize)
			}
			for _, b := range p.allocations[:i] {
				if a.first <= b.last && b.first <= a.last && a.offset < b.offset+b.size && b.offset < a.offset+a.size {
					t.Fatalf("%+v and %+v overlap", a, b)
				}
			}
		}
	}
}

// TestArenaIsSmall compares the arena with its lower bound: the largest set of tensors
// in use at one time.
func TestArenaIsSmall(t *testing.T) {
	models, err := filepath.Glob(filepath.Join(reference.Path(t, "models"), "*.tflite"))
	if err != nil || len(models) == 0 {
		t.Fatalf("no models: %v", err)
	}
	for _, path := range models {
		name := filepath.Base(path)
		t.Run(name, func(t *testing.T) {
			in, err := NewInterpreter(sharedModel(t, name), InterpreterOptions{})
			if errors.Is(err, ErrUnsupportedOperator) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			least := 0
			for s := range in.steps {
				alive := 0
				for _, a := range in.allocations {
					if a.inArena && a.first <= s && s <= a.last {
						alive += a.size
					}
				}
				least = max(least, alive)
			}
			if got := in.Memory().Arena; got > least+least/20 {
				t.Errorf("the arena is %d bytes, want at most 5 %% more than %d", got, least)
			}
		})
	}
}

// TestFileIsReleased waits for the garbage collector to free the model file while an
// Interpreter made from it is in use.
func TestFileIsReleased(t *testing.T) {
	collected := make(chan struct{})
	in := func() *Interpreter {
		b, err := chain().Encode()
		if err != nil {
			t.Fatal(err)
		}
		runtime.AddCleanup(&b[0], func(c chan struct{}) { close(c) }, collected)
		m, err := tflite.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		in, err := NewInterpreter(m, InterpreterOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}()
	for tries := 0; ; tries++ {
		runtime.GC()
		select {
		case <-collected:
		case <-time.After(time.Millisecond):
			if tries == 1000 {
				t.Fatal("the file was not freed")
			}
			continue
		}
		break
	}
	invoke(t, in)
	if got := in.Output(0)[7]; got != 3 {
		t.Errorf("got %d after the file was freed, want 3", got)
	}
	if got := in.Memory().Weights; got < 2 { // two constants of one byte
		t.Errorf("the weights take %d bytes, want at least 2", got)
	}
}

// TestClones runs clones concurrently on different inputs.
func TestClones(t *testing.T) {
	defer goleak.VerifyNone(t)
	first, err := NewInterpreter(chain(), InterpreterOptions{Threads: 3})
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	var wg sync.WaitGroup
	for i := range 4 {
		in, err := first.Clone()
		if err != nil {
			t.Fatal(err)
		}
		wg.Go(func() {
			defer in.Close()
			for j := range 50 {
				in.Input(0)[0] = byte(i + j)
				if err := in.Invoke(context.Background()); err != nil {
					t.Error(err)
					return
				}
				if got, want := in.Output(0)[0], byte(2*(i+j+1)+1); got != want {
					t.Errorf("got %d, want %d", got, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestClose(t *testing.T) {
	defer goleak.VerifyNone(t)
	in, err := NewInterpreter(chain(), InterpreterOptions{Threads: 2})
	if err != nil {
		t.Fatal(err)
	}
	invoke(t, in)
	in.Close()
	in.Close()
	if err := in.Invoke(context.Background()); !errors.Is(err, ErrClosed) {
		t.Errorf("got error %v, want %v", err, ErrClosed)
	}
}

func TestInvokeStops(t *testing.T) {
	for threads := 1; threads <= 2; threads++ {
		in, err := NewInterpreter(chain(), InterpreterOptions{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := in.Invoke(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got error %v, want %v", err, context.Canceled)
		}
		invoke(t, in)
	}
}

func TestInvokeDoesNotAllocate(t *testing.T) {
	setMaxProcs(t, 2) // testing.AllocsPerRun would set GOMAXPROCS to 1, which leaves no helper
	m := sharedModel(t, "mobilenet_v1_0.25_128_quant.tflite")
	for threads := 1; threads <= 2; threads++ {
		in, err := NewInterpreter(m, InterpreterOptions{Threads: threads})
		if err != nil {
			t.Fatal(err)
		}
		defer in.Close()
		// The Go runtime sometimes allocates on its own, so it is enough if one of five
		// tries has no allocations.
		least := uint64(math.MaxUint64)
		for range 5 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			for range 10 {
				invoke(t, in)
			}
			runtime.ReadMemStats(&after)
			least = min(least, after.Mallocs-before.Mallocs)
		}
		if least != 0 {
			t.Errorf("got %d allocations in 10 runs with %d threads", least, threads)
		}
	}
}

func TestNewInterpreterErrors(t *testing.T) {
	conv := func(change func(*tflite.Conv2DOptions)) func() *tflite.Model {
		return func() *tflite.Model {
			g := newGraph()
			in, out, w := g.tensor(nil, 1, 4, 4, 2), g.tensor(nil, 1, 4, 4, 3), g.tensor(make([]byte, 6), 3, 1, 1, 2)
			o := tflite.Conv2DOptions{StrideW: 1, StrideH: 1, DilationW: 1, DilationH: 1}
			change(&o)
			g.operator(tflite.OpConv2D, o.Options(), out, in, w)
			return g.ends(in, out)
		}
	}
	edit := func(change func(m *tflite.Model, s *tflite.Subgraph)) func() *tflite.Model {
		return func() *tflite.Model {
			m := chain()
			change(m, &m.Subgraphs[0])
			return m
		}
	}
	for _, test := range []struct {
		name  string
		model func() *tflite.Model
		want  error
		says  string
	}{
		{"stride 0", conv(func(o *tflite.Conv2DOptions) { o.StrideW = 0 }), kernels.ErrInvalid, "operator 0 (CONV_2D)"},
		{"negative dilation", conv(func(o *tflite.Conv2DOptions) { o.DilationH = -1 }), kernels.ErrInvalid, "dilation"},
		{"fused TANH", conv(func(o *tflite.Conv2DOptions) { o.Activation = tflite.ActTanh }), ErrUnsupportedOperator, "activation"},
		{"other output shape", conv(func(o *tflite.Conv2DOptions) { o.StrideW = 2 }), kernels.ErrInvalid, "shape"},
		{"edge tpu", edit(func(m *tflite.Model, s *tflite.Subgraph) {
			m.OperatorCodes[1] = tflite.OperatorCode{Builtin: tflite.OpCustom, CustomCode: "edgetpu-custom-op"}
			s.Tensors[2].Name = "logits"
		}), ErrUnsupportedOperator, `operator 1 (edgetpu-custom-op), output 2 ("logits"): the model is compiled for the Edge TPU`},
		{"unknown operator", edit(func(m *tflite.Model, s *tflite.Subgraph) { m.OperatorCodes[0].Builtin = tflite.OpTranspose }), ErrUnsupportedOperator, "operator 0 (TRANSPOSE)"},
		{"string tensor", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Tensors[1].Type = tflite.TypeString }), ErrUnsupportedOperator, "string"},
		{"no operator code", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Operators[0].Opcode = 9 }), tflite.ErrCorrupt, "code"},
		{"no such tensor", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Operators[0].Inputs[0] = 77 }), tflite.ErrCorrupt, "77"},
		{"no such output", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Outputs[0] = -1 }), tflite.ErrCorrupt, "-1"},
		{"state of an LSTM", edit(func(m *tflite.Model, s *tflite.Subgraph) { // before anything writes it
			s.Tensors = append(s.Tensors, tflite.Tensor{Name: "state", Shape: s.Tensors[1].Shape, Type: s.Tensors[1].Type, IsVariable: true})
			s.Operators[0].Inputs[0] = int32(len(s.Tensors) - 1)
		}), ErrUnsupportedOperator, `("state") is a variable`},
		{"cycle", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Operators[0].Inputs[0] = 3 }), tflite.ErrCorrupt, "no earlier operator computes"},
		{"constant of another size", edit(func(m *tflite.Model, s *tflite.Subgraph) { // Parse checks all constants but these
			m.Buffers = append(m.Buffers, make([]byte, 5))
			s.Tensors[3].IsVariable, s.Tensors[3].Buffer = true, uint32(len(m.Buffers)-1)
			s.Operators = s.Operators[:2]
		}), ErrUnsupportedOperator, "has 5 bytes"},
		{"written twice", edit(func(m *tflite.Model, s *tflite.Subgraph) {
			s.Operators[2].Outputs[0], s.Operators[2].Inputs[0] = 2, 1
			s.Outputs[0] = 2
		}), tflite.ErrCorrupt, "twice"},
		{"nothing computes it", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Operators = nil }), tflite.ErrCorrupt, "no operator"},
		{"no inputs", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Operators[0].Inputs = nil }), kernels.ErrInvalid, "0 inputs"},
		{"zero-size shape", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Tensors[1].Shape = []int32{1, 0} }), kernels.ErrInvalid, "shape"},
		{"huge shape", edit(func(m *tflite.Model, s *tflite.Subgraph) { s.Tensors[1].Shape = []int32{1 << 30, 1 << 30, 1 << 30} }), ErrModelTooLarge, "shape"},
		{"many huge tensors", func() *tflite.Model {
			g := newGraph()
			for range 12 {
				g.tensor(nil, 1<<28)
			}
			for i := range int32(11) {
				g.operator(tflite.OpRelu, tflite.Options{}, i+1, i)
			}
			m := g.ends(0, 11)
			for i := range int32(12) {
				m.Subgraphs[0].Outputs = append(m.Subgraphs[0].Outputs, i)
			}
			return m
		}, ErrModelTooLarge, "bytes"},
		{"a row that takes minutes", func() *tflite.Model {
			g := newGraph()
			in, out := g.tensor(nil, 1, 512, 512, 64), g.tensor(nil, 1, 512, 512, 64)
			g.operator(tflite.OpMaxPool2D, tflite.Pool2DOptions{StrideW: 1, StrideH: 1, FilterWidth: 512, FilterHeight: 512}.Options(), out, in)
			return g.ends(in, out)
		}, ErrUnsupportedOperator, "one of its 512 parts takes 8.6e+09 operations"},
		{"weights shared by many operators", func() *tflite.Model {
			g := newGraph()
			in, w := g.tensor(nil, 1, 1<<22), g.tensor(make([]byte, 1<<22), 1, 1<<22)
			out := int32(0)
			for range 20 {
				out = g.tensor(nil, 1, 1)
				g.operator(tflite.OpFullyConnected, tflite.Options{}, out, in, w)
			}
			m := g.ends(in, out)
			for i := range m.Subgraphs[0].Operators {
				m.Subgraphs[0].Outputs = append(m.Subgraphs[0].Outputs, int32(2+i))
			}
			return m
		}, ErrModelTooLarge, "weights"},
		{"reshape to another number of elements", func() *tflite.Model {
			g := newGraph()
			in, out := g.tensor(nil, 1, 8), g.tensor(nil, 1, 9)
			g.operator(tflite.OpReshape, tflite.Options{}, out, in)
			return g.ends(in, out)
		}, kernels.ErrInvalid, "8 elements"},
		{"reshape to another shape", func() *tflite.Model {
			g := newGraph()
			in, out := g.tensor(nil, 1, 8), g.tensor(nil, 8)
			g.operator(tflite.OpReshape, tflite.ReshapeOptions{NewShape: []int32{2, 5}}.Options(), out, in)
			return g.ends(in, out)
		}, kernels.ErrInvalid, "new shape"},
		{"no subgraph", func() *tflite.Model { return &tflite.Model{} }, tflite.ErrCorrupt, "subgraph"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := NewInterpreter(test.model(), InterpreterOptions{})
			if !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("got error %q, want one that wraps %q and contains %q", err, test.want, test.says)
			}
		})
	}
}

// TestTooLarge prepares models with sizes that overflow 32 bits.
func TestTooLarge(t *testing.T) {
	arena := newGraph()
	in := arena.tensor(nil, 1, 1<<26)
	last := in
	for range 6 {
		// KeepAll keeps all of these tensors in memory at once. On every architecture,
		// 32-bit included, newProgram must either allocate them or return an error.
		out := arena.tensor(nil, 1, 1<<26)
		arena.operator(tflite.OpReshape, tflite.ReshapeOptions{}.Options(), out, last)
		last = out
	}
	wide := newGraph()
	photo, filter := wide.tensor(nil, 1, 64, 1<<12, 64), wide.tensor(make([]byte, 1<<14*64), 1, 1<<14, 1, 64)
	conv := wide.tensor(nil, 1, 64, 1<<12, 1)
	wide.operator(tflite.OpConv2D, tflite.Conv2DOptions{StrideW: 1, StrideH: 1, DilationW: 1, DilationH: 1}.Options(), conv, photo, filter)
	for name, m := range map[string]*tflite.Model{"arena": arena.ends(in, last), "windows": wide.ends(photo, conv)} {
		o := InterpreterOptions{KeepAll: true}
		p, err := newProgram(m, o)
		if err == nil && (p.arenaSize <= 0 || p.arenaSize > MaxArena || p.scratchSize < 0 || p.scratchSize > 1<<29) {
			t.Errorf("%s: got an arena of %d bytes and %d bytes of scratch memory", name, p.arenaSize, p.scratchSize)
		}
		if err != nil && !errors.Is(err, ErrModelTooLarge) && !errors.Is(err, ErrUnsupportedOperator) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Four tensors of 2³⁰ bytes have a total size of 0 in 32-bit arithmetic.
	p := &program{steps: make([]step, 1)}
	for range 4 {
		p.allocations = append(p.allocations, allocation{inArena: true, kept: true, size: 1 << 30})
	}
	if err := p.layOutArena(); !errors.Is(err, ErrModelTooLarge) {
		t.Errorf("got error %v, want ErrModelTooLarge", err)
	}
}

func TestCompiledModel(t *testing.T) {
	_, err := NewInterpreter(sharedModel(t, "mobilenet_v1_0.25_128_quant_edgetpu.tflite"), InterpreterOptions{})
	if !errors.Is(err, ErrCompiled) || !errors.Is(err, ErrUnsupportedOperator) {
		t.Errorf("got error %v, want ErrCompiled", err)
	}
}

// FuzzInterpreter mutates shapes, options and connections of a valid model. Every model
// that can be prepared must run without a panic.
func FuzzInterpreter(f *testing.F) {
	g := newGraph()
	in, w, b := g.tensor(nil, 1, 5, 5, 2), g.tensor(make([]byte, 3*3*3*2), 3, 3, 3, 2), g.tensor(make([]byte, 12), 3)
	g.m.Subgraphs[0].Tensors[b].Type = tflite.TypeInt32
	conv, pooled := g.tensor(nil, 1, 5, 5, 3), g.tensor(nil, 1, 2, 2, 3)
	g.operator(tflite.OpConv2D, tflite.Conv2DOptions{StrideW: 1, StrideH: 1, DilationW: 1, DilationH: 1}.Options(), conv, in, w, b)
	g.operator(tflite.OpMaxPool2D, tflite.Pool2DOptions{Padding: tflite.PaddingValid, StrideW: 2, StrideH: 2, FilterWidth: 2, FilterHeight: 2}.Options(), pooled, conv)
	seed, err := g.ends(in, pooled).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	for _, m := range []*tflite.Model{chain(), tower()} {
		if seed, err = m.Encode(); err != nil {
			f.Fatal(err)
		}
		f.Add(seed)
	}
	f.Add(backbonetest.Operators(0)["all"].File)
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := tflite.Parse(b)
		if err != nil {
			return
		}
		in, err := NewInterpreter(m, InterpreterOptions{})
		if err != nil || in.arenaSize > 1<<20 {
			return
		}
		defer in.Close()
		// Indices and divisors may be invalid.
		if err := in.Invoke(t.Context()); err != nil && !errors.Is(err, kernels.ErrInvalid) {
			t.Fatal(err)
		}
	})
}
