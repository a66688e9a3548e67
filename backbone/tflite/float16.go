package tflite

import (
	"encoding/binary"
	"math"
	"slices"
)

// IsWidening reports whether operator op of the main graph is a DEQUANTIZE of float16.
// Converters put such an operator behind each constant of a model with float16 weights.
func (m *Model) IsWidening(op int) bool {
	g := &m.Subgraphs[0]
	o := &g.Operators[op]
	return int64(o.Opcode) < int64(len(m.OperatorCodes)) && m.OperatorCodes[o.Opcode].Builtin == OpDequantize &&
		len(o.Inputs) == 1 && len(o.Outputs) == 1 && o.Inputs[0] >= 0 && int(o.Inputs[0]) < len(g.Tensors) &&
		g.Tensors[o.Inputs[0]].Type == TypeFloat16
}

// Constant returns the content and type of a constant tensor of the main graph. The
// content is nil if the tensor is not constant. The output of a DEQUANTIZE of a float16
// constant counts as a float32 constant.
func (m *Model) Constant(tensor int32) ([]byte, TensorType) {
	if b := m.TensorBytes(0, tensor); b != nil {
		return b, m.Subgraphs[0].Tensors[tensor].Type
	}
	if half := m.widened(tensor); half != nil {
		return WidenFloat16(half), TypeFloat32
	}
	return nil, 0
}

// IsConstant reports whether a tensor of the main graph is constant, as for Constant.
func (m *Model) IsConstant(tensor int32) bool {
	return m.TensorBytes(0, tensor) != nil || m.widened(tensor) != nil
}

// widened returns the float16 constant that a DEQUANTIZE widens to the given tensor, or
// nil if there is none.
func (m *Model) widened(tensor int32) []byte {
	if len(m.Subgraphs) == 0 || tensor < 0 {
		return nil
	}
	g := &m.Subgraphs[0]
	op := slices.IndexFunc(g.Operators, func(o Operator) bool { return slices.Contains(o.Outputs, tensor) })
	if op < 0 || !m.IsWidening(op) {
		return nil
	}
	return m.TensorBytes(0, g.Operators[op].Inputs[0])
}

// WidenFloat16 converts float16 elements to float32 elements, which represent all their
// values exactly.
func WidenFloat16(half []byte) []byte {
	wide := make([]byte, 0, 2*len(half))
	for ; len(half) >= 2; half = half[2:] {
		wide = binary.LittleEndian.AppendUint32(wide, widenBits(binary.LittleEndian.Uint16(half)))
	}
	return wide
}

// widenBits converts the bits of a float16 number to those of the same float32 number.
func widenBits(h uint16) uint32 {
	sign, exponent, mantissa := uint32(h)<<16&(1<<31), uint32(h)>>10&31, uint32(h)&(1<<10-1)
	switch {
	case exponent == 31: // infinity, NaN
		return sign | 255<<23 | mantissa<<13
	case exponent > 0:
		return sign | (exponent+127-15)<<23 | mantissa<<13
	}
	// The number is zero or subnormal: mantissa·2⁻²⁴.
	return sign | math.Float32bits(float32(mantissa)/(1<<24))
}
