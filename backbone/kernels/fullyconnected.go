package kernels

import "fmt"

// FullyConnectedParams are the options of FULLY_CONNECTED.
type FullyConnectedParams struct {
	Activation Activation
	Stage      *Stage // as in Conv2DParams
	// AsymmetricInputs makes an operator with int8 weights quantize its float32 input
	// with a zero point.
	AsymmetricInputs bool
}

// fullyConnected implements Kernel for FULLY_CONNECTED.
type fullyConnected struct {
	product
	channels, depth int
	batch           int // rows
	columns         int // parts into which the channels divide
}

// NewFullyConnected returns a Kernel for FULLY_CONNECTED, which multiplies in, as rows of
// depth elements, by constant weights of shape (channels, depth). bias is a constant
// int32 tensor of channels elements, or nil. The element types are uint8, int8 or
// float32. With float32 input, the bias is float32 and weights are float32 or int8. int8
// weights may have one scale for each channel (Axis 0). TensorFlow Lite has
// supported such scales since version 2.11; version 2.9 treats all of them as 0.
func NewFullyConnected(p FullyConnectedParams, in, weights, bias, out *Tensor) (Kernel, error) {
	k, err := newFullyConnected(p, in, weights, bias, out)
	if err != nil {
		return nil, fmt.Errorf("fully_connected: %w", err)
	}
	return k, nil
}

func newFullyConnected(p FullyConnectedParams, in, weights, bias, out *Tensor) (Kernel, error) {
	if isHybrid(in, weights) {
		return newHybridFullyConnected(p, in, weights, bias, out)
	}
	if in != nil && in.Type == Float32 {
		return newFloatFullyConnected(p, in, weights, bias, out)
	}
	if err := checkWeighted(in, weights, out, 0); err != nil {
		return nil, err
	}
	batch, channels, depth, err := productShape(in, weights, out)
	if err != nil {
		return nil, err
	}
	b, err := biasCodes(bias, channels)
	if err != nil {
		return nil, err
	}
	w, err := newWeights(weights, channels, b, in, out, p.Activation, len(weights.Scale) > 1, p.Stage)
	if err != nil {
		return nil, err
	}
	m, err := newProduct(w)
	if err != nil {
		return nil, err
	}
	return &fullyConnected{product: m, channels: channels, depth: depth, batch: batch, columns: min(8, m.panels())}, nil
}

// productShape returns the dimensions of a matrix product, or an error if the operands do
// not match.
func productShape(in, weights, out *Tensor) (batch, channels, depth int, err error) {
	if len(weights.Shape) != 2 {
		return 0, 0, 0, fmt.Errorf("%w: weights have shape %v, want 2 axes", ErrInvalid, weights.Shape)
	}
	if weights.Data == nil {
		return 0, 0, 0, fmt.Errorf("%w: weights are not constant", ErrUnsupported)
	}
	channels, depth = weights.Shape[0], weights.Shape[1]
	batch = in.Elements() / depth
	if batch*depth != in.Elements() || batch*channels != out.Elements() {
		return 0, 0, 0, fmt.Errorf("%w: input has shape %v, weights %v and output %v", ErrInvalid, in.Shape, weights.Shape, out.Shape)
	}
	return batch, channels, depth, nil
}

func (f *fullyConnected) Parts() int { return (f.batch + maxRows - 1) / maxRows * f.columns }

func (f *fullyConnected) Scratch() int { return f.product.scratch(min(f.batch, maxRows)) }

func (f *fullyConnected) Run(a *Args, lo, hi int) {
	prepared := -1
	var x []byte
	var stride int
	for p := lo; p < hi; p++ {
		block, column := p/f.columns, p%f.columns
		first := block * maxRows
		rows := min(maxRows, f.batch-first)
		if block != prepared {
			prepared = block
			x, stride = f.prepare(a.Scratch, a.In[0][first*f.depth:][:rows*f.depth], f.depth, rows)
		}
		f.multiply(x, stride, rows, a.Out[first*f.channels:], f.channels, column*f.panels()/f.columns, (column+1)*f.panels()/f.columns)
	}
}
