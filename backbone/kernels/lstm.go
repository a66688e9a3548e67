package kernels

import (
	"fmt"
	"math"
	"slices"
)

// LSTMParams are the options of UNIDIRECTIONAL_SEQUENCE_LSTM on int8 and the quantization
// of its inner tensors.
type LSTMParams struct {
	TimeMajor bool    // the first axis of input and output is the time, and the second the batch
	CellClip  float32 // limit of the cell's magnitude; 0 for none
	CellScale float32 // scale of the 16-bit cell state, a power of two
	// State has the type and quantization of the output state, and Hidden those of the
	// product of the output gate and the cell.
	State, Hidden *Tensor
}

// The gates of an LSTM, in the order of their weights.
const (
	inputGate = iota
	forgetGate
	cellGate
	outputGate
	gates
)

// An lstmProduct is a gate's product of weights and one of the LSTM's inputs.
type lstmProduct struct {
	codes []int8 // [cells][depth]
	bias  []int32
	scale multiplier
}

// lstm implements Kernel for UNIDIRECTIONAL_SEQUENCE_LSTM.
type lstm struct {
	batch, times, depth, cells int
	timeMajor                  bool
	input, recurrent           [gates]lstmProduct
	cellBits                   int   // integer bits of the cell state
	clip                       int32 // limit of the cell state's magnitude; 0 for none
	hidden                     multiplier
	hiddenZero, stateZero      int32
}

// NewLSTM returns a Kernel for UNIDIRECTIONAL_SEQUENCE_LSTM on int8, from (batch, time,
// depth) to (batch, time, cells), in the integer arithmetic of lstm_eval.cc in TensorFlow
// Lite. weights are constants of shape (cells, depth) and
// recurrent of shape (cells, cells), each for the gates input, forget, cell and output.
// biases are nil or int32 constants with one element for each cell. Each run starts with
// an empty state, unlike TensorFlow Lite's, which keeps it until it is reset.
func NewLSTM(p LSTMParams, in *Tensor, weights, recurrent, biases [4]*Tensor, out *Tensor) (Kernel, error) {
	k, err := newLSTM(p, in, weights, recurrent, biases, out)
	return named("unidirectional_sequence_lstm", k, err)
}

func newLSTM(p LSTMParams, in *Tensor, weights, recurrent, biases [4]*Tensor, out *Tensor) (Kernel, error) {
	for _, t := range []*Tensor{in, out, p.State, p.Hidden} {
		if err := t.checkQuantized("operand"); err != nil {
			return nil, err
		}
		if t.Type != Int8 {
			return nil, fmt.Errorf("%w: operand is %v, want int8", ErrUnsupported, t.Type)
		}
	}
	if len(in.Shape) != 3 || len(out.Shape) != 3 || !slices.Equal(in.Shape[:2], out.Shape[:2]) {
		return nil, fmt.Errorf("%w: input has shape %v, output %v", ErrInvalid, in.Shape, out.Shape)
	}
	k := &lstm{batch: in.Shape[0], times: in.Shape[1], depth: in.Shape[2], cells: out.Shape[2], timeMajor: p.TimeMajor,
		hiddenZero: p.Hidden.zero(), stateZero: p.State.zero()}
	if p.TimeMajor {
		k.batch, k.times = k.times, k.batch
	}
	fraction, exponent := math.Frexp(float64(p.CellScale))
	if k.cellBits = exponent - 1 + 15; fraction != 0.5 || k.cellBits < 0 || k.cellBits > 6 {
		return nil, fmt.Errorf("%w: cell state has scale %v", ErrUnsupported, p.CellScale)
	}
	if !(p.CellClip >= 0) {
		return nil, fmt.Errorf("%w: cell is clipped at %v", ErrInvalid, p.CellClip)
	}
	if p.CellClip > 0 {
		k.clip = saturate16(saturate32(math.Trunc(float64(p.CellClip / p.CellScale))))
	}
	for g := range gates {
		var err error
		if k.input[g], err = newLSTMProduct(in, weights[g], biases[g], k.cells, k.depth); err != nil {
			return nil, err
		}
		if k.recurrent[g], err = newLSTMProduct(p.State, recurrent[g], nil, k.cells, k.cells); err != nil {
			return nil, err
		}
	}
	var err error
	k.hidden, err = newMultiplier(float64(float32(math.Ldexp(1, -30) / float64(p.Hidden.scale()))))
	return k, err
}

// newLSTMProduct returns the product of constant weights of shape (cells, depth) and a
// tensor quantized as in.
func newLSTMProduct(in, weights, bias *Tensor, cells, depth int) (lstmProduct, error) {
	p := lstmProduct{bias: make([]int32, cells)}
	if err := weights.checkQuantized("weights"); err != nil {
		return p, err
	}
	if weights.Type != Int8 || weights.Data == nil || weights.zero() != 0 {
		return p, fmt.Errorf("%w: weights are not constant int8 with zero point 0", ErrUnsupported)
	}
	if !slices.Equal(weights.Shape, []int{cells, depth}) {
		return p, fmt.Errorf("%w: weights have shape %v, want %v", ErrInvalid, weights.Shape, []int{cells, depth})
	}
	given, err := biasCodes(bias, cells)
	if err != nil {
		return p, err
	}
	copy(p.bias, given)
	p.codes = slices.Clone(signed(weights.Data))
	for i, w := range p.codes {
		p.bias[i/depth] -= in.zero() * int32(w)
	}
	const gateScale = 1.0 / (1 << 12)
	p.scale, err = newMultiplier(float64(float32(weights.scale()*in.scale()) / gateScale))
	return p, err
}

// add adds the product with x to the gate values v, which saturate.
func (p *lstmProduct) add(v []int16, x []int8) {
	for c := range v {
		sum := p.bias[c]
		for i, w := range p.codes[c*len(x):][:len(x)] {
			sum += int32(w) * int32(x[i])
		}
		v[c] = int16(saturate16(p.scale.apply(sum) + int32(v[c])))
	}
}

// A part is a sequence of the batch.
func (k *lstm) Parts() int { return k.batch }

// Scratch has the cell state and the gates in 16 bits, and the output state.
func (k *lstm) Scratch() int { return k.cells*(2*(gates+1)+1) + 1 }

func (k *lstm) Run(a *Args, lo, hi int) {
	scratch := a.Scratch
	cell, values, state := carve[int16](&scratch, k.cells), carve[int16](&scratch, gates*k.cells), carve[int8](&scratch, k.cells)
	for sequence := lo; sequence < hi; sequence++ {
		clear(cell)
		for i := range state {
			state[i] = int8(k.stateZero)
		}
		for time := range k.times {
			at := sequence*k.times + time
			if k.timeMajor {
				at = time*k.batch + sequence
			}
			k.step(signed(a.In[0])[at*k.depth:][:k.depth], state, cell, values)
			copy(signed(a.Out)[at*k.cells:], state)
		}
	}
}

// step advances the state and the cell by one input. values has room for the gates.
func (k *lstm) step(in, state []int8, cell, values []int16) {
	clear(values)
	var gate [gates][]int16
	for g := range gates {
		gate[g] = values[g*k.cells:][:k.cells]
		k.input[g].add(gate[g], in)
		k.recurrent[g].add(gate[g], state)
	}
	for c := range cell {
		forget, input := logistic16(int32(gate[forgetGate][c])), logistic16(int32(gate[inputGate][c]))
		kept := int16(shiftAway(forget*int32(cell[c]), 15))
		added := int16(shiftAway(input*tanh16(int32(gate[cellGate][c]), 3), uint8(15+k.cellBits)))
		next := saturate16(int32(kept) + int32(added))
		if k.clip > 0 {
			next = clamp(next, -k.clip, k.clip)
		}
		cell[c] = int16(next)
		out := logistic16(int32(gate[outputGate][c])) * tanh16(int32(cell[c]), k.cellBits)
		state[c] = int8(clamp(k.hidden.apply(out)-k.hiddenZero, -128, 127))
	}
}
