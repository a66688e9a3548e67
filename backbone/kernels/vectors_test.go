package kernels

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"testing"
)

// A vector is a recorded run of an operator in TensorFlow Lite. See testdata/README.md.
type vector struct {
	Name    string
	Op      string
	Options struct {
		Padding   Padding
		StrideH   int `json:"stride_h"`
		StrideW   int `json:"stride_w"`
		DilationH int `json:"dilation_h"`
		DilationW int `json:"dilation_w"`
		FilterH   int `json:"filter_h"`
		FilterW   int `json:"filter_w"`
		Act       Activation
		Keep      bool
		Axis      int
		Beta      float32
		Align     bool
		Half      bool
		Alpha     float32
	}
	Inputs []*vectorTensor
	Output *vectorTensor
	Want   string // SHA-256 of the output
	Raw    string // the output, optional
}

type vectorTensor struct {
	Type   string
	Shape  []int
	Scale  []float32
	Zero   []int64
	Axis   int
	Const  bool
	Values []float64 // the content; if nil, it is random
	Seed   uint64
	Lo, Hi float64
	Ends   bool // half of the elements are Lo or Hi
}

func (v *vectorTensor) tensor(t testing.TB) *Tensor {
	types := map[string]Type{"float32": Float32, "int32": Int32, "int64": Int64, "uint8": Uint8, "int8": Int8}
	return &Tensor{Type: types[v.Type], Shape: v.Shape, Scale: v.Scale, ZeroPoint: v.Zero, Axis: v.Axis}
}

// content returns the elements as bytes. Random elements come from the SplitMix64
// generator.
func (v *vectorTensor) content(t *Tensor) []byte {
	b := make([]byte, t.Bytes())
	for i := range t.Elements() {
		z := v.Seed + uint64(i+1)*0x9e3779b97f4a7c15
		z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
		z = (z ^ z>>27) * 0x94d049bb133111eb
		z ^= z >> 31
		if t.Type == Float32 {
			f := float64(z>>40) / (1 << 24)
			if putFloat(b, i, float32(float64(f*(v.Hi-v.Lo))+v.Lo)); v.Values != nil {
				putFloat(b, i, float32(v.Values[i]))
			}
			continue
		}
		lo, hi := int64(v.Lo), int64(v.Hi)
		x := lo + int64((z>>33)%uint64(hi-lo+1))
		if v.Ends && z&1 != 0 {
			x = hi
			if z&2 == 0 {
				x = lo
			}
		}
		if v.Values != nil {
			x = int64(v.Values[i])
		}
		switch t.Type.Size() {
		case 1:
			b[i] = byte(x)
		case 4:
			binary.LittleEndian.PutUint32(b[4*i:], uint32(x))
		case 8:
			binary.LittleEndian.PutUint64(b[8*i:], uint64(x))
		}
	}
	return b
}

func (v *vector) kernel(in []*Tensor, out *Tensor) (Kernel, error) {
	o := &v.Options
	window := Window{StrideH: o.StrideH, StrideW: o.StrideW, DilationH: o.DilationH, DilationW: o.DilationW, Padding: o.Padding}
	at := func(i int) *Tensor {
		if i < len(in) {
			return in[i]
		}
		return nil
	}
	switch v.Op {
	case "CONV_2D":
		return NewConv2D(Conv2DParams{Window: window, Activation: o.Act}, at(0), at(1), at(2), out)
	case "DEPTHWISE_CONV_2D":
		return NewDepthwiseConv2D(DepthwiseConv2DParams{Window: window, Activation: o.Act}, at(0), at(1), at(2), out)
	case "FULLY_CONNECTED":
		return NewFullyConnected(FullyConnectedParams{Activation: o.Act}, at(0), at(1), at(2), out)
	case "AVERAGE_POOL_2D":
		return NewAveragePool2D(Pool2DParams{window, o.FilterH, o.FilterW, o.Act}, at(0), out)
	case "MAX_POOL_2D":
		return NewMaxPool2D(Pool2DParams{window, o.FilterH, o.FilterW, o.Act}, at(0), out)
	case "MEAN":
		return NewMean(o.Keep, at(0), at(1), out)
	case "ADD":
		return NewAdd(o.Act, at(0), at(1), out)
	case "SUB":
		return NewSub(o.Act, at(0), at(1), out)
	case "MUL":
		return NewMul(o.Act, at(0), at(1), out)
	case "RELU":
		return NewReLU(ReLU, at(0), out)
	case "RELU6":
		return NewReLU(ReLU6, at(0), out)
	case "RELU_N1_TO_1":
		return NewReLU(ReLUN1To1, at(0), out)
	case "LOGISTIC":
		return NewLogistic(at(0), out)
	case "HARD_SWISH":
		return NewHardSwish(at(0), out)
	case "QUANTIZE":
		return NewQuantize(at(0), out)
	case "DEQUANTIZE":
		return NewDequantize(at(0), out)
	case "CAST":
		return NewCast(at(0), out)
	case "SOFTMAX":
		return NewSoftmax(o.Beta, at(0), out)
	case "L2_NORMALIZATION":
		return NewL2Normalization(o.Act, at(0), out)
	case "PAD", "PADV2":
		return NewPad(at(0), at(1), at(2), out)
	case "CONCATENATION":
		return NewConcatenation(o.Act, o.Axis, in, out)
	}
	return nil, fmt.Errorf("unknown operator %q", v.Op)
}

// run computes the output in one call, and compares it with that of one call per part.
func (v *vector) run(t *testing.T) (in []*Tensor, out *Tensor, got []byte) {
	t.Helper()
	var args Args
	for _, i := range v.Inputs {
		if i == nil {
			in, args.In = append(in, nil), append(args.In, nil)
			continue
		}
		x := i.tensor(t)
		b := i.content(x)
		if i.Const {
			x.Data = b
		}
		in, args.In = append(in, x), append(args.In, b)
	}
	out = v.Output.tensor(t)
	k, err := v.kernel(in, out)
	if err != nil {
		t.Fatal(err)
	}
	args.Out, args.Scratch = make([]byte, out.Bytes()), make([]byte, k.Scratch())
	k.Run(&args, 0, k.Parts())
	got = args.Out
	args.Out = make([]byte, out.Bytes())
	for p := k.Parts() - 1; p >= 0; p-- {
		for i := range args.Scratch {
			args.Scratch[i] = 0xa5
		}
		k.Run(&args, p, p+1)
	}
	if string(args.Out) != string(got) {
		t.Error("the output depends on how its parts are divided among calls")
	}
	return in, out, got
}

// TestVectors compares operators with recorded outputs of TensorFlow Lite. The
// environment variable IMPRINT_KERNEL_VECTORS may contain a pattern for other files of
// vectors.
func TestVectors(t *testing.T) {
	pattern := filepath.Join("testdata", "*.json")
	if more := os.Getenv("IMPRINT_KERNEL_VECTORS"); more != "" {
		pattern = more
	}
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatal("no vectors match ", pattern, ": ", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var vectors []vector
		if err := json.Unmarshal(b, &vectors); err != nil {
			t.Fatal(file, err)
		}
		eachImplementation(t, func(t *testing.T) {
			for i := range vectors {
				v := &vectors[i]
				t.Run(v.Op+"/"+v.Name, func(t *testing.T) { v.check(t) })
			}
		})
	}
}

func (v *vector) check(t *testing.T) {
	_, out, got := v.run(t)
	if sum := sha256.Sum256(got); hex.EncodeToString(sum[:]) == v.Want {
		return
	}
	want, err := hex.DecodeString(v.Raw)
	if err != nil || len(want) != len(got) {
		t.Fatalf("output of %d bytes differs from the recorded one", len(got))
	}
	n, first, most := 0, -1, 0.0
	for i := range out.Elements() {
		g, w := value(out, got, i), value(out, want, i)
		if g == w || out.Type == Float32 && math.Abs(g-w) <= 3e-5*math.Max(1, math.Abs(w)) {
			continue // TensorFlow Lite differs as much between processors
		}
		if n == 0 {
			first = i
		}
		n++
		most = math.Max(most, math.Abs(g-w))
	}
	if n > 0 {
		t.Errorf("%d of %d elements differ, by up to %v; element %d is %v, want %v", n, out.Elements(), most, first, value(out, got, first), value(out, want, first))
	}
}

func value(t *Tensor, b []byte, i int) float64 {
	switch t.Type {
	case Float32:
		return float64(floatAt(b, i))
	case Int32:
		return float64(int32s(b)[i])
	}
	return float64(code(t.Type, int(b[i])))
}
