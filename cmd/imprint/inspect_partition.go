package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/partition"
)

// These describe in JSON which operators run on the Edge TPU. For an uncompiled model, they predict
// what the compiler would do.
type (
	partitionReport struct {
		Compiled bool `json:"compiled"`
		// Mapped is the number of operators on the Edge TPU. For a compiled model, it is 0 unless
		// the uncompiled model is given.
		Mapped int `json:"operators_on_tpu,omitempty"`
		All    int `json:"operators"`
		// Cut is the index of the first operator after the Edge TPU's part, or −1.
		Cut        int `json:"cut"`
		Parameters int `json:"parameter_bytes"` // an estimate for an uncompiled model
		Memory     int `json:"memory_bytes"`    // approximate memory of the chip
		Streamed   int `json:"parameter_bytes_streamed"`
		// CPU lists the operators that run on the CPU.
		CPU    []cpuReport   `json:"on_cpu,omitempty"`
		Layers []placeReport `json:"layers,omitempty"`
	}
	cpuReport struct {
		Operator int    `json:"operator"`
		Name     string `json:"name"`
		Before   bool   `json:"before,omitempty"` // the operator runs before the Edge TPU's part
		Why      string `json:"why,omitempty"`
		Reads    *int   `json:"reads,omitempty"` // the operator on the CPU that this operator depends on, if that keeps it on the CPU
	}
	// placeReport describes where the compiled model contains an operator of the uncompiled model.
	placeReport struct {
		Operator int          `json:"operator"`
		Kind     string       `json:"kind"`
		Name     string       `json:"name"`
		CPU      bool         `json:"on_cpu,omitempty"`
		Shape    []int        `json:"weights,omitempty"` // outputs, y, x, inputs
		Bytes    int          `json:"bytes,omitempty"`
		Offset   int          `json:"offset"`
		Streamed bool         `json:"streamed,omitempty"`
		NoBias   bool         `json:"no_bias,omitempty"`
		Lost     bool         `json:"weights_not_found,omitempty"`
		Stages   int          `json:"places_of_constants,omitempty"`
		Stage    *stageReport `json:"constants,omitempty"`
		// Multipliers has one value per output if the layer is quantized per channel.
		Multipliers []float32 `json:"multipliers,omitempty"`
	}
	stageReport struct {
		Multiplier float32 `json:"multiplier"`
		Low        float32 `json:"low"`
		High       float32 `json:"high"`
		InZero     byte    `json:"input_zero_point"`
		WeightZero byte    `json:"weight_zero_point"`
		Zero       byte    `json:"output_zero_point"`
	}
)

// newPartitionReport reports which operators of m run on the Edge TPU. For an uncompiled model, it
// predicts what the compiler would do. It returns nil for a model with several graphs or an
// unreadable program.
func newPartitionReport(m *tflite.Model) (*partitionReport, error) {
	if len(m.Subgraphs) != 1 {
		return nil, nil
	}
	r := &partitionReport{All: len(m.Subgraphs[0].Operators), Cut: -1, Memory: partition.Memory}
	before := true
	for i := range m.Subgraphs[0].Operators {
		op := &m.Subgraphs[0].Operators[i]
		if name := partition.Name(m, op); name != executable.CustomOperator {
			r.CPU = append(r.CPU, cpuReport{Operator: i, Name: name, Before: before})
			continue
		}
		r.Compiled, before = true, false
		p, err := executable.Parse(op.CustomOptions)
		if err != nil {
			return nil, nil // newGraphReport reports the error
		}
		r.Streamed += len(p.Main.Parameters)
		r.Parameters += len(p.Main.Parameters)
		if p.Caching != nil {
			r.Parameters += len(p.Caching.Parameters)
		}
	}
	if r.Compiled {
		for _, c := range r.CPU {
			if !c.Before && r.Cut < 0 {
				r.Cut = c.Operator
			}
		}
		return r, nil
	}
	p, err := partition.New(m)
	if err != nil {
		return nil, err
	}
	r.CPU = nil
	r.Mapped, r.Cut, r.Parameters, r.Streamed = p.Mapped, p.Cut, p.Parameters, p.Streamed()
	for _, o := range p.Operators {
		if o.Place == partition.TPU {
			continue
		}
		c := cpuReport{Operator: o.Index, Name: o.Name, Before: o.Place == partition.Before, Why: o.Reason}
		if o.DependsOn >= 0 {
			c.Reads = &o.DependsOn
		}
		r.CPU = append(r.CPU, c)
	}
	return r, nil
}

// addUncompiled adds the layers of the compiled model m, with names and shapes from the uncompiled
// model at path.
func (m *modelReport) addUncompiled(path string) error {
	r := m.EdgeTPU
	if err := mustExist(path); err != nil {
		return err
	}
	uncompiled, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("read the uncompiled model: %w", err)
	}
	t, err := compiled.Open(m.content, uncompiled)
	if err != nil {
		return err
	}
	if r == nil {
		return errors.New("the program for the Edge TPU can't be read")
	}
	for _, l := range t.Layers() {
		p := placeReport{Operator: l.Operator, Kind: l.Kind, Name: l.Name, CPU: l.OnCPU, Shape: l.Shape, Bytes: l.Bytes, Offset: l.Offset,
			Streamed: l.Streamed, NoBias: l.NoBias, Lost: l.NotFound, Stages: l.Stages, Multipliers: l.Multipliers}
		if s := l.Stage; s != nil {
			p.Stage = &stageReport{s.Multiplier, s.Low, s.High, s.InZero, s.WeightZero, s.Zero}
		}
		if !l.OnCPU {
			r.Mapped++
		}
		r.Layers = append(r.Layers, p)
	}
	return nil
}
