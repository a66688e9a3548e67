package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/compiled"
	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/partition"
)

// What of a model is on the Edge TPU, as JSON: as a compiler would make it, or has.
type (
	mappingReport struct {
		Compiled bool `json:"compiled"`
		// Mapped is the number of operators on the Edge TPU; of a compiled model only
		// known with its twin, else 0.
		Mapped int `json:"operators_on_tpu,omitempty"`
		All    int `json:"operators"`
		// Cut is the first operator after the Edge TPU's, −1 for none.
		Cut        int `json:"cut"`
		Parameters int `json:"parameter_bytes"`
		Memory     int `json:"memory_bytes"` // about what there is
		Streamed   int `json:"parameter_bytes_streamed"`
		// CPU has the operators that are not on the Edge TPU.
		CPU    []cpuReport   `json:"on_cpu,omitempty"`
		Layers []placeReport `json:"layers,omitempty"`
	}
	cpuReport struct {
		Operator int    `json:"operator"`
		Name     string `json:"name"`
		Before   bool   `json:"before,omitempty"` // it computes what the Edge TPU takes
		Why      string `json:"why,omitempty"`
		Reads    *int   `json:"reads,omitempty"` // an operator on the CPU, when that is why
	}
	// placeReport is an operator of the twin, as read from the compiled model.
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
		// Multipliers of each output, of a layer quantised by channel.
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

// newMappingReport plans an uncompiled model, or reads of a compiled one what is where.
// It is nil for a model of several graphs.
func newMappingReport(m *tflite.Model) (*mappingReport, error) {
	if len(m.Subgraphs) != 1 {
		return nil, nil
	}
	r := &mappingReport{All: len(m.Subgraphs[0].Operators), Cut: -1, Memory: partition.Memory}
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
			return nil, nil // the graph says why
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

// addTwin reads the layers of the compiled model file as those of its twin.
func (r *mappingReport) addTwin(file []byte, twinPath string) error {
	twin, err := os.ReadFile(twinPath)
	if err != nil {
		return fmt.Errorf("read the uncompiled model: %w", err)
	}
	t, err := compiled.Open(file, twin)
	if err != nil {
		return err
	}
	if r == nil {
		return errors.New("its program can't be read")
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

// print writes the report for people.
func (r *mappingReport) print(w io.Writer) {
	share := fmt.Sprintf("%d of its %d operators", r.Mapped, r.All)
	if r.Mapped == r.All {
		share = "all " + fmt.Sprint(r.All) + " operators"
	}
	switch {
	case r.Compiled:
		fmt.Fprintf(w, "Edge TPU: compiled; %d %s on the CPU", len(r.CPU), plural(len(r.CPU), "operator"))
	case r.Mapped == 0:
		fmt.Fprint(w, "Edge TPU: a compiler would put nothing on it")
	default:
		fmt.Fprintf(w, "Edge TPU: a compiler would put %s on it", share)
	}
	if i := slices.IndexFunc(r.CPU, func(c cpuReport) bool { return c.Operator == r.Cut }); i >= 0 {
		fmt.Fprintf(w, ", cut at operator %d, %s", r.Cut, plain(r.CPU[i].Name))
	}
	fmt.Fprintln(w)
	const shown = 12
	for _, c := range r.CPU[:min(shown, len(r.CPU))] {
		why := "it reads operator "
		switch {
		case c.Why != "":
			why = plain(c.Why)
		case c.Reads != nil:
			why += fmt.Sprint(*c.Reads)
		default:
			why = ""
		}
		where := "after"
		if c.Before {
			where = "before"
		}
		fmt.Fprintf(w, "  CPU, %s: %d %s", where, c.Operator, plain(c.Name))
		if why != "" {
			fmt.Fprint(w, ": ", why)
		}
		fmt.Fprintln(w)
	}
	if n := len(r.CPU); n > shown {
		fmt.Fprintf(w, "  CPU: … %d more\n", n-shown)
	}
	if r.Parameters > 0 {
		fmt.Fprintf(w, "  parameters: %d bytes as compilers lay them out, of about %d there are; %d sent for every inference\n", r.Parameters, r.Memory, r.Streamed)
	}
	for _, l := range r.Layers {
		l.print(w)
	}
}

// print writes a layer in a line.
func (l placeReport) print(w io.Writer) {
	fmt.Fprintf(w, "  %3d %s %s", l.Operator, plain(l.Kind), shortName(l.Name))
	if l.CPU {
		fmt.Fprintln(w, ", on the CPU")
		return
	}
	if l.Lost {
		fmt.Fprint(w, ", its weights are not found")
	} else if l.Shape != nil {
		fmt.Fprintf(w, ", %d bytes at %d", l.Bytes, l.Offset)
		if l.Streamed {
			fmt.Fprint(w, " of those streamed")
		}
		if l.NoBias {
			fmt.Fprint(w, ", no biases")
		}
	}
	if s := l.Stage; s != nil {
		if len(l.Multipliers) > 0 {
			fmt.Fprintf(w, ", %d multipliers %g…%g", len(l.Multipliers), slices.Min(l.Multipliers), slices.Max(l.Multipliers))
		} else {
			fmt.Fprintf(w, ", multiplier %g", s.Multiplier)
		}
		fmt.Fprintf(w, ", clamp %g…%g, zero points of input %d, weights %d, output %d, at %d %s",
			s.Low, s.High, s.InZero, s.WeightZero, s.Zero, l.Stages, plural(l.Stages, "place"))
	}
	fmt.Fprintln(w)
}
