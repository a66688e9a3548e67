package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what is in a model file",
		ArgsUsage: "FILE",
		Description: `Show a model's inputs, outputs and labels, and whether it runs on an Edge TPU.

Examples:
   imprint inspect model.tflite
   imprint inspect -v model.tflite        operators, tensors, labels, metadata
   imprint inspect --json model.tflite    everything, with names in full
   imprint inspect --uncompiled model.tflite model_edgetpu.tflite
                                          the layers in a compiled model`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "uncompiled", Usage: "show the layers of a compiled model that was made from `FILE`", DefaultText: "no"},
			jsonFlag("everything")},
		Action: inspect,
	}
}

// These are the parts of a report in JSON.
type (
	modelReport struct {
		File        string            `json:"file"`
		Size        int               `json:"size"`
		SHA256      string            `json:"sha256"`
		Version     uint32            `json:"schema_version"`
		Description string            `json:"description,omitempty"`
		Memory      *memoryReport     `json:"memory,omitempty"`
		CannotRun   string            `json:"cannot_run,omitempty"`
		Graphs      []graphReport     `json:"graphs"`
		EdgeTPU     *partitionReport  `json:"edge_tpu,omitempty"`
		Embedding   *embeddingReport  `json:"embedding,omitempty"`
		NoEmbedding string            `json:"no_embedding,omitempty"`
		Labels      []string          `json:"labels,omitempty"`
		LabelsFrom  string            `json:"labels_from,omitempty"` // the file with the labels, if the model has none
		Unreadable  string            `json:"metadata_error,omitempty"`
		Metadata    []metadataReport  `json:"metadata,omitempty"`
		Model       descriptionReport `json:"model_metadata"`
		Signatures  []string          `json:"signatures,omitempty"`
		Files       []metadataReport  `json:"associated_files,omitempty"`
		content     []byte            // the file's content
	}
	// memoryReport is the memory that the model needs on the CPU, in bytes.
	memoryReport struct {
		Weights int `json:"weights"`            // packed for this processor
		Tensors int `json:"tensors"`            // other tensors, in one arena
		Scratch int `json:"scratch_per_thread"` // scratch memory of the operators
	}
	graphReport struct {
		Name      string           `json:"name,omitempty"`
		Inputs    []int32          `json:"inputs"`
		Outputs   []int32          `json:"outputs"`
		Operators []operatorReport `json:"operators"`
		Tensors   []tensorReport   `json:"tensors"`
	}
	operatorReport struct {
		Name    string  `json:"name"`
		Version int32   `json:"version"`
		Options string  `json:"options,omitempty"`
		Inputs  []int32 `json:"inputs"`
		Outputs []int32 `json:"outputs"`
		// From is, for each input, the index of the operator that writes it, or -1.
		From []int `json:"from"`
		// Compiled describes the program in an operator that was compiled for the Edge TPU.
		// NotCompiled says why the program can't be read.
		Compiled    *packageReport `json:"compiled,omitempty"`
		NotCompiled string         `json:"not_compiled,omitempty"`
	}
	tensorReport struct {
		Index     int       `json:"index"`
		Name      string    `json:"name"`
		Type      string    `json:"type"`
		Shape     []int32   `json:"shape"`
		Scale     []float32 `json:"scale,omitempty"`
		ZeroPoint []int64   `json:"zero_point,omitempty"`
		Dimension int32     `json:"quantized_dimension,omitempty"`
		Constant  int       `json:"constant_bytes,omitempty"`
	}
	embeddingReport struct {
		Tensor    int32  `json:"tensor"`
		Name      string `json:"name"`
		Values    int    `json:"values"`
		LastLayer int    `json:"last_layer"` // the operator that reads the embedding, or -1
	}
	metadataReport struct {
		Name string `json:"name"`
		Size int    `json:"size"`
		// Text is the content, if it is text that fits on a line.
		Text string `json:"text,omitempty"`
	}
	descriptionReport struct {
		Name        string   `json:"name,omitempty"`
		Description string   `json:"description,omitempty"`
		Version     string   `json:"version,omitempty"`
		Author      string   `json:"author,omitempty"`
		License     string   `json:"license,omitempty"`
		Inputs      []string `json:"inputs,omitempty"`
		Outputs     []string `json:"outputs,omitempty"`
	}
)

func inspect(c *cli.Context) error {
	if err := needArgs(c, 1, 1); err != nil {
		return err
	}
	path, uncompiled := c.Args().First(), c.String("uncompiled")
	r, err := inspectFile(path)
	if err != nil {
		return err
	}
	if uncompiled != "" {
		if err := r.addUncompiled(uncompiled); err != nil {
			return fmt.Errorf("inspect %s as compiled from %s: %w", path, uncompiled, err)
		}
	}
	switch {
	case asJSON(c):
		return printJSON(c.App.Writer, r)
	case quiet(c):
	case verbose(c):
		r.print(c.App.Writer)
	default:
		say(c, inspectLines(r)...)
		if uncompiled != "" {
			r.EdgeTPU.printLayers(c.App.Writer)
		}
	}
	return nil
}

func inspectFile(path string) (*modelReport, error) {
	if err := mustExist(path); err != nil {
		return nil, err
	}
	file, err := tflite.ReadModel(path)
	switch {
	case errors.Is(err, tflite.ErrNotRegular):
		return nil, fmt.Errorf("inspect %s: it is not a plain file", path)
	case err != nil:
		return nil, fmt.Errorf("inspect: %w", err)
	}
	b := file.Model
	m, err := tflite.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	r, err := newReport(m)
	if err != nil {
		return nil, fmt.Errorf("inspect %s: %w", path, err)
	}
	r.addLabels(file)
	r.File, r.Size, r.SHA256, r.content = path, len(b), fmt.Sprintf("%x", sha256.Sum256(b)), b
	return r, nil
}

func newReport(m *tflite.Model) (*modelReport, error) {
	r := &modelReport{Version: m.Version, Description: m.Description}
	for i := range m.Subgraphs {
		r.Graphs = append(r.Graphs, newGraphReport(m, i))
	}
	if in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{}); err != nil {
		r.CannotRun = err.Error()
	} else {
		memory := in.Memory()
		r.Memory = &memoryReport{memory.Weights, memory.Arena, memory.Scratch}
	}
	if len(m.Subgraphs) > 0 {
		if at, last, err := backbone.FindEmbedding(m); err != nil {
			r.NoEmbedding = err.Error()
		} else {
			t := m.Subgraphs[0].Tensors[at]
			r.Embedding = &embeddingReport{at, t.Name, t.NumElements(), last}
		}
	}
	var err error
	if r.EdgeTPU, err = newPartitionReport(m); err != nil {
		return nil, err
	}
	r.Labels, _ = m.Labels()
	d, err := m.Describe()
	if err != nil {
		r.Unreadable = err.Error()
	}
	r.Model = descriptionReport{d.Name, d.Description, d.Version, d.Author, d.License, about(d.Inputs), about(d.Outputs)}
	for _, e := range m.Metadata {
		b := m.Buffers[e.Buffer]
		r.Metadata = append(r.Metadata, metadataReport{e.Name, len(b), shortText(b)})
	}
	files, err := m.AssociatedFiles()
	if err != nil {
		r.Unreadable = err.Error()
	}
	for _, f := range files {
		r.Files = append(r.Files, metadataReport{Name: f.Name, Size: len(f.Content)})
	}
	for _, s := range m.SignatureDefs {
		r.Signatures = append(r.Signatures, s.Key)
	}
	return r, nil
}

// addLabels adds labels to a model that contains none. They come from the model's archive or from a
// file next to the model, and their number must equal the number of output values.
func (r *modelReport) addLabels(file *tflite.ModelFile) {
	if len(r.Labels) > 0 || len(r.Graphs) == 0 || len(r.Graphs[0].Outputs) == 0 {
		return
	}
	n := 1
	for _, d := range r.Graphs[0].Tensors[r.Graphs[0].Outputs[0]].Shape {
		n *= int(d)
	}
	if n == len(file.Labels) {
		r.Labels, r.LabelsFrom = file.Labels, file.LabelsFrom
	}
}

// about returns one line of metadata for each tensor.
func about(tensors []tflite.TensorDescription) []string {
	var lines []string
	for _, t := range tensors {
		line := strings.TrimSpace(t.Name + " " + t.Description)
		if len(t.Mean) > 0 || len(t.Std) > 0 {
			line += fmt.Sprintf(" mean %v std %v", t.Mean, t.Std)
		}
		if len(t.Files) > 0 {
			line += " files " + strings.Join(t.Files, ", ")
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	return lines
}

// shortText returns b as a string if it is text that fits on a line, else "".
func shortText(b []byte) string {
	if len(b) > 4096 { // many entries may share a large buffer
		return ""
	}
	text := strings.TrimRight(string(b), "\x00")
	if len(text) > 120 || !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl) {
		return ""
	}
	return text
}

func newGraphReport(m *tflite.Model, sub int) graphReport {
	g := &m.Subgraphs[sub]
	r := graphReport{Name: g.Name, Inputs: g.Inputs, Outputs: g.Outputs}
	from := make(map[int32]int)
	for i, op := range g.Operators {
		code := m.OperatorCodes[op.Opcode]
		o := operatorReport{Name: code.Builtin.String(), Version: code.Version, Options: optionsText(code.Builtin, op.Options), Inputs: op.Inputs, Outputs: op.Outputs}
		if code.Builtin == tflite.OpCustom {
			o.Name, o.Options = code.CustomCode, fmt.Sprintf("%d bytes of options", len(op.CustomOptions))
		}
		if code.CustomCode == executable.CustomOperator {
			if pkg, err := executable.Parse(op.CustomOptions); err != nil {
				o.NotCompiled = err.Error()
			} else {
				o.Compiled = newPackageReport(pkg)
			}
		}
		for _, t := range op.Inputs {
			source, ok := from[t]
			if !ok {
				source = -1
			}
			o.From = append(o.From, source)
		}
		for _, t := range op.Outputs {
			from[t] = i
		}
		r.Operators = append(r.Operators, o)
	}
	for i, t := range g.Tensors {
		tr := tensorReport{Index: i, Name: t.Name, Type: t.Type.String(), Shape: t.Shape, Constant: len(m.TensorBytes(sub, int32(i)))}
		if q := t.Quantization; q != nil {
			tr.Scale, tr.ZeroPoint, tr.Dimension = q.Scale, q.ZeroPoint, q.Dimension
		}
		r.Tensors = append(r.Tensors, tr)
	}
	return r
}
