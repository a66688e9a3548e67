package executable

import (
	"fmt"
	"math"
)

const (
	// maxTensor is the maximum size of a layer, in bytes.
	maxTensor = 1 << 28
	// maxTraffic is the maximum number of bytes that one run of an executable
	// transfers.
	maxTraffic = 1 << 30
	// maxLayers is the maximum number of inputs of one executable, and the maximum number of
	// outputs. Known executables have up to six.
	maxLayers = 64
	// maxPixels is the maximum number of pixels in the tiled layers of an
	// executable. checkLayout visits each of them.
	maxPixels = 1 << 22
	// instructionSize is the size of an instruction in bytes.
	instructionSize = 16
)

// check returns an error unless the parts of an executable are consistent. Code that follows hints,
// fields and layouts relies on this check.
func (e *Executable) check() error {
	if e.BatchSize != 1 {
		return fmt.Errorf("batches of %d: %w", e.BatchSize, ErrUnsupported)
	}
	if e.ParametersInTPUMemory {
		return fmt.Errorf("parameters in off-chip memory, which Coral devices lack: %w", ErrUnsupported)
	}
	if e.ScratchBytes < 0 || e.ScratchBytes > maxTensor {
		return corrupt("%d bytes of scratch", e.ScratchBytes)
	}
	if e.EstimatedCycles < 0 || e.NarrowMemoryPerTile < 0 {
		return corrupt("%d cycles and %d bytes of narrow memory", e.EstimatedCycles, e.NarrowMemoryPerTile)
	}
	if err := e.checkLayers(); err != nil {
		return err
	}
	if len(e.Chunks) == 0 {
		return corrupt("no instructions")
	}
	for i := range e.Chunks {
		if err := e.checkChunk(&e.Chunks[i]); err != nil {
			return fmt.Errorf("instruction chunk %d: %w", i, err)
		}
	}
	total := 0
	for i, h := range e.Hints {
		n, err := e.checkHint(h)
		if err != nil {
			return fmt.Errorf("hint %d: %w", i, err)
		}
		if total += n; total > maxTraffic {
			return fmt.Errorf("one run transfers more than %d bytes: %w", maxTraffic, ErrTooLarge)
		}
	}
	return nil
}

func (e *Executable) checkLayers() error {
	pixels := 0
	for _, list := range [...][]Layer{e.Inputs, e.Outputs} {
		if len(list) > maxLayers {
			return fmt.Errorf("%d layers: %w", len(list), ErrTooLarge)
		}
		names := map[string]bool{}
		for i := range list {
			l := &list[i]
			if names[l.Name] {
				return corrupt("two layers named %q", l.Name)
			}
			names[l.Name] = true
			if err := l.check(&pixels); err != nil {
				return fmt.Errorf("layer %q: %w", l.Name, err)
			}
		}
	}
	return nil
}

func (e *Executable) checkChunk(c *InstructionChunk) error {
	if len(c.Bytes) == 0 || len(c.Bytes)%instructionSize != 0 {
		return corrupt("%d bytes", len(c.Bytes))
	}
	for i, f := range c.Fields {
		if f.Bit < 0 || f.Bit > 8*len(c.Bytes)-32 {
			return corrupt("field %d at bit %d of %d bytes", i, f.Bit, len(c.Bytes))
		}
		if err := e.checkBuffer(f.Buffer, f.Name, f.Batch); err != nil {
			return fmt.Errorf("field %d: %w", i, err)
		}
	}
	return nil
}

// checkBuffer tests that e has the buffer that a field or hint refers to.
func (e *Executable) checkBuffer(b Buffer, name string, batch int) error {
	if batch < 0 || batch >= e.BatchSize {
		return corrupt("batch %d of %d", batch, e.BatchSize)
	}
	if b == Input && e.Input(name) == nil || b == Output && e.Output(name) == nil {
		return corrupt("no %s %q", b, name)
	}
	return nil
}

// checkHint checks a hint and returns the number of bytes that it transfers.
func (e *Executable) checkHint(h Hint) (int, error) {
	switch h.Kind {
	case Instructions:
		if h.Chunk < 0 || h.Chunk >= len(e.Chunks) {
			return 0, corrupt("instruction chunk %d of %d", h.Chunk, len(e.Chunks))
		}
		return len(e.Chunks[h.Chunk].Bytes), nil
	case Transfer:
	default:
		return 0, nil
	}
	if err := e.checkBuffer(h.Buffer, h.Name, h.Batch); err != nil {
		return 0, err
	}
	size, out := 0, false
	switch h.Buffer {
	case Input:
		size = e.Input(h.Name).Size
	case Output:
		size, out = e.Output(h.Name).Size, true
	case Parameter:
		size = len(e.Parameters)
	case Scratch:
		size, out = e.ScratchBytes, h.Out
	}
	if h.Out != out {
		return 0, corrupt("%s is transferred in the wrong direction", h.Buffer)
	}
	if h.Offset < 0 || h.Size <= 0 || h.Size > size-h.Offset {
		return 0, corrupt("bytes %d…%d of %d in %s %q", h.Offset, h.Offset+h.Size, size, h.Buffer, h.Name)
	}
	return h.Size, nil
}

// check returns an error unless the layer is consistent. It adds the number of pixels that it
// visits to *pixels.
func (l *Layer) check(pixels *int) error {
	element := l.Type.Size()
	if element == 0 {
		return corrupt("data type %d", l.Type)
	}
	n := element
	for _, d := range [...]int{l.Y, l.X, l.Z} {
		if d < 1 {
			return corrupt("dimensions %d×%d×%d", l.Y, l.X, l.Z)
		}
		if d > maxTensor/n {
			return fmt.Errorf("dimensions %d×%d×%d: %w", l.Y, l.X, l.Z, ErrTooLarge)
		}
		n *= d
	}
	if l.Size > maxTensor {
		return fmt.Errorf("%d bytes: %w", l.Size, ErrTooLarge)
	}
	if s := float64(l.Scale); math.IsNaN(s) || math.IsInf(s, 0) {
		return corrupt("scale %g", l.Scale)
	}
	if l.tiled() {
		if *pixels += l.Y * l.X; *pixels > maxPixels {
			return fmt.Errorf("more than %d pixels in tiled layers: %w", maxPixels, ErrTooLarge)
		}
		return l.checkLayout()
	}
	if l.Size < n {
		return corrupt("%d bytes for a tensor of %d bytes", l.Size, n)
	}
	return nil
}

// checkLayout tests that every pixel lies in the layer's bytes, and sets inOrder.
func (l *Layer) checkLayout() error {
	l.inOrder = true
	for y := range l.Y {
		for x := range l.X {
			at, ok := l.Layout.index(y, x)
			if !ok || at > l.Size || int64(at+l.Z)*int64(l.Type.Size()) > int64(l.Size) {
				return corrupt("pixel %d, %d is outside the %d bytes", y, x, l.Size)
			}
			l.inOrder = l.inOrder && at == (y*l.X+x)*l.Z
		}
	}
	return nil
}

// CheckTensors returns an error that wraps ErrCorrupt unless p fits an operator whose input and
// output tensors have the given sizes in bytes.
func (p *Package) CheckTensors(inputs, outputs []int) error {
	for _, side := range []struct {
		what   string
		layers []Layer
		sizes  []int
	}{{"input", p.Main.Inputs, inputs}, {"output", p.Main.Outputs, outputs}} {
		if len(side.layers) != len(side.sizes) {
			return fmt.Errorf("the operator has %d %ss and its program %d: %w", len(side.sizes), side.what, len(side.layers), ErrCorrupt)
		}
		for i := range side.layers {
			if l := &side.layers[i]; l.TensorSize() != side.sizes[i] {
				return fmt.Errorf("%s %q has %d bytes in the model and %d in its program: %w", side.what, l.Name, side.sizes[i], l.TensorSize(), ErrCorrupt)
			}
		}
	}
	return nil
}
