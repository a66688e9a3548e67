package compiled

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/imprintkit/imprint/tpu/executable"
)

// A change replaces the constants of a layer in the program.
type change struct {
	*placed
	filter *executable.Filter // nil for a layer without weights
	stage  executable.Stage
	// One of these is set instead of filter and stage for an ADD or a SOFTMAX.
	sum     *executable.Sum
	softmax *executable.Softmax
}

// write returns the compiled model with all changes made, and its program. If the file changes,
// the program gets a new token. If a change can't be made, write returns only an error.
func (p *Pair) write(changes []change) ([]byte, *executable.Package, error) {
	file := slices.Clone(p.file)
	program, err := executable.Parse(file[p.options:][:p.size])
	if err != nil {
		return nil, nil, err
	}
	for _, c := range changes {
		if err := c.write(program); err != nil {
			return nil, nil, fmt.Errorf("layer %q: %w: %w", c.name, ErrCompiled, err)
		}
	}
	if err := checkShared(changes); err != nil {
		return nil, nil, err
	}
	if bytes.Equal(file, p.file) {
		return file, program, nil
	}
	// The token identifies the parameters. A driver does not send parameters if the chip already
	// holds parameters with the same token.
	h := sha256.New()
	for _, e := range program.Executables {
		h.Write(e.Parameters)
		for _, c := range e.Chunks {
			h.Write(c.Bytes)
		}
	}
	return file, program, program.SetToken(max(binary.LittleEndian.Uint64(h.Sum(nil)), 1))
}

// checkShared returns an error if changes would write different stages to the same place.
func checkShared(changes []change) error {
	stages := map[executable.StagePlace]executable.Stage{}
	for _, c := range changes {
		if c.layer.stage == nil {
			continue
		}
		for _, at := range c.stages {
			if s, ok := stages[at]; ok && s != c.stage {
				return fmt.Errorf("layer %q: %w: another layer shares its constants in the compiled model, but not in the new model", c.name, ErrCompiled)
			}
			stages[at] = c.stage
		}
	}
	return nil
}

// write applies the change to program.
func (c *change) write(program *executable.Package) error {
	if c.filter != nil {
		if err := c.writeFilter(program); err != nil {
			return err
		}
	}
	switch {
	case c.sum != nil:
		if *c.sum != *c.layer.sum {
			program.Main.PutSum(*c.sumAt, *c.sum)
		}
		return nil
	case c.softmax != nil:
		if *c.softmax != *c.layer.softmax {
			program.Main.PutSoftmax(*c.softmaxAt, *c.softmax, program.Caching.Parameters)
		}
		return nil
	case c.layer.stage == nil || c.stage == *c.layer.stage:
		return nil
	case len(c.stages) == 0:
		return errors.New("its constants were not found in the instructions and can't change")
	}
	for _, at := range c.stages {
		program.Main.PutStage(at, c.stage)
	}
	return nil
}

// writeFilter writes the new weights and biases over the old ones.
func (c *change) writeFilter(program *executable.Package) error {
	old, f := c.layer.filter, *c.filter
	f.Group = old.Group
	if reflect.DeepEqual(old, &f) {
		return nil
	}
	if c.found != 1 {
		return fmt.Errorf("its weights are at %d places in the parameters, want 1", c.found)
	}
	if !sameShape(old, c.filter) {
		return fmt.Errorf("its shape is %s, but %s in the new model", shape(old), shape(c.filter))
	}
	form := c.place.Form
	if form.NoBias && slices.ContainsFunc(c.filter.Biases, func(b int32) bool { return b != 0 }) {
		return errors.New("it has no room for biases, because its biases were all 0 when it was compiled")
	}
	if !form.NoBias && f.Biases == nil {
		f.Biases = make([]int32, f.Outputs)
	}
	copy(c.parameters(program)[c.place.Offset:], f.Encode(form))
	return nil
}

func sameShape(a, b *executable.Filter) bool {
	return a.Outputs == b.Outputs && a.Inputs == b.Inputs && a.Height == b.Height && a.Width == b.Width &&
		a.Depthwise == b.Depthwise && a.FullyConnected == b.FullyConnected && (a.Multipliers == nil) == (b.Multipliers == nil)
}

func shape(f *executable.Filter) string {
	s := fmt.Sprintf("%d×%d×%d×%d", f.Outputs, f.Height, f.Width, f.Inputs)
	if f.Multipliers != nil {
		s += " quantized per channel"
	}
	return s
}
