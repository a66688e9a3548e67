package backbone

import (
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// Multiplications returns the number of multiplications that the convolutions and dense layers of
// an uncompiled model make for one photo, up to the embedding. It is 0 for a compiled model.
func (b *Backbone) Multiplications() int64 {
	var total int64
	for _, op := range b.model.Subgraphs[0].Operators {
		total += b.multiplications(op)
		if slices.Contains(op.Outputs, b.Embedding.Index) {
			break
		}
	}
	return total
}

func (b *Backbone) multiplications(op tflite.Operator) int64 {
	if len(op.Inputs) < 2 || op.Inputs[1] < 0 || len(op.Outputs) == 0 {
		return 0
	}
	tensors := b.model.Subgraphs[0].Tensors
	weights, out := tensors[op.Inputs[1]], int64(tensors[op.Outputs[0]].NumElements())
	switch b.model.OperatorCodes[op.Opcode].Builtin {
	case tflite.OpConv2D, tflite.OpFullyConnected: // one filter for each output channel
		if len(weights.Shape) > 0 && weights.Shape[0] > 0 {
			return out * int64(weights.NumElements()/int(weights.Shape[0]))
		}
	case tflite.OpDepthwiseConv2D: // its filters see one channel
		if len(weights.Shape) == 4 {
			return out * int64(weights.Shape[1]) * int64(weights.Shape[2])
		}
	}
	return 0
}
