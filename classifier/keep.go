package classifier

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// Unseen cosines, used where the examples can't tell: what the photos of other
// classes reach, and the part of the way from there to 1 that a held-out photo of
// the class itself goes. Measured on Coral's imprinting photos with its MobileNet
// v1 1.0 224 extractor: others 0.36…0.53, own 0.64…0.73.
const (
	otherCosine = 0.45
	ownShare    = 0.4
)

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
}

// Keep returns the mean head with base's classes before its own. base applies to
// raw embeddings; on unit vectors its rows are taken times the mean length of the
// examples. The two kinds of logits are made comparable by one bias for all taught
// classes: at the cosine halfway between what other classes' photos and what the
// class's own photos reach, a taught class draws level with all of base together.
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

	h := &Head{Dim: base.Dim}
	h.Labels = append(append(h.Labels, base.Labels...), taught.Labels...)
	for _, w := range base.Weights {
		h.Weights = append(h.Weights, float32(float64(w)*norm))
	}
	h.Weights = append(h.Weights, taught.Weights...)
	h.Bias = append(append(h.Bias, base.Bias...), taught.Bias...)

	kept := &Head{Labels: base.Labels, Dim: h.Dim, Weights: h.Weights[:len(base.Weights)], Bias: base.Bias}
	var level float64
	logits := make([]float64, len(base.Labels))
	for _, e := range examples {
		kept.Logits(logits, e.Unit)
		level += logSumExp(logits)
	}
	level /= float64(len(examples))
	// Exponentials differ in their last bit between processors; in steps of 1/1024
	// the file does not.
	offset := float32(math.Round((level-float64(MeanScale*s.halfway(examples)))*1024) / 1024)
	for i := range taught.Labels {
		h.Bias[len(base.Labels)+i] += offset
	}
	return h, h.Check()
}

// halfway is the cosine in the middle between the mean of the examples' largest
// cosines with other classes and the mean of their cosines with the rest of their
// own class.
func (s *Sums) halfway(examples []Example) float64 {
	var own, other float64
	var owns, others int
	p := s.prototypes()
	for _, e := range examples {
		mine := p.cosinesWithout(e)
		best := math.Inf(-1)
		for c, v := range p.cos {
			if c != mine {
				best = max(best, v)
			}
		}
		if len(p.cos) > 1 {
			other += best
			others++
		}
		if s.Count(e.Label) > 1 {
			own += p.cos[mine]
			owns++
		}
	}
	if others > 0 {
		other /= float64(others)
	} else {
		other = otherCosine
	}
	if owns > 0 {
		own /= float64(owns)
	} else {
		own = other + float64(ownShare*(1-other))
	}
	return (own + other) / 2
}

func logSumExp(v []float64) float64 {
	top := v[Best(v)]
	var sum float64
	for _, x := range v {
		sum += math.Exp(x - top)
	}
	return top + math.Log(sum)
}
