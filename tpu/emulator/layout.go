package emulator

import (
	"encoding/binary"
	"math"
	"slices"
)

// layout describes where a layer's weights are in the parameter stream. The stream consists of tiles. A tile holds the
// weights of rows output channels, in blocks of 4 input channels. Each tile begins with a header. The header holds the
// biases and, for a layer quantized per channel, the multipliers and zero points.
//
// If a RESHAPE splits the output channels, as in the class predictors of an SSD, the compiler may pad each group of
// channels to a multiple of 4.
type layout struct {
	outputs, inputs, height, width int // shape of the filter; a depthwise filter has as many inputs as outputs
	depthwise                      bool
	group                          int // number of output channels of a group; without groups, the same as outputs
	rows                           int // number of output channels of a tile
	perChannel, bias               bool
	// inputsFirst orders weights by block of input channels, then by filter position. By default filter position comes
	// first.
	inputsFirst bool
	offset      int // offset in the stream in bytes
}

// up rounds n up to a multiple of k.
func up(n, k int) int { return (n + k - 1) / k * k }

func (l *layout) header() int {
	words := 0
	if l.perChannel {
		words += 2
	}
	if l.bias {
		words++
	}
	return 4 * l.rows * words
}

// tile returns the size of a tile in bytes. A depthwise tile has a square matrix per filter position, with the weights
// on its diagonal.
func (l *layout) tile() int {
	if l.depthwise {
		return l.header() + l.height*l.width*l.rows*4
	}
	return l.header() + l.height*l.width*up(l.inputs, 4)*l.rows
}

func (l *layout) size() int { return up(l.tiles()*l.tile(), 64) }

func (l *layout) tiles() int { return (l.padded() + l.rows - 1) / l.rows }

// padded returns the number of output channels with the padding of groups.
func (l *layout) padded() int {
	if l.group == l.outputs {
		return l.outputs
	}
	return l.outputs / l.group * up(l.group, 4)
}

// place returns the tile of an output channel, and the row in the tile.
func (l *layout) place(o int) (tile, row int) {
	row = o/l.group*up(l.group, 4) + o%l.group
	return row / l.rows, row % l.rows
}

func (l *layout) multiplierAt(o int) int {
	tile, row := l.place(o)
	return l.offset + tile*l.tile() + row*4
}

func (l *layout) biasAt(o int) int {
	at := l.multiplierAt(o)
	if l.perChannel {
		at += 4 * l.rows
	}
	return at
}

func (l *layout) zeroAt(o int) int {
	return l.multiplierAt(o) + l.header() - 4*l.rows
}

func (l *layout) weightAt(o, y, x, i int) int {
	position, positions := y*l.width+x, l.height*l.width
	tile, row := l.place(o)
	at := l.offset + tile*l.tile() + l.header()
	switch {
	case l.depthwise:
		return at + position*l.rows*4 + row*4 + row
	case l.inputsFirst:
		return at + (i/4*positions+position)*4*l.rows + 4*row + i%4
	}
	return at + (position*(up(l.inputs, 4)/4)+i/4)*4*l.rows + 4*row + i%4
}

// eachWeight calls visit with each weight's index in TensorFlow Lite's order and its place in the stream, until visit
// returns false.
func (l *layout) eachWeight(visit func(i, at int) bool) bool {
	n := 0
	if l.depthwise {
		for y := range l.height {
			for x := range l.width {
				for o := range l.outputs {
					if !visit(n, l.weightAt(o, y, x, 0)) {
						return false
					}
					n++
				}
			}
		}
		return true
	}
	for o := range l.outputs {
		for y := range l.height {
			for x := range l.width {
				for i := range l.inputs {
					if !visit(n, l.weightAt(o, y, x, i)) {
						return false
					}
					n++
				}
			}
		}
	}
	return true
}

// fits reports whether the stream holds exactly these unsigned weights and biases at the layout's offset.
func (l *layout) fits(stream, weights []byte, biases []int32) bool {
	if l.offset < 0 || l.offset+l.tiles()*l.tile() > len(stream) {
		return false
	}
	if !l.eachWeight(func(i, at int) bool { return stream[at] == weights[i] }) {
		return false
	}
	for o, b := range biases {
		if l.bias && int32At(stream, l.biasAt(o)) != b {
			return false
		}
	}
	return true
}

// find searches the stream for the layer and sets the layout's order, group and offset. It starts at the offset given by
// from. Only the bytes show which of several orders the compiler chose. Compilers may leave out biases that are all 0.
// groups holds the sizes that groups may have.
func (l *layout) find(stream []byte, from int, weights []byte, biases []int32, groups []int) bool {
	var forms []layout
	for _, group := range groups {
		f := *l
		f.group = group
		forms = f.appendForms(forms, biases)
	}
	try := func(offset int) bool {
		for _, f := range forms {
			f.offset = offset
			if f.fits(stream, weights, biases) {
				*l = f
				return true
			}
		}
		return false
	}
	if try(from) {
		return true
	}
	for offset := 0; offset < len(stream); offset += 64 {
		if try(offset) {
			return true
		}
	}
	return false
}

// appendForms appends the layouts that the compiler may have chosen for a layer with l's shape and group.
func (l *layout) appendForms(forms []layout, biases []int32) []layout {
	zero := !slices.ContainsFunc(biases, func(b int32) bool { return b != 0 })
	for _, rows := range l.tileRows() {
		for _, inputsFirst := range []bool{false, true} {
			for _, bias := range []bool{true, false} {
				if !bias && !zero || bias && biases == nil {
					continue
				}
				f := *l
				f.rows, f.inputsFirst, f.bias = rows, inputsFirst, bias
				forms = append(forms, f)
			}
		}
	}
	return forms
}

// tileRows returns the numbers of rows that a tile may have.
func (l *layout) tileRows() []int {
	switch n := l.padded(); {
	case l.depthwise:
		return []int{4}
	case n > 64:
		return []int{64}
	case n > 4:
		return []int{up(n, 16)}
	}
	return []int{4, 16}
}

func int32At(b []byte, at int) int32 { return int32(binary.LittleEndian.Uint32(b[at:])) }

func float32At(b []byte, at int) float32 {
	return math.Float32frombits(binary.LittleEndian.Uint32(b[at:]))
}
