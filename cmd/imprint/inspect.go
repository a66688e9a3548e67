package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/tflite"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "show what is in a model file",
		ArgsUsage: "FILE",
		Description: `Shows operators, shapes, quantisation, labels, metadata, what feeds what, and which
tensor imprint takes as the embedding.

Examples:
   imprint inspect model.tflite
   imprint inspect --json model.tflite`,
		Flags:  []cli.Flag{jsonFlag("everything")},
		Action: inspect,
	}
}

// The parts of a report, as JSON.
type (
	report struct {
		File        string             `json:"file"`
		Size        int                `json:"size"`
		SHA256      string             `json:"sha256"`
		Version     uint32             `json:"schema_version"`
		Description string             `json:"description,omitempty"`
		Graphs      []graphReport      `json:"graphs"`
		Embedding   *embeddingReport   `json:"embedding,omitempty"`
		NoEmbedding string             `json:"no_embedding,omitempty"`
		Labels      []string           `json:"labels,omitempty"`
		Metadata    []metadataReport   `json:"metadata,omitempty"`
		Model       tflite.Description `json:"model_metadata"`
		Signatures  []string           `json:"signatures,omitempty"`
		Files       []metadataReport   `json:"associated_files,omitempty"`
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
		// From has for each input the operator that writes it, -1 for none.
		From []int `json:"from"`
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
		LastLayer int    `json:"last_layer"` // the operator that reads it, -1 for none
	}
	metadataReport struct {
		Name string `json:"name"`
		Size int    `json:"size"`
	}
)

func inspect(c *cli.Context) error {
	if err := needArgs(c, 1, 1); err != nil {
		return err
	}
	path := c.Args().First()
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	if info.Size() > tflite.MaxFileSize {
		return fmt.Errorf("inspect %s: %w: %d bytes, and at most %d are read", path, tflite.ErrTooLarge, info.Size(), tflite.MaxFileSize)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	m, err := tflite.Parse(b)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", path, err)
	}
	r, err := newReport(m)
	if err != nil {
		return fmt.Errorf("inspect %s: %w", path, err)
	}
	r.File, r.Size, r.SHA256 = path, len(b), fmt.Sprintf("%x", sha256.Sum256(b))
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	r.print(c.App.Writer)
	return nil
}

func newReport(m *tflite.Model) (*report, error) {
	r := &report{Version: m.Version, Description: m.Description}
	for i := range m.Subgraphs {
		r.Graphs = append(r.Graphs, newGraphReport(m, i))
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
	if r.Labels, err = m.Labels(); err != nil && !errors.Is(err, tflite.ErrNoLabels) {
		return nil, err
	}
	if r.Model, err = m.Describe(); err != nil {
		return nil, err
	}
	for _, e := range m.Metadata {
		r.Metadata = append(r.Metadata, metadataReport{e.Name, len(m.Buffers[e.Buffer])})
	}
	files, err := m.AssociatedFiles()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		r.Files = append(r.Files, metadataReport{f.Name, len(f.Content)})
	}
	for _, s := range m.SignatureDefs {
		r.Signatures = append(r.Signatures, s.Key)
	}
	return r, nil
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

// optionsText is what an operator is told, short.
func optionsText(op tflite.BuiltinOperator, o tflite.Options) string {
	text := func(a tflite.Activation, parts ...string) string {
		if a != tflite.ActNone {
			parts = append(parts, a.String())
		}
		return strings.Join(parts, " ")
	}
	stride := func(h, w int32) string { return fmt.Sprintf("stride %d×%d", h, w) }
	switch op {
	case tflite.OpConv2D:
		v := o.Conv2D()
		return text(v.Activation, stride(v.StrideH, v.StrideW), v.Padding.String())
	case tflite.OpDepthwiseConv2D:
		v := o.DepthwiseConv2D()
		return text(v.Activation, stride(v.StrideH, v.StrideW), v.Padding.String())
	case tflite.OpAveragePool2D, tflite.OpMaxPool2D:
		v := o.Pool2D()
		return text(v.Activation, fmt.Sprintf("window %d×%d", v.FilterHeight, v.FilterWidth), stride(v.StrideH, v.StrideW), v.Padding.String())
	case tflite.OpFullyConnected:
		return text(o.FullyConnected().Activation)
	case tflite.OpAdd:
		return text(o.Add().Activation)
	case tflite.OpMul:
		return text(o.Mul().Activation)
	case tflite.OpSoftmax:
		return fmt.Sprintf("beta %g", o.Softmax().Beta)
	}
	return ""
}

func (r *report) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d bytes, SHA-256 %s, schema version %d\n", r.File, r.Size, r.SHA256, r.Version)
	if r.Model.Name != "" {
		fmt.Fprintf(w, "name: %s\n", r.Model.Name)
	}
	if r.Description != "" {
		fmt.Fprintf(w, "description: %q\n", r.Description)
	}
	switch {
	case r.Embedding != nil && r.Embedding.LastLayer >= 0:
		fmt.Fprintf(w, "embedding: tensor %d %q, %d values, read by the last layer, operator %d\n", r.Embedding.Tensor, r.Embedding.Name, r.Embedding.Values, r.Embedding.LastLayer)
	case r.Embedding != nil:
		fmt.Fprintf(w, "embedding: tensor %d %q, %d values; the model ends in it\n", r.Embedding.Tensor, r.Embedding.Name, r.Embedding.Values)
	default:
		fmt.Fprintf(w, "embedding: %s\n", r.NoEmbedding)
	}
	for i, g := range r.Graphs {
		g.print(w, i)
	}
	if n := len(r.Labels); n > 0 {
		fmt.Fprintf(w, "labels: %d: %s", n, strings.Join(r.Labels[:min(n, 10)], ", "))
		fmt.Fprintln(w, map[bool]string{true: ", …"}[n > 10])
	}
	for _, e := range r.Metadata {
		fmt.Fprintf(w, "metadata: %s, %d bytes\n", e.Name, e.Size)
	}
	for _, f := range r.Files {
		fmt.Fprintf(w, "file: %s, %d bytes\n", f.Name, f.Size)
	}
	for _, s := range r.Signatures {
		fmt.Fprintf(w, "signature: %s\n", s)
	}
}

func (g graphReport) print(w io.Writer, index int) {
	fmt.Fprintf(w, "graph %d %s: %d operators, %d tensors\n", index, g.Name, len(g.Operators), len(g.Tensors))
	for _, t := range g.Inputs {
		fmt.Fprintf(w, "  input   %s\n", g.Tensors[t])
	}
	for i, op := range g.Operators {
		fmt.Fprintf(w, "  %3d %s\n", i, strings.TrimSpace(op.Name+" "+op.Options))
		for j, t := range op.Inputs {
			switch {
			case t < 0:
				fmt.Fprintln(w, "        ← none")
			case op.From[j] >= 0:
				fmt.Fprintf(w, "        ← %s of %d\n", g.Tensors[t], op.From[j])
			default:
				fmt.Fprintf(w, "        ← %s\n", g.Tensors[t])
			}
		}
		for _, t := range op.Outputs {
			fmt.Fprintf(w, "        → %s\n", g.Tensors[t])
		}
	}
	for _, t := range g.Outputs {
		fmt.Fprintf(w, "  output  %s\n", g.Tensors[t])
	}
}

// String describes a tensor in a line.
func (t tensorReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %q %s%v", t.Index, t.Name, t.Type, t.Shape)
	zero := int64(0)
	if len(t.ZeroPoint) > 0 {
		zero = t.ZeroPoint[0]
	}
	switch len(t.Scale) {
	case 0:
	case 1:
		fmt.Fprintf(&b, " scale %g zero %d", t.Scale[0], zero)
	default:
		fmt.Fprintf(&b, " %d scales %g…%g along %d", len(t.Scale), slices.Min(t.Scale), slices.Max(t.Scale), t.Dimension)
	}
	if t.Constant > 0 {
		fmt.Fprintf(&b, " constant")
	}
	return b.String()
}
