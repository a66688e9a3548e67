// Package compiled writes weights into a model that Google's compiler made for the Edge TPU: a new
// last layer with [Pair.WriteLastLayer], or every layer of another model of the same architecture
// with [Pair.Retarget]. Call [Open] first, with a compiled model and the uncompiled model that it
// was compiled from.
//
// The compiler's format is not published. The package finds a layer in the compiled model by
// encoding the uncompiled model's weights and searching for the encoded bytes. It refuses to write
// a layer that it finds nowhere or at several places. The rest of the compiled model stays
// unchanged.
package compiled

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

var (
	// ErrUncompiled means that the compiler does not accept the uncompiled model, or that the
	// compiled model was made from another model.
	ErrUncompiled = errors.New("unsuitable uncompiled model")
	// ErrCompiled means that the compiled model, or a file made from it, lacks a required layer of
	// the uncompiled model, or has no room for the new layers.
	ErrCompiled = errors.New("unsuitable compiled model")
	// ErrLayer means that a LastLayer or its embeddings have inconsistent sizes, or values that
	// are not finite.
	ErrLayer = errors.New("invalid last layer")
)

// maxSearch is the maximum product of a model's layers and their search time. Each layer is searched
// for in the whole program, so this limits the time of Open to about two seconds. A ResNet-152, one
// of the largest models for the Edge TPU, has about 220 layers and 60 MB of parameters.
const maxSearch = 1 << 35

// searchTime estimates the time to find one layer, in units of the time to search one byte of
// parameters. Filters start at multiples of 64 bytes, but every instruction may hold a stage.
func (p *Pair) searchTime() int64 {
	const perInstructionByte = 12
	n := int64(len(p.program.Main.Parameters))
	if p.program.Caching != nil {
		n += int64(len(p.program.Caching.Parameters))
	}
	for _, c := range p.program.Main.Chunks {
		n += perInstructionByte * int64(len(c.Bytes))
	}
	return n
}

// A Pair is a compiled model and the uncompiled model that it was made from, with the place of
// each layer in the compiled model. It is immutable and safe for concurrent use by multiple
// goroutines.
type Pair struct {
	file          []byte // the compiled model
	compiled      *tflite.Model
	operator      int // index of the operator for the Edge TPU in compiled
	options, size int // offset and size of the operator's custom options in file
	program       *executable.Package
	uncompiled    *tflite.Model
	sources       []source    // of the uncompiled model's tensors
	layers        []placed    // the uncompiled model's operators, in order
	cpuOps        map[int]int // for operators left to the CPU: index in the uncompiled model to index in the compiled model
}

// Open reads a compiled model and its uncompiled model, and finds the layers of the
// uncompiled model in the compiled one. The Pair keeps both slices, which must not
// change. Errors wrap ErrCompiled, ErrUncompiled, or an error of package tflite or
// executable.
func Open(compiled, uncompiled []byte) (*Pair, error) {
	p := &Pair{file: compiled}
	var err error
	if p.compiled, err = tflite.Parse(compiled); err != nil {
		return nil, fmt.Errorf("read the compiled model: %w", err)
	}
	if p.uncompiled, err = tflite.Parse(uncompiled); err != nil {
		return nil, fmt.Errorf("read the uncompiled model: %w", err)
	}
	if err := p.parseProgram(); err != nil {
		return nil, fmt.Errorf("read the compiled model: %w", err)
	}
	if isCompiled(p.uncompiled) {
		return nil, fmt.Errorf("read the uncompiled model: %w: it is compiled for the Edge TPU", ErrUncompiled)
	}
	layers, err := readLayers(p.uncompiled)
	if err != nil {
		return nil, fmt.Errorf("read the uncompiled model: %w", err)
	}
	if int64(len(layers))*p.searchTime() > maxSearch {
		return nil, fmt.Errorf("%w: %d layers are too many to find in a program of %d bytes", ErrCompiled, len(layers), p.size)
	}
	p.sources = sourcesOf(p.uncompiled)
	p.findCPUOps()
	p.findLayers(layers)
	weighted, found := 0, 0
	for i := range p.layers {
		if p.layers[i].filter != nil && !p.onCPU(i) {
			weighted++
			found += min(p.layers[i].found, 1)
		}
	}
	if name := p.multiplied(); found == 0 && weighted > 0 && name != "" {
		return nil, fmt.Errorf("%w: the compiler's layout of %q, a DEPTHWISE_CONV_2D with a channel multiplier, is not known, so the models can't be compared", ErrCompiled, name)
	}
	// A model that was trained again from the same backbone has some layers in common. All known
	// pairs have at least nine of ten.
	if 2*found < weighted {
		some := "none"
		if found > 0 {
			some = fmt.Sprint("only ", found)
		}
		return nil, fmt.Errorf("%w: the compiled model contains %s of its %d layers with weights, so it was made from another model", ErrUncompiled, some, weighted)
	}
	return p, nil
}

// multiplied returns the name of a depthwise layer with several outputs for each input channel, or
// "" if there is none.
func (p *Pair) multiplied() string {
	g := &p.uncompiled.Subgraphs[0]
	for i := range p.layers {
		if p.layers[i].kind != tflite.OpDepthwiseConv2D {
			continue
		}
		op := &g.Operators[p.layers[i].operator]
		in, out := g.Tensors[op.Inputs[0]].Shape, g.Tensors[op.Outputs[0]].Shape
		if len(in) == 4 && len(out) == 4 && out[3] > in[3] {
			return p.layers[i].name
		}
	}
	return ""
}

// parseProgram finds the compiled model's operator for the Edge TPU and parses it.
func (p *Pair) parseProgram() error {
	if len(p.compiled.Subgraphs) != 1 {
		return fmt.Errorf("%w: it has %d subgraphs, want 1", ErrCompiled, len(p.compiled.Subgraphs))
	}
	p.operator = -1
	for i, op := range p.compiled.Subgraphs[0].Operators {
		if p.compiled.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
			if p.operator >= 0 {
				return fmt.Errorf("%w: two of its operators are for the Edge TPU", ErrCompiled)
			}
			p.operator = i
		}
	}
	switch {
	case p.operator < 0 && isCompiled(p.uncompiled):
		return fmt.Errorf("%w: it is not compiled for the Edge TPU, but the uncompiled model is: the two are swapped", ErrCompiled)
	case p.operator < 0:
		return fmt.Errorf("%w: it is not compiled for the Edge TPU", ErrCompiled)
	}
	if slices.Contains(p.compiled.Subgraphs[0].Operators[p.operator].Inputs, -1) {
		return fmt.Errorf("%w: an input of its operator for the Edge TPU is missing", ErrCompiled)
	}
	options := p.compiled.Subgraphs[0].Operators[p.operator].CustomOptions
	p.options, p.size = bytes.Index(p.file, options), len(options)
	var err error
	p.program, err = executable.Parse(options)
	return err
}

// isCompiled reports whether m has an operator for the Edge TPU.
func isCompiled(m *tflite.Model) bool {
	return slices.ContainsFunc(m.OperatorCodes, func(c tflite.OperatorCode) bool { return c.CustomCode == executable.CustomOperator })
}

// placed is a layer of the uncompiled model and its place in the program.
type placed struct {
	layer
	streamed bool // the weights are among the parameters of Main, not of Caching
	place    executable.Place
	found    int // number of places that hold the weights
	stages   []executable.StagePlace
	sumAt    *executable.SumPlace // nil if it was not found

	softmaxAt *executable.SoftmaxPlace // nil if it was not found
}

// findLayers locates all layers in the program.
func (p *Pair) findLayers(layers []layer) {
	next := 0
	var filters executable.Finder
	for _, l := range layers {
		at := p.find(l, next, &filters)
		if at.found > 0 && !at.streamed {
			next = at.place.Offset + align64(at.filter.Size(at.place.Form))
		}
		p.layers = append(p.layers, at)
	}
	p.assignStages()
	// Nothing distinguishes two sums with equal constants, so neither may change.
	equal := make(map[executable.Sum]int)
	for i := range p.layers {
		if sum := p.layers[i].sum; sum != nil {
			equal[*sum]++
		}
	}
	for i := range p.layers {
		if l := &p.layers[i]; l.sum != nil && equal[*l.sum] > 1 {
			l.sumAt = nil
		}
	}
}

// assignStages decides which layer each stage in the instructions belongs to.
func (p *Pair) assignStages() {
	candidates := make([][]executable.StagePlace, len(p.layers))
	for i := range p.layers {
		candidates[i] = p.layers[i].allStages()
	}
	executable.AssignPlaces(candidates)
	for i := range p.layers {
		l := &p.layers[i]
		l.stages = intersect(l.stages, candidates[i])
		if l.softmaxAt != nil {
			for k, s := range l.softmaxAt.Stages {
				l.softmaxAt.Stages[k] = intersect(s, candidates[i])
			}
			if !l.softmaxAt.Complete() {
				l.softmaxAt = nil
			}
		}
	}
}

// allStages returns a new slice of all places that may hold a stage of the layer.
func (l *placed) allStages() []executable.StagePlace {
	all := slices.Clone(l.stages)
	if l.sumAt != nil {
		all = append(all, l.sumAt.Stages...)
	}
	if l.softmaxAt != nil {
		all = append(all, slices.Concat(l.softmaxAt.Stages[:]...)...)
	}
	return all
}

func intersect(a, b []executable.StagePlace) []executable.StagePlace {
	in := make(map[executable.StagePlace]bool, len(b))
	for _, p := range b {
		in[p] = true
	}
	return slices.DeleteFunc(a, func(p executable.StagePlace) bool { return !in[p] })
}

// find locates one layer in the program. If several places hold the layer's weights, find takes
// the place at offset next, because the compiler places each layer after the previous one.
func (p *Pair) find(l layer, next int, filters *executable.Finder) placed {
	at := placed{layer: l}
	if l.stage != nil {
		at.stages = p.program.Main.FindStages(*l.stage)
	}
	if l.sum != nil {
		if place, ok := p.program.Main.FindSum(*l.sum); ok {
			at.sumAt = &place
		}
	}
	if l.softmax != nil && p.program.Caching != nil {
		if place, ok := p.program.Main.FindSoftmax(*l.softmax, p.program.Caching.Parameters); ok {
			at.softmaxAt = &place
		}
	}
	if l.filter == nil {
		return at
	}
	p.findFilter(&at, next, filters)
	if n := p.groupOf(&l); at.found == 0 && n > 0 {
		grouped := *l.filter
		grouped.Group = n
		at.filter = &grouped
		if p.findFilter(&at, next, filters); at.found == 0 {
			at.filter = l.filter
		}
	}
	return at
}

// groupOf returns the number of outputs of a CONV_2D that a RESHAPE keeps together, or 0 if the compiler
// does not pad them.
func (p *Pair) groupOf(l *layer) int {
	g := &p.uncompiled.Subgraphs[0]
	if l.kind != tflite.OpConv2D || l.filter.Multipliers != nil {
		return 0
	}
	out := g.Operators[l.operator].Outputs[0]
	for i := range g.Operators {
		op := &g.Operators[i]
		if p.uncompiled.OperatorCodes[op.Opcode].Builtin != tflite.OpReshape || op.Inputs[0] != out {
			continue
		}
		shape := g.Tensors[op.Outputs[0]].Shape
		if n := len(shape); n > 0 && shape[n-1] > 0 && int(shape[n-1]) < l.filter.Outputs && l.filter.Outputs%int(shape[n-1]) == 0 && shape[n-1]%4 != 0 {
			return int(shape[n-1])
		}
	}
	return 0
}

// findFilter locates the weights of a layer.
func (p *Pair) findFilter(at *placed, next int, filters *executable.Finder) {
	at.streamed = false
	if p.program.Caching != nil {
		places := filters.Find(at.filter, p.program.Caching.Parameters)
		at.found = len(places)
		for i, place := range places {
			if i == 0 || place.Offset == next {
				at.place = place
			}
		}
	}
	if at.found == 0 {
		places := filters.Find(at.filter, p.program.Main.Parameters)
		if at.found, at.streamed = len(places), true; at.found > 0 {
			at.place = places[0]
		}
	}
}

// parameters returns the parameters of program that contain the layer's weights.
func (l *placed) parameters(program *executable.Package) []byte {
	if l.streamed {
		return program.Main.Parameters
	}
	return program.Caching.Parameters
}

// align64 rounds n up to a multiple of 64, the compiler's alignment of layers.
func align64(n int) int { return (n + 63) / 64 * 64 }
