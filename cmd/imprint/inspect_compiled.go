package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/imprintkit/imprint/tpu/executable"
)

// What an operator that is compiled for the Edge TPU holds, as JSON.
type (
	packageReport struct {
		MinRuntime  int                `json:"min_runtime_version"`
		Compiler    string             `json:"compiler_version,omitempty"`
		Model       string             `json:"model_identifier,omitempty"`
		ChipIDs     []int              `json:"chip_ids,omitempty"`
		OnChip      int                `json:"parameter_bytes_on_chip"`
		Streamed    int                `json:"parameter_bytes_streamed"`
		Executables []executableReport `json:"executables"`
		Ignored     []string           `json:"ignored_fields,omitempty"`
	}
	executableReport struct {
		Type          string        `json:"type"`
		Name          string        `json:"name"`
		Chip          string        `json:"chip"`
		Token         string        `json:"parameter_caching_token"`
		Chunks        []int         `json:"instruction_bytes"`
		Parameters    int           `json:"parameter_bytes"`
		Scratch       int           `json:"scratch_bytes"`
		Cycles        int64         `json:"estimated_cycles"`
		NarrowMemory  int           `json:"narrow_memory_bytes_per_tile"`
		Deterministic bool          `json:"fully_deterministic"`
		Inputs        []layerReport `json:"inputs,omitempty"`
		Outputs       []layerReport `json:"outputs,omitempty"`
		Hints         []string      `json:"hints"`
		steps         []string      // the same with short names
		AddressFields int           `json:"address_fields"`
	}
	layerReport struct {
		Name      string  `json:"name"`
		Type      string  `json:"type"`
		Shape     []int32 `json:"shape"` // y, x, z
		Scale     float32 `json:"scale"`
		ZeroPoint int     `json:"zero_point"` // of the device's unsigned bytes
		Bytes     int     `json:"bytes_on_the_wire"`
		Tiles     int     `json:"tiles,omitempty"` // in which the bytes come; 0 if they are the tensor's
	}
)

func newPackageReport(p *executable.Package) *packageReport {
	r := &packageReport{MinRuntime: p.MinRuntimeVersion, Compiler: p.CompilerVersion, Model: p.ModelIdentifier, ChipIDs: p.ChipIDs,
		Streamed: len(p.Main.Parameters), Ignored: p.Ignored}
	if p.Caching != nil {
		r.OnChip = len(p.Caching.Parameters)
	}
	for _, e := range p.Executables {
		er := executableReport{Type: e.Type.String(), Name: e.Name, Chip: e.Chip, Token: fmt.Sprintf("%#x", e.Token), Parameters: len(e.Parameters),
			Scratch: e.ScratchBytes, Cycles: e.EstimatedCycles, NarrowMemory: e.NarrowMemoryPerTile, Deterministic: e.Deterministic,
			Inputs: layerReports(e.Inputs), Outputs: layerReports(e.Outputs), Hints: []string{}}
		for _, c := range e.Chunks {
			er.Chunks = append(er.Chunks, len(c.Bytes))
			er.AddressFields += len(c.Fields)
		}
		for _, h := range e.Hints {
			er.Hints = append(er.Hints, hintText(h, h.Name))
			er.steps = append(er.steps, hintText(h, shortName(h.Name)))
		}
		r.Executables = append(r.Executables, er)
	}
	return r
}

func layerReports(layers []executable.Layer) []layerReport {
	var list []layerReport
	for _, l := range layers {
		r := layerReport{Name: l.Name, Type: l.Type.String(), Shape: []int32{int32(l.Y), int32(l.X), int32(l.Z)},
			Scale: l.Scale, ZeroPoint: l.ZeroPoint, Bytes: l.Size}
		if l.Layout != nil && l.Y*l.X > 1 {
			r.Tiles = len(l.Layout.TileOffset)
		}
		list = append(list, r)
	}
	return list
}

// hintText says in words what is sent or awaited, with that name for the layer.
func hintText(h executable.Hint, name string) string {
	switch h.Kind {
	case executable.Transfer:
		way := "in"
		if h.Out {
			way = "out"
		}
		text := fmt.Sprintf("%s %s %d bytes", h.Buffer, way, h.Size)
		if h.Offset > 0 {
			text += fmt.Sprintf(" from %d", h.Offset)
		}
		if h.Name != "" {
			text += " of " + name
		}
		return text
	case executable.Instructions:
		return fmt.Sprintf("instructions %d", h.Chunk)
	case executable.Interrupt:
		return fmt.Sprintf("interrupt %d", h.Number)
	}
	return h.Kind.String()
}

// print writes what follows the operator's line.
func (r *packageReport) print(w io.Writer) {
	const indent = "        "
	compiler := ""
	if r.Compiler != "" {
		compiler = " by compiler " + plain(r.Compiler)
	}
	fmt.Fprintf(w, "%scompiled%s for runtime %d or newer; parameters: %d bytes kept on the chip, %d streamed for every inference\n",
		indent, compiler, r.MinRuntime, r.OnChip, r.Streamed)
	for _, e := range r.Executables {
		bytes := 0
		for _, n := range e.Chunks {
			bytes += n
		}
		fmt.Fprintf(w, "%s%s %s for %s, token %s: %d bytes of instructions in %d %s, %d of parameters, %d of scratch", indent, e.Type,
			shortName(e.Name), plain(e.Chip), e.Token, bytes, len(e.Chunks), plural(len(e.Chunks), "chunk"), e.Parameters, e.Scratch)
		if e.Cycles > 0 {
			fmt.Fprintf(w, ", %d cycles estimated", e.Cycles)
		}
		if !e.Deterministic {
			fmt.Fprint(w, ", not all transfers known")
		}
		fmt.Fprintln(w)
		for _, l := range e.Inputs {
			fmt.Fprintf(w, "%s  input   %s\n", indent, l)
		}
		for _, l := range e.Outputs {
			fmt.Fprintf(w, "%s  output  %s\n", indent, l)
		}
		const shown = 16
		steps := strings.Join(e.steps[:min(shown, len(e.steps))], "; ")
		if n := len(e.steps); n > shown {
			steps += fmt.Sprintf("; … %d more", n-shown)
		}
		fmt.Fprintf(w, "%s  steps   %s\n", indent, steps)
	}
	for _, f := range r.Ignored {
		fmt.Fprintf(w, "%snot known to this version: %s\n", indent, plain(f))
	}
}

// String describes a layer in a line.
func (l layerReport) String() string {
	text := fmt.Sprintf("%s %s %s, scale %g zero %d, %d bytes on the wire", shortName(l.Name), l.Type, shapeText(l.Shape), l.Scale, l.ZeroPoint, l.Bytes)
	if l.Tiles > 0 {
		text += fmt.Sprintf(" in %d %s", l.Tiles, plural(l.Tiles, "tile"))
	}
	return text
}
