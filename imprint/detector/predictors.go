package detector

import (
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
)

var (
	// ErrPredictors means that a detector's class predictors have a form that cannot be trained.
	ErrPredictors = errors.New("class predictors cannot be trained")
	// ErrSharedPredictors means that the levels of a detector share one class predictor, as in an
	// SSD with an FPN. It wraps ErrPredictors.
	ErrSharedPredictors = fmt.Errorf("%w: the levels share one predictor, as in FPN-lite", ErrPredictors)
)

// maxFeatures is the maximum number of features of a level. Memory grows with its square.
const maxFeatures = 4096

// A level is one feature map of an SSD and the CONV_2D that predicts classes from it.
type level struct {
	conv     int   // index of the operator
	features int32 // tensor [1, height, width, dim]
	places   int   // height · width
	dim      int
	anchors  int // boxes at each place
	row      int // of the first anchor in the scores
	zero     int // zero point of the features
	scale    float64
}

// predictors are the class predictors of a detector.
type predictors struct {
	model   *tflite.Model
	head    *detect.Head
	columns int // classes, after the background if there is one
	levels  []level
	joined  int     // index of the CONCATENATION
	logits  []int32 // tensors between the predictors and LOGISTIC, each with one column per class
	scores  []int32 // tensors after LOGISTIC
	shapes  []int   // indexes of RESHAPEs among them
}

func (p *predictors) kind(op int) tflite.BuiltinOperator {
	return p.model.OperatorCodes[p.model.Subgraphs[0].Operators[op].Opcode].Builtin
}

// findPredictors finds the class predictors from the end: LOGISTIC, CONCATENATION, and for each
// level RESHAPE and CONV_2D.
func findPredictors(m *tflite.Model, head *detect.Head) (*predictors, error) {
	g := &m.Subgraphs[0]
	p := &predictors{model: m, head: head, columns: head.Params.Classes}
	if head.Background {
		p.columns++
	}
	producers := g.Producers()
	logistic := false
	// chain follows operators with one result back to an operator of the wanted kind.
	chain := func(t int32, wanted tflite.BuiltinOperator) (int, error) {
		for range len(g.Operators) {
			if t < 0 || producers[t] < 0 || len(g.Operators[producers[t]].Inputs) == 0 {
				break
			}
			op := producers[t]
			if logistic {
				p.logits = append(p.logits, t)
			} else {
				p.scores = append(p.scores, t)
			}
			switch kind := p.kind(op); kind {
			case wanted:
				return op, nil
			case tflite.OpLogistic:
				logistic = true
			case tflite.OpReshape:
				p.shapes = append(p.shapes, op)
			case tflite.OpDequantize, tflite.OpQuantize:
			default:
				return 0, fmt.Errorf("%w: operator %d is %v, want %v", ErrPredictors, op, kind, wanted)
			}
			t = g.Operators[op].Inputs[0]
		}
		return 0, fmt.Errorf("%w: the scores do not come from a %v", ErrPredictors, wanted)
	}
	var err error
	if p.joined, err = chain(head.Scores, tflite.OpConcatenation); err != nil {
		return nil, err
	}
	if !logistic {
		return nil, fmt.Errorf("%w: the scores do not come from a LOGISTIC", ErrPredictors)
	}
	row := 0
	used := map[uint32]bool{}
	for _, t := range g.Operators[p.joined].Inputs {
		op, err := chain(t, tflite.OpConv2D)
		if err != nil {
			return nil, err
		}
		l, err := p.newLevel(op)
		if err != nil {
			return nil, fmt.Errorf("class predictor %q: %w", g.Tensors[g.Operators[op].Outputs[0]].Name, err)
		}
		buffer := g.Tensors[g.Operators[op].Inputs[1]].Buffer
		if used[buffer] {
			return nil, ErrSharedPredictors
		}
		used[buffer] = true
		l.row, row = row, row+l.places*l.anchors
		p.levels = append(p.levels, l)
	}
	if row != head.Len() {
		return nil, fmt.Errorf("%w: they give %d scores for %d boxes", ErrPredictors, row, head.Len())
	}
	return p, nil
}

// newLevel checks the CONV_2D at an index, which must be 1×1 and quantized.
func (p *predictors) newLevel(op int) (level, error) {
	g := &p.model.Subgraphs[0]
	o := &g.Operators[op]
	if len(o.Inputs) != 3 || slices.Min(o.Inputs) < 0 {
		return level{}, fmt.Errorf("%w: no biases", ErrPredictors)
	}
	in, w, out := &g.Tensors[o.Inputs[0]], &g.Tensors[o.Inputs[1]], &g.Tensors[o.Outputs[0]]
	conv := o.Options.Conv2D()
	switch {
	case len(in.Shape) != 4 || len(w.Shape) != 4 || len(out.Shape) != 4 || in.Shape[0] != 1:
		return level{}, fmt.Errorf("%w: shapes %v, %v and %v", ErrPredictors, in.Shape, w.Shape, out.Shape)
	case w.Shape[1] != 1 || w.Shape[2] != 1 || conv.StrideW != 1 || conv.StrideH != 1 || conv.Activation != tflite.ActNone:
		return level{}, fmt.Errorf("%w: a filter of %d×%d, want 1×1 without stride and activation", ErrPredictors, w.Shape[1], w.Shape[2])
	case !quantized(in) || !quantized(out) || !quantized(w) && len(w.Quantization.Scale) != int(w.Shape[0]):
		return level{}, fmt.Errorf("%w: it is not quantized to 8 bits", ErrPredictors)
	case in.Shape[3] > maxFeatures:
		return level{}, fmt.Errorf("%w: %d features, more than %d", ErrPredictors, in.Shape[3], maxFeatures)
	case int(out.Shape[3])%p.columns != 0 || out.Shape[3] != w.Shape[0] || w.Shape[3] != in.Shape[3]:
		return level{}, fmt.Errorf("%w: %d outputs for %d classes", ErrPredictors, out.Shape[3], p.columns)
	case len(p.model.TensorBytes(0, o.Inputs[1])) != w.NumElements() || len(p.model.TensorBytes(0, o.Inputs[2])) != 4*int(w.Shape[0]):
		return level{}, fmt.Errorf("%w: the weights and biases are not constant", ErrPredictors)
	}
	return level{conv: op, features: o.Inputs[0], places: int(in.Shape[1] * in.Shape[2]), dim: int(in.Shape[3]),
		anchors: int(out.Shape[3]) / p.columns, zero: int(in.Quantization.ZeroPoint[0]), scale: float64(in.Quantization.Scale[0])}, nil
}

// quantized reports whether t has 8-bit codes with one scale.
func quantized(t *tflite.Tensor) bool {
	q := t.Quantization
	return (t.Type == tflite.TypeUint8 || t.Type == tflite.TypeInt8) && q != nil && len(q.Scale) == 1 && len(q.ZeroPoint) == 1
}

// code returns element i of a tensor with 8-bit codes.
func code(t tflite.TensorType, b []byte, i int) int {
	if t == tflite.TypeInt8 {
		return int(int8(b[i]))
	}
	return int(b[i])
}

// A filter has the weights and biases of a level as real values, in the units of feature codes.
type filter struct {
	weights [][]float64 // [anchors · columns][dim]
	bias    []float64
}
