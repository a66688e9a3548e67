package backbone

import (
	"fmt"

	"github.com/imprintkit/imprint/backbone/kernels"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// The inputs of UNIDIRECTIONAL_SEQUENCE_LSTM after the data and the weights and recurrent
// weights of four gates. Four optional normalizations follow.
const (
	lstmWeights    = 1
	lstmRecurrent  = 5
	lstmPeepholes  = 9 // three, optional
	lstmBiases     = 12
	lstmProjection = 16 // weights and bias, optional
	lstmState      = 18
	lstmCell       = 19
	lstmInputs     = 24 // the largest number
	lstmHidden     = 4  // index of an intermediate tensor
)

// prepareLSTM reads the quantization of the inner tensors of b's operator, and removes its
// states, which are variables, from the inputs: every run starts with an empty state.
func (p *program) prepareLSTM(b *kernelBuilder) error {
	op, o := *b.op, b.op.Options.UnidirectionalSequenceLSTM()
	if n := len(op.Inputs); n < lstmCell+1 || n > lstmInputs || len(op.Intermediates) <= lstmHidden {
		return fmt.Errorf("%d inputs and %d intermediates: %w", n, len(op.Intermediates), ErrUnsupportedOperator)
	}
	for i, t := range op.Inputs {
		optional := i >= lstmPeepholes && i < lstmBiases || i == lstmProjection || i == lstmProjection+1 || i > lstmCell
		if optional && t >= 0 {
			return fmt.Errorf("with peepholes, projection or normalization: %w", ErrUnsupportedOperator)
		}
	}
	if op.Inputs[lstmWeights] < 0 {
		return fmt.Errorf("without an input gate: %w", ErrUnsupportedOperator)
	}
	if o.Activation != tflite.ActTanh {
		return fmt.Errorf("activation %v: %w", o.Activation, ErrUnsupportedOperator)
	}
	for _, t := range op.Inputs[lstmWeights:lstmPeepholes] { // addStep checks the sum
		if t >= 0 {
			p.weightSize += int64(len(p.allocations[t].constant))
		}
	}
	state, cell, hidden := op.Inputs[lstmState], op.Inputs[lstmCell], op.Intermediates[lstmHidden]
	if state < 0 || cell < 0 || hidden < 0 {
		return fmt.Errorf("without a state: %w", kernels.ErrInvalid)
	}
	q := p.graph.Tensors[cell].Quantization
	if q == nil || len(q.Scale) != 1 || p.graph.Tensors[cell].Type != tflite.TypeInt16 {
		return fmt.Errorf("cell state is not quantized to int16: %w", ErrUnsupportedOperator)
	}
	b.lstm = &kernels.LSTMParams{TimeMajor: o.TimeMajor, CellClip: o.CellClip, CellScale: q.Scale[0]}
	var err error
	if b.lstm.State, err = KernelTensor(p.graph, state, nil); err != nil {
		return err
	}
	if b.lstm.Hidden, err = KernelTensor(p.graph, hidden, nil); err != nil {
		return err
	}
	b.lstm.Hidden.Shape = nil // files give 0
	op.Inputs = append([]int32{}, op.Inputs[:lstmState]...)
	b.op = &op
	return nil
}

// buildLSTM builds a UNIDIRECTIONAL_SEQUENCE_LSTM.
func (b *kernelBuilder) buildLSTM(in []*kernels.Tensor) (kernels.Kernel, error) {
	gates := func(from int) [4]*kernels.Tensor { return [4]*kernels.Tensor(in[from:]) }
	return kernels.NewLSTM(*b.lstm, in[0], gates(lstmWeights), gates(lstmRecurrent), gates(lstmBiases), b.out)
}
