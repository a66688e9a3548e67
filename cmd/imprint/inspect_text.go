package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode"
)

// print writes the report for people.
func (r *modelReport) print(w io.Writer) {
	fmt.Fprintf(w, "%s: %d bytes, SHA-256 %s, schema version %d\n", r.File, r.Size, r.SHA256, r.Version)
	if m := r.Memory; m != nil {
		fmt.Fprintf(w, "memory: %d bytes of weights, %d of tensors, %d of scratch a thread\n", m.Weights, m.Tensors, m.Scratch)
	} else {
		fmt.Fprintf(w, "cannot run on the CPU: %s\n", plain(r.CannotRun))
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
		fmt.Fprintf(w, "embedding: tensor %d %s, %d values; the model ends in it\n", r.Embedding.Tensor, shortName(r.Embedding.Name), r.Embedding.Values)
	default:
		fmt.Fprintln(w, r.NoEmbedding)
	}
	if r.EdgeTPU != nil {
		r.EdgeTPU.print(w)
	}
	for i, g := range r.Graphs {
		g.print(w, i)
	}
	const shown = 10
	if n := len(r.Labels); n > 0 {
		fmt.Fprintf(w, "labels: %d\n", n)
		for i, label := range r.Labels[:min(n, shown)] {
			fmt.Fprintf(w, "  %d  %s\n", i, plain(label))
		}
		if n > shown {
			fmt.Fprintf(w, "  … %d more\n", n-shown)
		}
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
	fmt.Fprintf(w, "%s: %d %s, %d %s\n", name, len(g.Operators), plural(len(g.Operators), "operator"), len(g.Tensors), plural(len(g.Tensors), "tensor"))
	readers := make(map[int32][]string)
	for i, op := range g.Operators {
		for _, t := range op.Inputs {
			readers[t] = append(readers[t], fmt.Sprint(i))
		}
	}
	for _, t := range g.Outputs {
		readers[t] = append(readers[t], "the output")
	}
	to := func(t int32) string {
		if len(readers[t]) == 0 {
			return "to nothing"
		}
		return "to " + strings.Join(slices.Compact(readers[t]), ", ")
	}
	for _, t := range g.Inputs {
		fmt.Fprintf(w, "  input   %s, %s\n", g.Tensors[t], to(t))
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
			case slices.Contains(g.Inputs, t):
				fmt.Fprintf(w, "        ← %d from the input\n", t)
			default:
				fmt.Fprintf(w, "        ← %s\n", g.Tensors[t])
			}
		}
		for _, t := range op.Outputs {
			fmt.Fprintf(w, "        → %s, %s\n", g.Tensors[t], to(t))
		}
	}
	for _, t := range g.Outputs {
		fmt.Fprintf(w, "  output  %s\n", g.Tensors[t])
	}
}

// String describes a tensor in a line.
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

// plain is a text of a model without what could control a terminal.
func plain(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return unicode.ReplacementChar
		}
		return r
	}, text)
}

// shortName quotes a name and cuts out its middle if it is long, as those are that
// converters make of all the operators they have merged.
func shortName(name string) string {
	const most = 50
	if r := []rune(name); len(r) > most {
		name = string(r[:most/2]) + "…" + string(r[len(r)-most/2+1:])
	}
	return fmt.Sprintf("%q", name)
}
