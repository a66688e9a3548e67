package mobilenet

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// someWeights returns random weights and biases, as many as a file of weights contains.
func someWeights() []float32 {
	r := rand.New(rand.NewPCG(1, 1))
	n := 0
	for _, l := range layers() {
		n += l.weights() + l.Out
	}
	f := make([]float32, n)
	for i := range f {
		f[i] = r.Float32() - 0.4
	}
	return f
}

func encode(f []float32) []byte {
	var b bytes.Buffer
	if err := binary.Write(&b, binary.LittleEndian, f); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestReadWeightsRefuses(t *testing.T) {
	good := encode(someWeights())
	bad := bytes.Clone(good)
	binary.LittleEndian.PutUint32(bad[400:], math.Float32bits(float32(math.NaN())))
	tests := []struct {
		name string
		file []byte
	}{
		{"empty", nil},
		{"truncated", good[:len(good)-1]},
		{"too long", append(bytes.Clone(good), 0)},
		{"not a number", bad},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := ReadWeights(bytes.NewReader(tt.file)); !errors.Is(err, ErrWeights) {
				t.Errorf("got error %v, want ErrWeights", err)
			}
		})
	}
}

func TestReadWeightsKeepsOrder(t *testing.T) {
	f := someWeights()
	w, err := ReadWeights(bytes.NewReader(encode(f)))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := w[0].Weights[0], f[0]; got != want {
		t.Errorf("first weight: got %v, want %v", got, want)
	}
	if got, want := w[1].Weights[0], f[3*3*3*8]; got != want {
		t.Errorf("first weight of the first depthwise layer: got %v, want %v", got, want)
	}
	last := w[len(w)-1]
	if got, want := last.Bias[Dim-1], f[len(f)-1]; got != want {
		t.Errorf("last bias: got %v, want %v", got, want)
	}
}

func TestModelHasOutputChannelFirst(t *testing.T) {
	w, err := ReadWeights(bytes.NewReader(encode(someWeights())))
	if err != nil {
		t.Fatal(err)
	}
	b, err := w.Model()
	if err != nil {
		t.Fatal(err)
	}
	m, err := tflite.Parse(b)
	if err != nil {
		t.Fatal(err)
	}
	g := m.Subgraphs[0]
	for i := range w {
		in := g.Operators[i].Inputs
		tensor := g.Tensors[in[1]]
		content := m.TensorBytes(0, in[1])
		scale, zero := float64(tensor.Quantization.Scale[0]), float64(tensor.Quantization.ZeroPoint[0])
		rows := len(w[i].Weights) / w[i].Out
		for r := range rows {
			for c := range w[i].Out {
				at := c*rows + r
				if w[i].Depthwise {
					at = r*w[i].Out + c
				}
				got, want := scale*(float64(content[at])-zero), float64(w[i].Weights[r*w[i].Out+c])
				if math.Abs(got-want) > 0.51*scale {
					t.Fatalf("layer %d, row %d, channel %d: got %v, want %v within half a step of %v", i, r, c, got, want, scale)
				}
			}
		}
	}
}

func TestQuantize(t *testing.T) {
	tests := []struct {
		name  string
		w     []float32
		want  []byte
		scale float32
		zero  int64
	}{
		{"both signs", []float32{-1, 0, 1}, []byte{1, 128, 255}, 2.0 / 254, 128},
		{"only positive", []float32{127, 254}, []byte{128, 255}, 1, 1},
		{"only negative", []float32{-254, -1}, []byte{1, 254}, 1, 255},
		{"all zero", []float32{0, 0}, []byte{1, 1}, 1, 1},
		{"ties go to even", []float32{-127, 127, 0.5, 1.5, -0.5}, []byte{1, 255, 128, 130, 128}, 1, 128},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := quantize(tt.w)
			if !bytes.Equal(got.values, tt.want) || got.scale != tt.scale || got.zero != tt.zero {
				t.Errorf("got %v scale %v zero %d, want %v scale %v zero %d", got.values, got.scale, got.zero, tt.want, tt.scale, tt.zero)
			}
		})
	}
}

func TestModelRefusesLargeBias(t *testing.T) {
	f := someWeights()
	f[len(f)-1] = 1e12
	w, err := ReadWeights(bytes.NewReader(encode(f)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Model(); !errors.Is(err, ErrWeights) {
		t.Errorf("got error %v, want ErrWeights", err)
	}
}

func FuzzReadWeights(f *testing.F) {
	good := encode(someWeights())
	f.Add(good)
	f.Add(good[:100])
	f.Fuzz(func(t *testing.T, b []byte) {
		w, err := ReadWeights(bytes.NewReader(b))
		if err != nil {
			if !errors.Is(err, ErrWeights) {
				t.Errorf("got error %v, want ErrWeights", err)
			}
			return
		}
		if len(w) != 27 {
			t.Errorf("got %d layers, want 27", len(w))
		}
		if _, err := w.Model(); err != nil && !errors.Is(err, ErrWeights) {
			t.Errorf("got error %v, want ErrWeights", err)
		}
	})
}

// TestReadWeightsReturnsReadError checks that the reader's own error is wrapped.
func TestReadWeightsReturnsReadError(t *testing.T) {
	broken := errors.New("broken disk")
	r := io.MultiReader(bytes.NewReader(encode(someWeights())[:1000]), failing{broken})
	if _, err := ReadWeights(r); !errors.Is(err, broken) {
		t.Errorf("got error %v, want %v", err, broken)
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }
