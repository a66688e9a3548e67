package executable

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"slices"
)

// A Filter holds the weights of a convolution or fully connected layer, as a compiler writes them
// into an executable's parameters. The format is not published; it was found by comparing compiled
// models with their uncompiled models.
//
// Codes are unsigned: a signed code is XORed with 80h.
type Filter struct {
	Outputs, Inputs, Height, Width int // a depthwise filter has one input per output
	Depthwise                      bool
	FullyConnected                 bool // if set, up to 4 outputs are padded to 16 instead of 4
	// Group, if not 0, is the number of outputs that are padded together to a multiple of 4. Compilers write
	// the class predictors of an SSD so, whose outputs a RESHAPE splits into groups. No filter quantized per channel
	// is known to be grouped.
	Group int
	// Weights are codes in TensorFlow Lite's order: [output][y][x][input], or
	// [y][x][output] for a depthwise filter.
	Weights []byte
	Zeros   []byte  // zero points of the weights: one, or one per output
	Biases  []int32 // one per output; nil if the layer has none
	// Multipliers has one element per output. It is nil unless the layer is quantized per channel.
	Multipliers []float32
}

// A Form is one of the ways in which compilers write a filter.
type Form struct {
	// InputsFirst orders weights by input block, then by filter position. By default filter
	// position comes first. All known filters larger than 1×1 with more than 80 inputs have it, and
	// none with fewer than 32. It is not known when compilers choose it in between.
	InputsFirst bool
	// NoBias omits the biases. Compilers may do so if all are 0.
	NoBias bool
}

// Forms returns the forms that a compiler may have used for f.
func (f *Filter) Forms() []Form {
	zero := true
	for _, b := range f.Biases {
		zero = zero && b == 0
	}
	var forms []Form
	for _, first := range []bool{false, true} {
		if first && (f.Depthwise || f.Height*f.Width == 1 || f.Inputs <= 4) {
			break
		}
		if f.Biases != nil {
			forms = append(forms, Form{InputsFirst: first})
		}
		if zero {
			forms = append(forms, Form{InputsFirst: first, NoBias: true})
		}
	}
	return forms
}

// rows returns the number of outputs in a tile, including padding.
func (f *Filter) rows() int {
	switch {
	case f.Depthwise:
		return 4
	case f.Outputs > 64:
		return 64
	case f.Outputs > 4 || f.FullyConnected:
		return up(f.Outputs, 16)
	}
	return 4
}

// up rounds n up to a multiple of k.
func up(n, k int) int { return (n + k - 1) / k * k }

// header returns the number of bytes before the weights of a tile.
func (f *Filter) header(form Form) int {
	words := 0
	if f.Multipliers != nil {
		words = 2
	}
	if !form.NoBias {
		words++
	}
	return 4 * f.rows() * words
}

// tile returns the number of bytes of a tile. A depthwise tile has a 4×4 matrix for each filter
// position, with the weights on its diagonal.
func (f *Filter) tile(form Form) int {
	inputs := up(f.Inputs, 4)
	if f.Depthwise {
		inputs = 4
	}
	return f.header(form) + f.Height*f.Width*inputs*f.rows()
}

func (f *Filter) tiles() int { return (f.Outputs + f.rows() - 1) / f.rows() }

// Size returns the encoded size of f in bytes. In an executable's parameters it is padded to a
// multiple of 64.
func (f *Filter) Size(form Form) int {
	if f.Group > 0 {
		g := Filter{Outputs: f.Outputs / f.Group * up(f.Group, 4), Inputs: f.Inputs, Height: f.Height, Width: f.Width, FullyConnected: f.FullyConnected}
		return g.Size(form)
	}
	return f.tiles() * f.tile(form)
}

// Check returns an error that wraps ErrCorrupt unless the parts of f are consistent.
func (f *Filter) Check() error {
	places := f.Height * f.Width
	if f.Outputs < 1 || f.Inputs < 1 || places < 1 || f.Depthwise && f.Inputs != 1 {
		return fmt.Errorf("filter of %d outputs, %d inputs, %d×%d: %w", f.Outputs, f.Inputs, f.Height, f.Width, ErrCorrupt)
	}
	if f.Group < 0 || f.Group > 0 && (f.Outputs%f.Group != 0 || f.Depthwise || f.Multipliers != nil) {
		return fmt.Errorf("filter of %d outputs in groups of %d: %w", f.Outputs, f.Group, ErrCorrupt)
	}
	if len(f.Weights) != f.Outputs*places*f.Inputs || len(f.Zeros) != 1 && len(f.Zeros) != f.Outputs ||
		f.Biases != nil && len(f.Biases) != f.Outputs || f.Multipliers != nil && len(f.Multipliers) != f.Outputs {
		return fmt.Errorf("filter of %d outputs, %d inputs, %d×%d with %d weights, %d zero points, %d biases, %d multipliers: %w",
			f.Outputs, f.Inputs, f.Height, f.Width, len(f.Weights), len(f.Zeros), len(f.Biases), len(f.Multipliers), ErrCorrupt)
	}
	return nil
}

func (f *Filter) zero(output int) byte {
	if len(f.Zeros) == 1 {
		return f.Zeros[0]
	}
	return f.Zeros[output]
}

// grouped returns f with the padding of its groups as further outputs: zero points as weights, and biases of 0.
func (f *Filter) grouped() *Filter {
	size, padded := f.Height*f.Width*f.Inputs, up(f.Group, 4)
	g := *f
	g.Group, g.Outputs, g.Weights, g.Biases = 0, f.Outputs/f.Group*padded, nil, nil
	for o := 0; o < f.Outputs; o += f.Group {
		g.Weights = append(g.Weights, f.Weights[o*size:][:f.Group*size]...)
		g.Weights = append(g.Weights, slices.Repeat([]byte{f.zero(0)}, (padded-f.Group)*size)...)
		if f.Biases != nil {
			g.Biases = append(append(g.Biases, f.Biases[o:][:f.Group]...), make([]int32, padded-f.Group)...)
		}
	}
	return &g
}

// Encode returns f as a compiler writes it in the given form. f must pass Check.
func (f *Filter) Encode(form Form) []byte {
	b := make([]byte, f.Size(form))
	f.encode(b, form)
	return b
}

// encode writes f to b, which has its size and is 0.
func (f *Filter) encode(b []byte, form Form) {
	if f.Group > 0 {
		f.grouped().encode(b, form)
		return
	}
	rows, tile := f.rows(), f.tile(form)
	for o := range up(f.Outputs, rows) {
		f.encodeHeader(b[o/rows*tile:], o, form)
	}
	if f.Depthwise {
		for t := range f.tiles() {
			f.encodeDepthwise(b[t*tile+f.header(form):][:tile-f.header(form)], 4*t)
		}
		return
	}
	places, inputs := f.Height*f.Width, up(f.Inputs, 4)
	for o := range up(f.Outputs, 4) {
		at := b[o/rows*tile+f.header(form)+4*(o%rows):]
		from := min(o, f.Outputs) * places * f.Inputs
		zero := f.zero(o % f.Outputs)
		if o >= f.Outputs {
			zero = f.zero(0)
		}
		for p := range places {
			for i := range inputs {
				block := p*(inputs/4) + i/4
				if form.InputsFirst {
					block = i/4*places + p
				}
				v := zero
				if o < f.Outputs && i < f.Inputs {
					v = f.Weights[from+p*f.Inputs+i]
				}
				at[block*4*rows+i%4] = v
			}
		}
	}
}

// encodeHeader writes the multiplier, bias and zero point of output o, or the values that
// compilers put there if o is padding.
func (f *Filter) encodeHeader(b []byte, o int, form Form) {
	rows := f.rows()
	put := func(v uint32) {
		binary.LittleEndian.PutUint32(b[4*(o%rows):], v)
		b = b[4*rows:]
	}
	padding := o >= up(f.Outputs, 4) // the rest of the last group of 4 repeats output 0
	of := o
	if o >= f.Outputs {
		of = 0
	}
	if f.Multipliers != nil {
		m := f.Multipliers[of]
		if padding {
			m = 0
			if f.Outputs > 64 {
				m = 1
			}
		}
		put(math.Float32bits(m))
	}
	if !form.NoBias {
		if o < f.Outputs {
			put(uint32(f.Biases[o]))
		} else {
			put(0)
		}
	}
	if f.Multipliers != nil {
		if padding {
			put(0)
		} else {
			put(uint32(f.zero(of)))
		}
	}
}

// encodeDepthwise writes the weights of the tile whose first output is first.
func (f *Filter) encodeDepthwise(b []byte, first int) {
	for p := range f.Height * f.Width {
		for row := range 4 {
			o := first + row
			zero := f.zero(min(o, f.Outputs) % f.Outputs)
			for i := range 4 {
				v := zero
				if i == row && o < f.Outputs {
					v = f.Weights[p*f.Outputs+o]
				}
				b[p*16+row*4+i] = v
			}
		}
	}
}

// Decode is the inverse of Encode: it fills the weights, biases and per-channel values of f from
// parameters in the given form. The shape of f must be set.
func (f *Filter) Decode(b []byte, form Form) error {
	if len(b) < f.Size(form) {
		return fmt.Errorf("%d bytes for a filter that takes %d: %w", len(b), f.Size(form), ErrCorrupt)
	}
	if f.Group > 0 {
		return f.decodeGrouped(b, form)
	}
	rows, tile, places := f.rows(), f.tile(form), f.Height*f.Width
	f.Weights = make([]byte, f.Outputs*places*f.Inputs)
	if f.Multipliers != nil {
		f.Multipliers, f.Zeros = make([]float32, f.Outputs), make([]byte, f.Outputs)
	}
	if !form.NoBias {
		f.Biases = make([]int32, f.Outputs)
	}
	for o := range f.Outputs {
		t := b[o/rows*tile:][:tile]
		word := func() uint32 {
			v := binary.LittleEndian.Uint32(t[4*(o%rows):])
			t = t[4*rows:]
			return v
		}
		if f.Multipliers != nil {
			f.Multipliers[o] = math.Float32frombits(word())
		}
		if !form.NoBias {
			f.Biases[o] = int32(word())
		}
		if f.Multipliers != nil {
			f.Zeros[o] = byte(word())
		}
		for p := range places {
			if f.Depthwise {
				f.Weights[p*f.Outputs+o] = t[p*16+o%4*5]
				continue
			}
			for i := range f.Inputs {
				block := p*(up(f.Inputs, 4)/4) + i/4
				if form.InputsFirst {
					block = i/4*places + p
				}
				f.Weights[(o*places+p)*f.Inputs+i] = t[block*4*rows+4*(o%rows)+i%4]
			}
		}
	}
	return nil
}

// decodeGrouped is Decode for a filter with groups. It leaves out the padding.
func (f *Filter) decodeGrouped(b []byte, form Form) error {
	padded := up(f.Group, 4)
	g := *f
	g.Group, g.Outputs = 0, f.Outputs/f.Group*padded
	if err := g.Decode(b, form); err != nil {
		return err
	}
	f.Weights, f.Biases = nil, nil
	for weights := range slices.Chunk(g.Weights, padded*f.Height*f.Width*f.Inputs) {
		f.Weights = append(f.Weights, weights[:len(weights)/padded*f.Group]...)
	}
	for o := 0; o < len(g.Biases); o += padded {
		f.Biases = append(f.Biases, g.Biases[o:][:f.Group]...)
	}
	return nil
}

// A Place locates a filter in parameters.
type Place struct {
	Offset int
	Form   Form
}

// A Finder finds filters in parameters. It reuses its memory, because a model may have thousands of filters. The zero
// value is ready to use.
type Finder struct{ encoded []byte }

// Find returns every place in parameters that holds exactly the bytes of f. Filters start at multiples of 64 bytes.
func (s *Finder) Find(f *Filter, parameters []byte) []Place {
	var found []Place
	for _, form := range f.Forms() {
		n := f.Size(form)
		if n > len(parameters) {
			continue
		}
		s.encoded = slices.Grow(s.encoded[:0], n)[:n]
		clear(s.encoded)
		f.encode(s.encoded, form)
		for at := 0; at+n <= len(parameters); at += 64 {
			if bytes.Equal(parameters[at:at+n], s.encoded) {
				found = append(found, Place{at, form})
			}
		}
	}
	return found
}
