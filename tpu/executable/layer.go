package executable

import "fmt"

// A DataType is the type of a layer's elements.
type DataType uint8

// The element types.
const (
	Uint8    DataType = 0
	Uint16   DataType = 1
	Int32    DataType = 2
	BFloat16 DataType = 3
	Float16  DataType = 4
	Float32  DataType = 5
	Int8     DataType = 8
	Int16    DataType = 9
)

// Size is the number of bytes of one element, 0 for an unknown type.
func (t DataType) Size() int {
	switch t {
	case Uint8, Int8:
		return 1
	case Uint16, BFloat16, Float16, Int16:
		return 2
	case Int32, Float32:
		return 4
	}
	return 0
}

// signed reports whether the device keeps values with their top bit flipped.
func (t DataType) signed() bool { return t == Int8 || t == Int16 }

func (t DataType) String() string {
	return enum(int(t), "uint8", "uint16", "int32", "bfloat16", "float16", "float32", "", "", "int8", "int16")
}

// A Range is the places from First to Last of a dimension.
type Range struct{ First, Last int }

// A Layer is an input or output of an executable. An element q means
// Scale·(q − ZeroPoint) of the device's own, unsigned bytes.
type Layer struct {
	Name       string
	Size       int // bytes on the wire, padded
	Y, X, Z    int // of the tensor, densely packed in this order
	Type       DataType
	ZeroPoint  int
	Scale      float32
	zeroPoint  []byte // where they are
	scale      []byte
	CacheInTPU bool    // in memory outside of the chip, which Coral devices lack
	Shape      []Range // as newer compilers note it besides Y, X, Z; nil if not
	// Layout is where an output's pixels are; nil for inputs and where the
	// compiler gave none.
	Layout *Layout
}

// A Layout places the pixels of an output, which come from several tiles of
// the chip, each with a part of the rows and columns. Offsets count elements.
type Layout struct {
	RowTile      []int32 // by y: number of the first tile of that row of tiles
	ColumnTile   []int32 // by x: tile within the row of tiles
	TileOffset   []int32 // by tile
	ColumnOffset []int32 // by x: within its tile
	RowInTile    []int32 // by y: row within its tile
	RowSize      []int32 // by x: of a row of its tile
}

// index is the first element of pixel y, x; false when a table says something
// impossible.
func (l *Layout) index(y, x int) (int, bool) {
	if y >= len(l.RowTile) || y >= len(l.RowInTile) ||
		x >= len(l.ColumnTile) || x >= len(l.ColumnOffset) || x >= len(l.RowSize) {
		return 0, false
	}
	tile := int64(l.RowTile[y]) + int64(l.ColumnTile[x])
	if tile < 0 || tile >= int64(len(l.TileOffset)) {
		return 0, false
	}
	// Below 2⁶³ in magnitude, as each factor is below 2³¹.
	at := int64(l.TileOffset[tile]) + int64(l.RowInTile[y])*int64(l.RowSize[x]) + int64(l.ColumnOffset[x])
	return int(at), at >= 0
}

// TensorSize is the number of bytes of the tensor.
func (l *Layer) TensorSize() int { return l.Y * l.X * l.Z * l.Type.Size() }

// tiled reports whether the bytes on the wire are not in the tensor's order.
func (l *Layer) tiled() bool { return l.Layout != nil && l.Y*l.X > 1 }

// Direct reports whether the bytes on the wire are those of the tensor and
// then padding, so that neither FromDevice nor ToDevice is needed.
func (l *Layer) Direct() bool { return !l.tiled() && !l.Type.signed() }

// FromDevice writes the tensor into dst, which has TensorSize bytes, from the
// layer's bytes on the wire, raw of Size bytes. They must not overlap.
func (l *Layer) FromDevice(dst, raw []byte) error {
	if err := l.checkSizes(dst, raw); err != nil {
		return err
	}
	if l.tiled() {
		l.eachPixel(func(at, wire, n int) { copy(dst[at:at+n], raw[wire:]) })
	} else {
		copy(dst, raw)
	}
	l.flip(dst)
	return nil
}

// ToDevice is the inverse of FromDevice; bytes of padding become 0.
func (l *Layer) ToDevice(raw, tensor []byte) error {
	if err := l.checkSizes(tensor, raw); err != nil {
		return err
	}
	if !l.tiled() {
		n := copy(raw, tensor)
		l.flip(raw[:n])
		clear(raw[n:])
		return nil
	}
	clear(raw)
	l.eachPixel(func(at, wire, n int) {
		copy(raw[wire:wire+n], tensor[at:])
		l.flip(raw[wire : wire+n])
	})
	return nil
}

func (l *Layer) checkSizes(tensor, raw []byte) error {
	if len(tensor) != l.TensorSize() || len(raw) != l.Size {
		return fmt.Errorf("layer %q: tensor of %d and device buffer of %d bytes, want %d and %d",
			l.Name, len(tensor), len(raw), l.TensorSize(), l.Size)
	}
	return nil
}

// flip turns two's complement into the device's offset binary, or back.
func (l *Layer) flip(b []byte) {
	if !l.Type.signed() {
		return
	}
	for i := l.Type.Size() - 1; i < len(b); i += l.Type.Size() {
		b[i] ^= 0x80
	}
}

// eachPixel visits the n bytes of every pixel of a tiled layer.
func (l *Layer) eachPixel(visit func(tensor, wire, n int)) {
	n := l.Z * l.Type.Size()
	for y := range l.Y {
		for x := range l.X {
			at, _ := l.Layout.index(y, x) // check has tried them all
			visit((y*l.X+x)*n, at*l.Type.Size(), n)
		}
	}
}
