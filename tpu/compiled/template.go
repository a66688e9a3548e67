// Package template writes weights into a model that Google's compiler made for the
// Edge TPU, in the place of its own: a new last layer, or all layers of a model of the
// same architecture. Start with [Open], which takes a compiled model, the template,
// and the uncompiled model that it was compiled from, its twin.
//
// Where a layer is in the compiled model is found by making its bytes anew from the
// twin: what can't be made exactly is not written. All else in the template stays as
// it is.
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
	// ErrTwin is wrapped when the twin is no model that was compiled.
	ErrUncompiled = errors.New("unfitting uncompiled model")
	// ErrTemplate is wrapped when the compiled model does not hold the twin's layers
	// where and as it should.
	ErrCompiled = errors.New("unfitting template")
)

// A Template is a compiled model with what is known of where its layers are. It is
// never changed.
type Pair struct {
	file     []byte
	model    *tflite.Model
	options  int // where the operator's custom options begin in file
	size     int
	twin     *tflite.Model
	program  *executable.Package
	layers   []placed
	operator int
	rest     map[int]int // operators of the twin that are on the CPU: which of the template's they are
}

// placed is a layer of the twin and where it is in the program.
type placed struct {
	layer
	streamed bool // among the parameters of Main, not of Caching
	place    executable.Place
	found    int // places with the same bytes; 0 if the weights were not found
	stages   []executable.StagePlace
	sumAt    *executable.SumPlace // nil if it was not found
}

// Open reads a compiled model and its twin and finds the twin's layers in it. It keeps
// compiled, which must not change.
func Open(compiled, twin []byte) (*Pair, error) {
	t := &Pair{file: compiled, operator: -1}
	var err error
	if t.model, err = tflite.Parse(compiled); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if t.twin, err = tflite.Parse(twin); err != nil {
		return nil, fmt.Errorf("read the uncompiled model: %w", err)
	}
	if len(t.model.Subgraphs) != 1 {
		return nil, fmt.Errorf("read the template: %w: it has %d subgraphs", ErrCompiled, len(t.model.Subgraphs))
	}
	for i, op := range t.model.Subgraphs[0].Operators {
		if t.model.OperatorCodes[op.Opcode].CustomCode == executable.CustomOperator {
			if t.operator >= 0 {
				return nil, fmt.Errorf("read the template: %w: two of its operators are for the Edge TPU", ErrCompiled)
			}
			t.operator = i
		}
	}
	switch {
	case t.operator < 0 && compiledFor(t.twin):
		return nil, fmt.Errorf("%w: it is not compiled for the Edge TPU, and the uncompiled model is: they are in each other's place", ErrCompiled)
	case t.operator < 0:
		return nil, fmt.Errorf("%w: it is not compiled for the Edge TPU", ErrCompiled)
	}
	options := t.model.Subgraphs[0].Operators[t.operator].CustomOptions
	t.options, t.size = bytes.Index(compiled, options), len(options)
	if t.program, err = executable.Parse(options); err != nil {
		return nil, fmt.Errorf("read the template: %w", err)
	}
	if compiledFor(t.twin) {
		return nil, fmt.Errorf("read the uncompiled model: %w: it is compiled for the Edge TPU itself", ErrUncompiled)
	}
	all, err := layers(t.twin)
	if err != nil {
		return nil, fmt.Errorf("read the uncompiled model: %w", err)
	}
	t.matchRest()
	next, filters, found := 0, 0, 0
	for _, l := range all {
		p := t.find(l, next)
		if p.found > 0 && !p.streamed {
			next = p.place.Offset + up64(l.filter.Size(p.place.Form))
		}
		t.layers = append(t.layers, p)
		if l.filter != nil && !t.onCPU(l.operator) {
			filters++
			found += min(p.found, 1)
		}
	}
	// Of sums with the same constants none can become another.
	for i := range t.layers {
		for j := range t.layers[:i] {
			if a, b := &t.layers[i], &t.layers[j]; a.sumAt != nil && b.sum != nil && *a.sum == *b.sum {
				a.sumAt, b.sumAt = nil, nil
			}
		}
	}
	if filters > 0 && found == 0 {
		return nil, fmt.Errorf("%w: none of its %d layers with weights is in the template, which was compiled from another model", ErrUncompiled, filters)
	}
	return t, nil
}

// compiledFor reports whether m has an operator for the Edge TPU.
func compiledFor(m *tflite.Model) bool {
	return slices.ContainsFunc(m.OperatorCodes, func(c tflite.OperatorCode) bool { return c.CustomCode == executable.CustomOperator })
}

func up64(n int) int { return (n + 63) / 64 * 64 }

// find looks for a layer, which compilers place behind the one before it.
func (t *Pair) find(l layer, next int) placed {
	p := placed{layer: l}
	if l.stage != nil {
		p.stages = t.program.Main.FindStages(*l.stage)
	}
	if l.sum != nil {
		if at, ok := t.program.Main.FindSum(*l.sum); ok {
			p.sumAt = &at
		}
	}
	if l.filter == nil {
		return p
	}
	if t.program.Caching != nil {
		places := l.filter.Find(t.program.Caching.Parameters)
		p.found = len(places)
		for i, place := range places {
			if i == 0 || place.Offset == next {
				p.place = place
			}
		}
	}
	if p.found == 0 {
		places := l.filter.Find(t.program.Main.Parameters)
		if p.found, p.streamed = len(places), true; p.found > 0 {
			p.place = places[0]
		}
	}
	return p
}

// parameters are those of a program among which the layer is.
func (l *placed) parameters(p *executable.Package) []byte {
	if l.streamed {
		return p.Main.Parameters
	}
	return p.Caching.Parameters
}
