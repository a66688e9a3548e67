package classifier

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// otherCosine is taken for the cosine that photos of other classes reach while only
// one class is taught and it can't be measured. With Coral's imprinting photos and its
// MobileNet v1 1.0 224 extractor it is 0.36…0.53.
const otherCosine = 0.45

// LastLayer reads operator op of the main graph of m, a FULLY_CONNECTED or a
// CONV_2D with a 1×1 filter: one row a class and a bias, in real units, to be
// applied to the raw embedding that the operator reads. labels name the classes.
func LastLayer(m *tflite.Model, op int, labels []string) (*Head, error) {
	g := m.Subgraphs[0]
	if op < 0 || op >= len(g.Operators) || len(g.Operators[op].Inputs) < 2 {
		return nil, fmt.Errorf("the model has no last layer whose classes could be kept: %w", ErrShape)
	}
	in := g.Operators[op].Inputs
	w := g.Tensors[in[1]]
	dim := int(w.Shape[len(w.Shape)-1])
	values, err := constant(m, in[1])
	if err != nil {
		return nil, err
	}
	classes := 0
	if dim > 0 {
		classes = len(values) / dim
	}
	if classes != int(w.Shape[0]) || classes != len(labels) {
		return nil, fmt.Errorf("last layer %q has shape %v for %d labels: %w", w.Name, w.Shape, len(labels), ErrShape)
	}
	bias := make([]float32, classes)
	if len(in) > 2 && in[2] >= 0 {
		if bias, err = constant(m, in[2]); err != nil {
			return nil, err
		}
	}
	h := &Head{Labels: labels, Dim: dim, Weights: values, Bias: bias}
	return h, h.Check()
}

// constant returns the real values of a constant tensor of the main graph.
func constant(m *tflite.Model, index int32) ([]float32, error) {
	t := m.Subgraphs[0].Tensors[index]
	b := m.TensorBytes(0, index)
	size := t.Type.Size()
	if b == nil || size == 0 || len(b)%size != 0 {
		return nil, fmt.Errorf("tensor %q is not a constant that can be read: %w", t.Name, ErrShape)
	}
	v := make([]float32, len(b)/size)
	scale, zero, per := []float32{1}, []int64{0}, len(v)
	if t.Type != tflite.TypeFloat32 {
		if t.Quantization == nil || len(t.Quantization.Scale) == 0 {
			return nil, fmt.Errorf("tensor %q has no quantisation: %w", t.Name, ErrShape)
		}
		scale, zero = t.Quantization.Scale, t.Quantization.ZeroPoint
		if len(scale) > 1 && (t.Quantization.Dimension != 0 || len(v)%len(scale) != 0) {
			return nil, fmt.Errorf("tensor %q is quantised along dimension %d: %w", t.Name, t.Quantization.Dimension, ErrShape)
		}
		per = max(len(v)/len(scale), 1)
	}
	for i := range v {
		var q int64
		switch t.Type {
		case tflite.TypeFloat32:
			v[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
			continue
		case tflite.TypeUint8:
			q = int64(b[i])
		case tflite.TypeInt8:
			q = int64(int8(b[i]))
		case tflite.TypeInt32:
			q = int64(int32(binary.LittleEndian.Uint32(b[4*i:])))
		default:
			return nil, fmt.Errorf("tensor %q is %v: %w", t.Name, t.Type, ErrShape)
		}
		s := min(i/per, len(scale)-1)
		if len(zero) > 0 {
			q -= zero[min(s, len(zero)-1)]
		}
		v[i] = float32(float64(scale[s]) * float64(q))
	}
	return v, nil
}

// An Example is the embedding of one photo: its class, its unit vector, and the
// length it had before, in real units.
type Example struct {
	Label string
	Unit  []float64
	Norm  float64
	// Burst names photos that were taken together, such as in the same second: an
	// estimate of how well a head knows a photo leaves all of them out. "" is none.
	Burst string
}

// Keep returns the mean head with base's classes before its own. base applies to
// raw embeddings; on unit vectors its rows are taken times the mean length of the
// examples.
//
// The two kinds of logits are made comparable by adding to each taught class the
// logits of those base classes that its examples look like, in the shares that base
// itself gives them, and one offset: at the cosine that photos of other classes reach,
// a taught class draws level with base. A photo that base is sure of and that does not
// look like the taught ones so stays with base. Measured with Coral's 1001 classes,
// three classes from four photos taught beside them: of 141 photos of other things 135
// stay with base, and 5 of 6 of the three classes are found; without the look-alikes
// it is 35 and 6.
func (s *Sums) Keep(base *Head, examples []Example) (*Head, error) {
	taught, err := s.Mean()
	if err != nil {
		return nil, err
	}
	if base.Dim != taught.Dim {
		return nil, fmt.Errorf("keep classes on %d values beside classes on %d: %w", base.Dim, taught.Dim, ErrShape)
	}
	var norm float64
	for _, e := range examples {
		norm += e.Norm
	}
	norm /= float64(len(examples))

	kept := &Head{Labels: base.Labels, Dim: base.Dim, Bias: base.Bias}
	for _, w := range base.Weights {
		kept.Weights = append(kept.Weights, float32(float64(w)*norm))
	}
	alike, margin := s.alike(kept, examples)
	offset := inSteps(margin - float64(MeanScale*s.otherCosine(examples)))
	for c, label := range taught.Labels {
		row, bias := taught.Row(c), float64(taught.Bias[c])+offset
		for b, share := range alike[label] {
			if share == 0 {
				continue
			}
			bias += float64(share * float64(kept.Bias[b]))
			for j, w := range kept.Row(b) {
				row[j] += float32(share * float64(w))
			}
		}
		taught.Bias[c] = float32(bias)
	}
	h := &Head{
		Labels:  slices.Concat(kept.Labels, taught.Labels),
		Dim:     base.Dim,
		Weights: slices.Concat(kept.Weights, taught.Weights),
		Bias:    slices.Concat(kept.Bias, taught.Bias),
	}
	return h, h.Check()
}

// alike returns for each taught class the shares that base gives its own classes on
// the class's examples, on average; and by how much, on average over all examples,
// base as a whole is above the logits weighted by those shares.
func (s *Sums) alike(base *Head, examples []Example) (shares map[string][]float64, margin float64) {
	shares = make(map[string][]float64)
	logits, scores := make([]float64, len(base.Labels)), make([]float64, len(base.Labels))
	for _, e := range examples {
		base.Logits(scores, e.Unit)
		Scores(scores)
		if shares[e.Label] == nil {
			shares[e.Label] = make([]float64, len(scores))
		}
		for b, p := range scores {
			shares[e.Label][b] += p
		}
	}
	for label, v := range shares {
		for b := range v {
			v[b] = inSteps(v[b] / float64(s.Count(label)))
		}
	}
	for _, e := range examples {
		base.Logits(logits, e.Unit)
		margin += logSumExp(logits)
		for b, share := range shares[e.Label] {
			margin -= float64(share * logits[b])
		}
	}
	return shares, margin / float64(len(examples))
}

// inSteps rounds to steps of 1/1024: exponentials differ in their last bit between
// processors, and the file must not.
func inSteps(v float64) float64 { return math.Round(v*1024) / 1024 }

// otherCosine is the mean over the examples of the largest cosine with a class that
// is not their own.
func (s *Sums) otherCosine(examples []Example) float64 {
	p := s.prototypes()
	if len(p.labels) < 2 {
		return otherCosine
	}
	var sum float64
	for _, e := range examples {
		own, _ := slices.BinarySearch(p.labels, e.Label)
		p.compare(e, own, p.sums[own])
		p.cos[own] = math.Inf(-1)
		sum += p.cos[Best(p.cos)]
	}
	return sum / float64(len(examples))
}

func logSumExp(v []float64) float64 {
	top := v[Best(v)]
	var sum float64
	for _, x := range v {
		sum += exp(x - top)
	}
	return top + log(sum)
}
