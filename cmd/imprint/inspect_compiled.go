package main

import (
	"fmt"

	"github.com/imprintkit/imprint/tpu/executable"
)

// These describe in JSON an operator that was compiled for the Edge TPU.
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
		steps         []string      // the hints with shortened names
		AddressFields int           `json:"address_fields"`
	}
	layerReport struct {
		Name      string  `json:"name"`
		Type      string  `json:"type"`
		Shape     []int32 `json:"shape"` // y, x, z
		Scale     float32 `json:"scale"`
		ZeroPoint int     `json:"zero_point"` // for the device's unsigned bytes
		Bytes     int     `json:"bytes_on_the_wire"`
		Tiles     int     `json:"tiles,omitempty"` // number of tiles that hold the bytes; 0 if the bytes are in tensor order
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
