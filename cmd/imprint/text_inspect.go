package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/tpu/executable"
)

// inspectLines returns the two lines about a model that most people need.
func inspectLines(r *modelReport) []string {
	parts := []string{r.File + ": " + fileSize(r.Size)}
	if len(r.Graphs) > 0 {
		parts = append(parts, inputsText(r.Graphs[0]))
	}
	if n := len(r.Labels); n > 0 {
		parts = append(parts, count(n, "label"))
	}
	if r.Embedding != nil {
		parts = append(parts, fmt.Sprintf("embedding of %d values", r.Embedding.Values))
	}
	lines := []string{strings.Join(parts, ", ")}
	switch {
	case r.EdgeTPU != nil && (r.EdgeTPU.Compiled || r.Memory != nil):
		lines = append(lines, r.EdgeTPU.line())
	case r.CannotRun != "":
		lines = append(lines, "can't run on the CPU: "+plain(r.CannotRun))
	}
	return lines
}

// inputsText describes the inputs of a graph: "photos of 224×224", or "2 inputs".
func inputsText(g graphReport) string {
	if len(g.Inputs) == 1 {
		shape := g.Tensors[g.Inputs[0]].Shape
		if len(shape) == 4 && shape[3] == 3 {
			return fmt.Sprintf("photos of %d×%d", shape[2], shape[1])
		}
	}
	return count(len(g.Inputs), "input")
}

// print writes the whole report. It shortens long names and lists, which are complete in the JSON.
func (r *modelReport) print(w io.Writer) {
	r.printModel(w)
	if r.EdgeTPU != nil {
		r.EdgeTPU.print(w)
	}
	for i, g := range r.Graphs {
		g.print(w, i)
	}
	r.printMetadata(w)
}

func (r *modelReport) printModel(w io.Writer) {
	fmt.Fprintf(w, "%s: %d bytes, SHA-256 %s, schema version %d\n", r.File, r.Size, r.SHA256, r.Version)
	if m := r.Memory; m != nil {
		fmt.Fprintf(w, "memory: %d bytes of weights, %d of tensors, %d of scratch per thread\n", m.Weights, m.Tensors, m.Scratch)
	} else {
		fmt.Fprintf(w, "can't run on the CPU: %s\n", plain(r.CannotRun))
	}
	for _, line := range []struct{ what, text string }{
		{"name", r.Model.Name}, {"about", r.Model.Description}, {"version", r.Model.Version}, {"author", r.Model.Author}, {"licence", r.Model.License},
	} {
		if line.text != "" {
			fmt.Fprintf(w, "%s: %s\n", line.what, plain(strings.Join(strings.Fields(line.text), " ")))
		}
	}
	if r.Description != "" {
		fmt.Fprintf(w, "description: %q\n", r.Description)
	}
	switch {
	case r.Embedding != nil && r.Embedding.LastLayer >= 0:
		fmt.Fprintf(w, "embedding: tensor %d %s, %d values, read by the last layer, operator %d\n", r.Embedding.Tensor, shortName(r.Embedding.Name), r.Embedding.Values, r.Embedding.LastLayer)
	case r.Embedding != nil:
		fmt.Fprintf(w, "embedding: tensor %d %s, %d values, the model's output\n", r.Embedding.Tensor, shortName(r.Embedding.Name), r.Embedding.Values)
	default:
		fmt.Fprintln(w, r.NoEmbedding)
	}
}

// printMetadata writes labels and metadata.
func (r *modelReport) printMetadata(w io.Writer) {
	const shown = 10
	if n := len(r.Labels); n > 0 {
		fmt.Fprintf(w, "labels: %d", n)
		if r.LabelsFrom != "" {
			fmt.Fprintf(w, ", from %s", plain(r.LabelsFrom))
		}
		fmt.Fprintln(w)
		for i, label := range r.Labels[:min(n, shown)] {
			fmt.Fprintf(w, "  %d  %s\n", i, plain(label))
		}
		if n > shown {
			fmt.Fprintf(w, "  … %d more\n", n-shown)
		}
	}
	if r.Unreadable != "" {
		fmt.Fprintf(w, "unreadable metadata: %s\n", plain(r.Unreadable))
	}
	for _, e := range r.Metadata {
		fmt.Fprintf(w, "metadata: %s, %d bytes", plain(e.Name), e.Size)
		if e.Text != "" {
			fmt.Fprintf(w, ": %s", e.Text)
		}
		fmt.Fprintln(w)
	}
	for i, line := range r.Model.Inputs {
		if line != "" {
			fmt.Fprintf(w, "metadata of input %d: %s\n", i, plain(line))
		}
	}
	for i, line := range r.Model.Outputs {
		if line != "" {
			fmt.Fprintf(w, "metadata of output %d: %s\n", i, plain(line))
		}
	}
	for _, f := range r.Files {
		fmt.Fprintf(w, "file: %s, %d bytes\n", plain(f.Name), f.Size)
	}
	for _, s := range r.Signatures {
		fmt.Fprintf(w, "signature: %s\n", plain(s))
	}
}

func (g graphReport) print(w io.Writer, index int) {
	name := strings.TrimSpace(fmt.Sprintf("graph %d %s", index, plain(g.Name)))
	fmt.Fprintf(w, "%s: %s, %s\n", name, count(len(g.Operators), "operator"), count(len(g.Tensors), "tensor"))
	// Thousands of operators may share a tensor, so its text is made once.
	lines, to := make([]string, len(g.Tensors)), g.readers()
	for i, t := range g.Tensors {
		lines[i] = t.String()
	}
	isInput := make([]bool, len(g.Tensors))
	for _, t := range g.Inputs {
		isInput[t] = true
		fmt.Fprintf(w, "  input   %s, %s\n", lines[t], to[t])
	}
	for i, op := range g.Operators {
		fmt.Fprintf(w, "  %3d %s\n", i, strings.TrimSpace(plain(op.Name)+" "+op.Options))
		switch {
		case op.Compiled != nil:
			op.Compiled.print(w)
		case op.NotCompiled != "":
			fmt.Fprintf(w, "        no program for the Edge TPU: %s\n", plain(op.NotCompiled))
		}
		for j, t := range op.Inputs {
			switch {
			case t < 0:
				fmt.Fprintln(w, "        ← none")
			case op.From[j] >= 0:
				fmt.Fprintf(w, "        ← %d from %d\n", t, op.From[j])
			case isInput[t]:
				fmt.Fprintf(w, "        ← %d from the input\n", t)
			default:
				fmt.Fprintf(w, "        ← %s\n", lines[t])
			}
		}
		for _, t := range op.Outputs {
			fmt.Fprintf(w, "        → %s, %s\n", lines[t], to[t])
		}
	}
	for _, t := range g.Outputs {
		fmt.Fprintf(w, "  output  %s\n", lines[t])
	}
}

// readers says for each tensor which operators read it.
func (g graphReport) readers() []string {
	const shown = 16
	read := make([][]string, len(g.Tensors))
	more := make([]int, len(g.Tensors))
	add := func(t int32, reader string) {
		switch n := len(read[t]); {
		case n > 0 && read[t][n-1] == reader:
		case n < shown:
			read[t] = append(read[t], reader)
		default:
			more[t]++
		}
	}
	for i, op := range g.Operators {
		for _, t := range op.Inputs {
			if t >= 0 {
				add(t, fmt.Sprint(i))
			}
		}
	}
	for _, t := range g.Outputs {
		add(t, "the output")
	}
	text := make([]string, len(g.Tensors))
	for t := range text {
		switch text[t] = "to " + strings.Join(read[t], ", "); {
		case len(read[t]) == 0:
			text[t] = "unused"
		case more[t] > 0:
			text[t] += fmt.Sprintf(" and %d more", more[t])
		}
	}
	return text
}

// String describes a tensor on one line.
func (t tensorReport) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%d %s %s %s", t.Index, shortName(t.Name), t.Type, shapeText(t.Shape))
	zero := int64(0)
	if len(t.ZeroPoint) > 0 {
		zero = t.ZeroPoint[0]
	}
	switch len(t.Scale) {
	case 0:
	case 1:
		fmt.Fprintf(&b, ", scale %g zero %d", t.Scale[0], zero)
	default:
		fmt.Fprintf(&b, ", %d scales %g…%g along dimension %d", len(t.Scale), slices.Min(t.Scale), slices.Max(t.Scale), t.Dimension)
	}
	if t.Constant > 0 {
		b.WriteString(", constant")
	}
	return b.String()
}

func shapeText(shape []int32) string {
	if len(shape) == 0 {
		return "scalar"
	}
	var parts []string
	for _, d := range shape {
		parts = append(parts, fmt.Sprint(d))
	}
	return strings.Join(parts, "×")
}

// shortName quotes a name, without its middle if it is long: converters join the names of all
// operators that they merge.
func shortName(name string) string {
	const most = 50
	if r := []rune(name); len(r) > most {
		name = string(r[:most/2]) + "…" + string(r[len(r)-most/2+1:])
	}
	return fmt.Sprintf("%q", name)
}

// line says how much of a model runs on an Edge TPU.
func (r *partitionReport) line() string {
	line := "Edge TPU: "
	switch {
	case r.Compiled:
		line += "compiled; " + count(len(r.CPU), "operator") + " on the CPU"
	case r.Mapped == 0:
		line += "a compiler would put nothing on it"
	case r.Mapped == r.All:
		line += fmt.Sprintf("a compiler would put all %s on it", count(r.All, "operator"))
	default:
		line += fmt.Sprintf("a compiler would put %d of %s on it", r.Mapped, count(r.All, "operator"))
	}
	if i := slices.IndexFunc(r.CPU, func(c cpuReport) bool { return c.Operator == r.Cut }); i >= 0 {
		line += fmt.Sprintf(", cut at operator %d, %s", r.Cut, plain(r.CPU[i].Name))
	}
	return line
}

// print writes which operators run on the CPU, and why.
func (r *partitionReport) print(w io.Writer) {
	fmt.Fprintln(w, r.line())
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
	switch {
	case r.Parameters == 0:
	case r.Compiled:
		fmt.Fprintf(w, "  parameters: %d bytes, %d streamed for every inference; the chip holds about %d\n", r.Parameters, r.Streamed, r.Memory)
	default:
		fmt.Fprintf(w, "  parameters: an estimated %d bytes in the compiler's layout, %d streamed for every inference; the chip holds about %d\n", r.Parameters, r.Streamed, r.Memory)
	}
	r.printLayers(w)
}

// printLayers writes the layers found in a compiled model.
func (r *partitionReport) printLayers(w io.Writer) {
	for _, l := range r.Layers {
		l.print(w)
	}
}

// print writes a layer on one line.
func (l placeReport) print(w io.Writer) {
	fmt.Fprintf(w, "  %3d %s %s", l.Operator, plain(l.Kind), shortName(l.Name))
	if l.CPU {
		fmt.Fprintln(w, ", on the CPU")
		return
	}
	if l.Lost {
		fmt.Fprint(w, ", weights not found")
	} else if l.Shape != nil {
		fmt.Fprintf(w, ", %d bytes at %d", l.Bytes, l.Offset)
		if l.Streamed {
			fmt.Fprint(w, " of the streamed parameters")
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
		fmt.Fprintf(w, ", clamp %g…%g, zero points of input %d, weights %d, output %d, at %s",
			s.Low, s.High, s.InZero, s.WeightZero, s.Zero, count(l.Stages, "place"))
	}
	fmt.Fprintln(w)
}

// print writes the indented lines below the operator.
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
		fmt.Fprintf(w, "%s%s %s for %s, token %s: %d bytes of instructions in %s, %d of parameters, %d of scratch", indent, e.Type,
			shortName(e.Name), plain(e.Chip), e.Token, bytes, count(len(e.Chunks), "chunk"), e.Parameters, e.Scratch)
		if e.Cycles > 0 {
			fmt.Fprintf(w, ", %d cycles estimated", e.Cycles)
		}
		if !e.Deterministic {
			fmt.Fprint(w, ", some transfers unknown")
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
		fmt.Fprintf(w, "%sunknown to this version: %s\n", indent, plain(f))
	}
}

// String describes a layer on one line.
func (l layerReport) String() string {
	text := fmt.Sprintf("%s %s %s, scale %g zero %d, %d bytes on the wire", shortName(l.Name), l.Type, shapeText(l.Shape), l.Scale, l.ZeroPoint, l.Bytes)
	if l.Tiles > 0 {
		text += " in " + count(l.Tiles, "tile")
	}
	return text
}

// hintText describes a step of a program. It uses name as the name of the layer.
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
