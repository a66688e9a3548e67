package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
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
		Description: `Shows operators, shapes, quantisation, labels, metadata, what feeds what, which
tensor imprint takes as the embedding, and how much memory running the model takes;
which operators a compiler would put on an Edge TPU, or has put there, what stays on the
CPU and why, and how much of the chip's memory the parameters take. With --twin the
layers of a compiled model are shown with their constants, as read from its bytes.
Long names are cut in the middle, and long lists at the end; --json has all of it.

Examples:
   imprint inspect model.tflite
   imprint inspect --json model.tflite
   imprint inspect --twin model.tflite model_edgetpu.tflite`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "twin", Usage: "of a compiled model, the one it was compiled from, `FILE`", DefaultText: "no layers"},
			jsonFlag("everything")},
		Action: inspect,
	}
}

// The parts of a report, as JSON.
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
		EdgeTPU     *mappingReport    `json:"edge_tpu,omitempty"`
		Embedding   *embeddingReport  `json:"embedding,omitempty"`
		NoEmbedding string            `json:"no_embedding,omitempty"`
		Labels      []string          `json:"labels,omitempty"`
		Metadata    []metadataReport  `json:"metadata,omitempty"`
		Model       descriptionReport `json:"model_metadata"`
		Signatures  []string          `json:"signatures,omitempty"`
		Files       []metadataReport  `json:"associated_files,omitempty"`
	}
	// memoryReport is what running the model on the CPU takes, in bytes.
	memoryReport struct {
		Weights int `json:"weights"`            // packed for this processor
		Tensors int `json:"tensors"`            // all others, in one arena
		Scratch int `json:"scratch_per_thread"` // of operators
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
		// Of an operator compiled for the Edge TPU, its program or why it is none.
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
		LastLayer int    `json:"last_layer"` // the operator that reads it, -1 for none
	}
	metadataReport struct {
		Name string `json:"name"`
		Size int    `json:"size"`
		// Text is the content, if that is short text.
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
	path := c.Args().First()
	info, err := os.Stat(path)
	if err != nil {
		return fmt.Errorf("inspect: %w", err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("inspect %s: it is not a plain file", path)
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
	if twin := c.String("twin"); twin != "" {
		if err := r.EdgeTPU.addTwin(b, twin); err != nil {
			return fmt.Errorf("inspect %s as compiled from %s: %w", path, twin, err)
		}
	}
	r.File, r.Size, r.SHA256 = path, len(b), fmt.Sprintf("%x", sha256.Sum256(b))
	if c.Bool("json") {
		return printJSON(c.App.Writer, r)
	}
	r.print(c.App.Writer)
	return nil
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
	if r.EdgeTPU, err = newMappingReport(m); err != nil {
		return nil, err
	}
	if r.Labels, err = m.Labels(); err != nil && !errors.Is(err, tflite.ErrNoLabels) {
		return nil, err
	}
	d, err := m.Describe()
	if err != nil {
		return nil, err
	}
	r.Model = descriptionReport{d.Name, d.Description, d.Version, d.Author, d.License, about(d.Inputs), about(d.Outputs)}
	for _, e := range m.Metadata {
		b := m.Buffers[e.Buffer]
		r.Metadata = append(r.Metadata, metadataReport{e.Name, len(b), shortText(b)})
	}
	files, err := m.AssociatedFiles()
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		r.Files = append(r.Files, metadataReport{Name: f.Name, Size: len(f.Content)})
	}
	for _, s := range m.SignatureDefs {
		r.Signatures = append(r.Signatures, s.Key)
	}
	return r, nil
}

// about says in a line for each tensor what the metadata say.
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

// shortText is b if it is text that fits on a line, or else "".
func shortText(b []byte) string {
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

// optionsText is what an operator is told, short.
func optionsText(op tflite.BuiltinOperator, o tflite.Options) string {
	var parts []string
	add := func(format string, a ...any) { parts = append(parts, fmt.Sprintf(format, a...)) }
	activation := func(a tflite.Activation) {
		if a != tflite.ActNone {
			add("%v", a)
		}
	}
	window := func(strideH, strideW, dilationH, dilationW int32, p tflite.Padding) {
		add("stride %d×%d", strideH, strideW)
		if dilationH != 1 || dilationW != 1 {
			add("dilation %d×%d", dilationH, dilationW)
		}
		add("%v", p)
	}
	switch op {
	case tflite.OpConv2D:
		v := o.Conv2D()
		window(v.StrideH, v.StrideW, v.DilationH, v.DilationW, v.Padding)
		activation(v.Activation)
	case tflite.OpDepthwiseConv2D:
		v := o.DepthwiseConv2D()
		window(v.StrideH, v.StrideW, v.DilationH, v.DilationW, v.Padding)
		if v.DepthMultiplier != 1 {
			add("multiplier %d", v.DepthMultiplier)
		}
		activation(v.Activation)
	case tflite.OpAveragePool2D, tflite.OpMaxPool2D:
		v := o.Pool2D()
		add("window %d×%d", v.FilterHeight, v.FilterWidth)
		window(v.StrideH, v.StrideW, 1, 1, v.Padding)
		activation(v.Activation)
	case tflite.OpFullyConnected:
		v := o.FullyConnected()
		if v.KeepNumDims {
			add("keeps dimensions")
		}
		if v.WeightsFormat != 0 {
			add("shuffled weights")
		}
		activation(v.Activation)
	case tflite.OpAdd:
		activation(o.Add().Activation)
	case tflite.OpSub:
		activation(o.Sub().Activation)
	case tflite.OpMul:
		activation(o.Mul().Activation)
	case tflite.OpL2Normalization:
		activation(o.L2Norm().Activation)
	case tflite.OpConcatenation:
		add("axis %d", o.Concatenation().Axis)
		activation(o.Concatenation().Activation)
	case tflite.OpReshape:
		if shape := o.Reshape().NewShape; len(shape) > 0 {
			add("to %s", shapeText(shape))
		}
	case tflite.OpSqueeze:
		if dims := o.Squeeze().SqueezeDims; len(dims) > 0 {
			add("dimensions %v", dims)
		}
	case tflite.OpMean:
		if o.Reducer().KeepDims {
			add("keeps dimensions")
		}
	case tflite.OpSoftmax:
		add("beta %g", o.Softmax().Beta)
	}
	return strings.Join(parts, " ")
}
