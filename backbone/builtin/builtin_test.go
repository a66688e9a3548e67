package builtin_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/disintegration/imaging"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tools/backbone/mobilenet"
	"github.com/imprintkit/imprint/tools/reference"
)

func parse(t *testing.T) *backbone.Backbone {
	t.Helper()
	b, err := backbone.Parse(builtin.Model(), backbone.Options{Name: builtin.Name})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestChecksum(t *testing.T) {
	sum := sha256.Sum256(builtin.Model())
	if got := hex.EncodeToString(sum[:]); got != builtin.SHA256 {
		t.Errorf("got SHA-256 %s, want %s", got, builtin.SHA256)
	}
	if got := len(builtin.Model()); got > 700<<10 {
		t.Errorf("got %d bytes, want at most 700 KiB", got)
	}
}

func TestModelIsCopied(t *testing.T) {
	b := builtin.Model()
	b[0] ^= 0xff
	if builtin.Model()[0] == b[0] {
		t.Error("changing the result of Model changed its next result")
	}
}

// TestRebuild checks that quantizing the float weights reproduces the model file.
func TestRebuild(t *testing.T) {
	f, err := os.Open("weights.f32")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	w, err := mobilenet.ReadWeights(f)
	if err != nil {
		t.Fatal(err)
	}
	got, err := w.Model()
	if err != nil {
		t.Fatal(err)
	}
	if want := builtin.Model(); !bytes.Equal(got, want) {
		t.Errorf("rebuilt from weights.f32: got %d bytes with SHA-256 %x, want %d with %x; run go generate", len(got), sha256.Sum256(got), len(want), sha256.Sum256(want))
	}
}

func TestEmbedding(t *testing.T) {
	b := parse(t)
	if got := b.Dim(); got != 256 {
		t.Errorf("got an embedding of %d values, want 256", got)
	}
	if b.Width != 128 || b.Height != 128 {
		t.Errorf("got photos of %d×%d, want 128×128", b.Width, b.Height)
	}
	if e := b.Embedding; e.Type != tflite.TypeUint8 || e.Scale[0] != 0.023528477 || e.ZeroPoint[0] != 0 {
		t.Errorf("got embedding %v scale %v zero point %v, want uint8, 0.023528477, 0", e.Type, e.Scale, e.ZeroPoint)
	}
	if b.LastLayer != -1 {
		t.Errorf("got last layer %d, want none", b.LastLayer)
	}
}

// TestPhotosOfOneKindAreCloser checks that the embedding of every photo is closer to all
// photos of its kind than to any of another kind.
func TestPhotosOfOneKindAreCloser(t *testing.T) {
	b := parse(t)
	r := b.NewRunner(1)
	defer r.Close()
	const kinds, each = 3, 3
	var units [kinds * each][]float64
	for i := range units {
		img, err := imaging.Decode(bytes.NewReader(backbonetest.Photo(uint64(i/each), uint64(i))))
		if err != nil {
			t.Fatal(err)
		}
		small := imaging.Resize(img, b.Width, b.Height, imaging.Linear)
		for p := range b.Width * b.Height {
			copy(r.RGB()[3*p:3*p+3], small.Pix[4*p:])
		}
		raw, err := r.Embed(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		v := make([]float64, b.Dim())
		b.Dequantize(v, raw)
		var square float64
		for _, x := range v {
			square += x * x
		}
		if square == 0 {
			t.Fatalf("photo %d: all values of the embedding are 0", i)
		}
		for j := range v {
			v[j] /= math.Sqrt(square)
		}
		units[i] = v
	}
	cosine := func(a, b []float64) (sum float64) {
		for i := range a {
			sum += a[i] * b[i]
		}
		return sum
	}
	for i := range units {
		same, other := 1.0, -1.0
		for j := range units {
			if c := cosine(units[i], units[j]); i/each == j/each {
				same = min(same, c)
			} else {
				other = max(other, c)
			}
		}
		if same <= other {
			t.Errorf("photo %d: cosine %.4f with one of its kind, but %.4f with another", i, same, other)
		}
	}
}

// TestSameNetworkAsCorals compares the operators, options and shapes, and the scales that
// do not depend on weights, with those of Coral's model.
func TestSameNetworkAsCorals(t *testing.T) {
	coral, err := tflite.Parse(reference.Read(t, "models", "mobilenet_v1_0.25_128_quant.tflite"))
	if err != nil {
		t.Fatal(err)
	}
	got, want := describe(parse(t).Model()), describe(coral)
	if len(got) != 28 {
		t.Fatalf("got %d operators, want 28: 27 convolutions and a pool", len(got))
	}
	for i := range got {
		if got[i] != want[i] {
			t.Errorf("operator %d: got\n%s\nwant\n%s", i, got[i], want[i])
		}
	}
}

// describe returns one line per operator, with the properties that both models must
// share.
func describe(m *tflite.Model) []string {
	g := m.Subgraphs[0]
	var lines []string
	for _, op := range g.Operators {
		code := m.OperatorCodes[op.Opcode]
		l := fmt.Sprintf("%v version %d %+v %+v %+v:", code.Builtin, code.Version, op.Options.Conv2D(), op.Options.DepthwiseConv2D(), op.Options.Pool2D())
		for i, at := range append(op.Inputs[:len(op.Inputs):len(op.Inputs)], op.Outputs...) {
			t := g.Tensors[at]
			l += fmt.Sprintf(" %v %v", t.Type, t.Shape)
			if q := t.Quantization; q != nil {
				l += fmt.Sprintf(" %d scales", len(q.Scale))
				if i == 0 || i == len(op.Inputs) {
					l += fmt.Sprintf(" %v zero %v", q.Scale, q.ZeroPoint)
				}
			}
		}
		lines = append(lines, l)
	}
	return lines
}
