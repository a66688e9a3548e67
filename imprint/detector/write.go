package detector

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/backbone/tflite/flexbuf"
)

// lowestLogit is the lowest logit that the codes of new predictors can express. It is the logit of the
// score 1/1000; code 0 of the scores begins below 1/512.
const lowestLogit = -7

// write returns the model with the classes' filters. highest has the highest logit to expect of each level.
func (p *predictors) write(filters []filter, labels []string, o Options, highest []float64) ([]byte, error) {
	w := writer{p: p, g: &p.model.Subgraphs[0], Options: o, columns: len(labels), factor: 1}
	if p.head.Background {
		w.columns, w.first = w.columns+1, 1
	}
	switch {
	case o.Keep:
		w.first = p.columns
		w.factor = w.fitting(filters, highest)
	case o.SameScales:
		w.factor, w.shift = w.window(slices.Max(highest))
	default:
		w.setScale(slices.Max(highest))
	}
	for i := range p.levels {
		if err := w.level(&p.levels[i], filters[i]); err != nil {
			return nil, err
		}
	}
	if err := w.shapes(); err != nil {
		return nil, err
	}
	if err := w.options(len(labels)); err != nil {
		return nil, err
	}
	// Old weights and shapes are of no use any more.
	if err := p.model.Prune(0, p.model.Subgraphs[0].Outputs); err != nil {
		return nil, err
	}
	if err := p.model.SetLabels(labels); err != nil {
		return nil, err
	}
	b, err := p.model.Encode()
	if err != nil {
		return nil, err
	}
	again, err := detect.Parse(b, detect.Options{Name: "retrained"})
	if err == nil && (again.Head.Params.Classes != len(labels) || again.Head.Len() != p.head.Len()) {
		err = fmt.Errorf("it has %d classes and %d anchors", again.Head.Params.Classes, again.Head.Len())
	}
	if err != nil {
		return nil, fmt.Errorf("read the retrained model: %w", err)
	}
	return b, nil
}

// A writer changes a model.
type writer struct {
	p *predictors
	g *tflite.Subgraph
	Options
	columns int // of the new scores
	first   int // column of the first new class
	// New logits are multiplied by factor, and shift is added.
	factor, shift float64
}

// room is how far logits of other photos may lie above the highest known one.
const room = 0.5

// window returns the factor and the shift that bring the interesting logits, from 3 below the threshold to
// the highest, into the range of the scales that the logits have. Both are neutral if that range suffices.
func (w *writer) window(highest float64) (factor, shift float64) {
	const below, saturated = 3, 7 // a logit of 7 has the highest code of the scores
	low, high := math.Inf(-1), math.Inf(1)
	for _, t := range w.p.logits {
		tensor := &w.g.Tensors[t]
		if !quantized(tensor) {
			continue
		}
		bottom, top := 0, 255
		if tensor.Type == tflite.TypeInt8 {
			bottom, top = -128, 127
		}
		scale, zero := float64(tensor.Quantization.Scale[0]), tensor.Quantization.ZeroPoint[0]
		low, high = max(low, float64(scale*float64(int64(bottom)-zero))), min(high, float64(scale*float64(int64(top)-zero)))
	}
	if highest += room; low <= lowestLogit && high >= highest {
		return 1, 0
	}
	low, high = max(low, lowestLogit), min(high, saturated)
	factor = max(high-low, 0.1) / (highest + below)
	return factor, low + float64(factor*below)
}

// setScale gives the logits a scale with room for the highest.
func (w *writer) setScale(highest float64) {
	scale := float32((max(highest+room, 1) - lowestLogit) / 255)
	zero := int64(math.Round(-lowestLogit / float64(scale)))
	for _, t := range w.p.logits {
		tensor := &w.g.Tensors[t]
		if tensor.Quantization == nil {
			continue
		}
		z := zero
		if tensor.Type == tflite.TypeInt8 {
			z -= 128
		}
		q := *tensor.Quantization
		q.Scale, q.ZeroPoint, q.Min, q.Max = []float32{scale}, []int64{z}, nil, nil
		tensor.Quantization = &q
	}
}

// fitting returns the factor by which to multiply the filters so that weights and logits fit the scales
// that are kept. It brings scores closer to 0.5 and keeps their order.
func (w *writer) fitting(filters []filter, highest []float64) float64 {
	factor := 1.0
	for i := range w.p.levels {
		l := &w.p.levels[i]
		op := &w.g.Operators[l.conv]
		t, out := &w.g.Tensors[op.Inputs[1]], &w.g.Tensors[op.Outputs[0]]
		_, top := codes(out.Type)
		if limit := float64(int64(top)-out.Quantization.ZeroPoint[0]) * float64(out.Quantization.Scale[0]); highest[i] > limit {
			factor = min(factor, limit/highest[i])
		}
		if len(t.Quantization.Scale) > 1 {
			continue
		}
		low, high := codes(t.Type)
		unit, zero := float64(t.Quantization.Scale[0])*l.scale, float64(t.Quantization.ZeroPoint[0])
		for _, row := range filters[i].weights {
			for _, v := range row {
				if v < 0 {
					factor = min(factor, (zero-float64(low))*unit/-v)
				} else if v > 0 {
					factor = min(factor, (float64(high)-zero)*unit/v)
				}
			}
		}
	}
	return factor
}

// codes returns the range of codes of a type of weights.
func codes(t tflite.TensorType) (low, high int) {
	if t == tflite.TypeInt8 {
		return -127, 127
	}
	return 0, 255
}

// level writes the weights and biases of a level.
func (w *writer) level(l *level, f filter) error {
	op := &w.g.Operators[l.conv]
	weights, bias := &w.g.Tensors[op.Inputs[1]], &w.g.Tensors[op.Inputs[2]]
	oldWeights, oldBias := w.p.model.TensorBytes(0, op.Inputs[1]), w.p.model.TensorBytes(0, op.Inputs[2])
	q, qb := *weights.Quantization, tflite.Quantization{}
	if bias.Quantization != nil {
		qb = *bias.Quantization
	}
	perRow := len(q.Scale) > 1
	classes := len(f.weights) / l.anchors
	rows := l.anchors * w.columns
	scales, zero := w.scales(l, f, q)
	newWeights, newBias := make([]byte, 0, rows*l.dim), make([]byte, 0, 4*rows)
	low, high := codes(weights.Type)
	rowScales := make([]float32, rows)
	for r := range rows {
		a, column := r/w.columns, r%w.columns
		old := a*w.p.columns + column
		switch {
		case w.Keep && column < w.first:
			rowScales[r] = q.Scale[min(old, len(q.Scale)-1)]
			newWeights = append(newWeights, oldWeights[old*l.dim:][:l.dim]...)
			newBias = append(newBias, oldBias[4*old:][:4]...)
			continue
		case column < w.first: // the background, which the post-process ignores
			rowScales[r] = scales[0]
			newWeights = append(newWeights, slices.Repeat([]byte{byte(zero)}, l.dim)...)
			newBias = append(newBias, 0, 0, 0, 0)
			continue
		}
		from := a*classes + column - w.first
		rowScales[r] = scales[min(from, len(scales)-1)]
		unit := float64(rowScales[r]) * l.scale
		for _, v := range f.weights[from] {
			code := math.Round(float64(w.factor*v)/unit) + float64(zero)
			newWeights = append(newWeights, byte(int(min(max(code, float64(low)), float64(high)))))
		}
		b := math.Round((float64(w.factor*f.bias[from]) + w.shift) / unit)
		if !(math.Abs(b) < 1<<30) {
			return fmt.Errorf("%w: a bias of %g steps", ErrPredictors, b)
		}
		newBias = binary.LittleEndian.AppendUint32(newBias, uint32(int32(b)))
	}
	if !perRow {
		rowScales = rowScales[:1]
	}
	biasScales, zeros := make([]float32, len(rowScales)), make([]int64, len(rowScales))
	for i, s := range rowScales {
		biasScales[i] = float32(s * float32(l.scale))
	}
	q.Scale, q.ZeroPoint, q.Min, q.Max = rowScales, slices.Repeat([]int64{int64(zero)}, len(rowScales)), nil, nil
	qb.Scale, qb.ZeroPoint, qb.Min, qb.Max = biasScales, zeros, nil, nil
	weights.Quantization, bias.Quantization = &q, &qb
	weights.Shape, bias.Shape = slices.Clone(weights.Shape), slices.Clone(bias.Shape)
	weights.Shape[0], bias.Shape[0] = int32(rows), int32(rows)
	weights.Buffer, bias.Buffer = w.p.model.AddBuffer(newWeights), w.p.model.AddBuffer(newBias)
	return nil
}

// scales returns the scales of the new rows' weights, one for all or one for each, and the zero point.
func (w *writer) scales(l *level, f filter, q tflite.Quantization) (scales []float32, zero int) {
	perRow := len(q.Scale) > 1
	if w.Keep && !perRow {
		return q.Scale, int(q.ZeroPoint[0])
	}
	if w.g.Tensors[w.g.Operators[l.conv].Inputs[1]].Type == tflite.TypeUint8 {
		zero = 128
	}
	largest := make([]float64, len(f.weights))
	for r, row := range f.weights {
		// A level without objects has weights of 0. Its scale leaves room for the bias.
		const steps = 1 << 20
		largest[r] = 127 * max(1e-6, math.Abs(f.bias[r])) / steps
		for _, v := range row {
			largest[r] = max(largest[r], v, -v)
		}
	}
	if !perRow {
		largest = []float64{slices.Max(largest)}
	}
	for _, v := range largest {
		scales = append(scales, float32(v/127/l.scale))
	}
	return scales, zero
}

// shapes gives the tensors from the predictors to the scores the new number of columns.
func (w *writer) shapes() error {
	anchors := make(map[int32]int)
	for _, l := range w.p.levels {
		anchors[w.g.Operators[l.conv].Outputs[0]] = l.anchors
	}
	for _, t := range slices.Concat(w.p.logits, w.p.scores) {
		n := max(anchors[t], 1)
		if err := w.widen(&w.g.Tensors[t], n); err != nil {
			return err
		}
	}
	for _, i := range w.p.shapes {
		op := &w.g.Operators[i]
		if o := op.Options.Reshape(); o.NewShape != nil {
			o.NewShape = slices.Clone(o.NewShape)
			o.NewShape[len(o.NewShape)-1] = int32(w.columns)
			op.Options = o.Options()
		}
		if len(op.Inputs) < 2 {
			continue
		}
		b := slices.Clone(w.p.model.TensorBytes(0, op.Inputs[1]))
		tensor := w.g.Tensors[op.Inputs[1]]
		if tensor.Type != tflite.TypeInt32 || len(b) < 4 || int(int32(binary.LittleEndian.Uint32(b[len(b)-4:]))) != w.p.columns {
			return fmt.Errorf("%w: the shape %q of a RESHAPE does not end in the number of classes", ErrPredictors, tensor.Name)
		}
		binary.LittleEndian.PutUint32(b[len(b)-4:], uint32(w.columns))
		tensor.Buffer = w.p.model.AddBuffer(b)
		op.Inputs = slices.Clone(op.Inputs)
		op.Inputs[1] = w.p.model.AddTensor(0, tensor) // other operators may share the old one
	}
	return nil
}

// widen changes the last dimension of a tensor, which has a number of anchors.
func (w *writer) widen(t *tflite.Tensor, anchors int) error {
	last := len(t.Shape) - 1
	if last < 0 || int(t.Shape[last]) != anchors*w.p.columns {
		return fmt.Errorf("%w: %q has the shape %v, want %d columns at its end", ErrPredictors, t.Name, t.Shape, anchors*w.p.columns)
	}
	t.Shape = slices.Clone(t.Shape)
	t.Shape[last] = int32(anchors * w.columns)
	if len(t.ShapeSignature) == len(t.Shape) && t.ShapeSignature[last] >= 0 {
		t.ShapeSignature = slices.Clone(t.ShapeSignature)
		t.ShapeSignature[last] = t.Shape[last]
	}
	return nil
}

// options changes those of the post-process. Without the old classes, its limit of overlap is lower.
func (w *writer) options(classes int) error {
	op := &w.g.Operators[w.p.head.Operator]
	b, err := flexbuf.Set(op.CustomOptions, "num_classes", float64(classes))
	if err == nil && !w.Keep && !w.SameScales && w.p.head.Params.IoUThreshold > overlapLimit {
		b, err = flexbuf.Set(b, "nms_iou_threshold", overlapLimit)
	}
	if errors.Is(err, flexbuf.ErrType) {
		err = fmt.Errorf("%w: the options of the post-process have no room: %w", ErrPredictors, err)
	}
	op.CustomOptions = b
	return err
}
