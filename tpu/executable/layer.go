package executable

import (
	"fmt"
	"math"
)

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

// Size is the number of bytes of one element, or 0 for an unknown type.
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

// signed reports whether the device flips the top bit of each value.
func (t DataType) signed() bool { return t == Int8 || t == Int16 }

func (t DataType) String() string {
	return enum(int(t), "uint8", "uint16", "int32", "bfloat16", "float16", "float32", "", "", "int8", "int16")
}

// A Range is the indices First to Last of a dimension, both included.
type Range struct{ First, Last int }

// A Layer is an input or output of an executable. An element q, which is unsigned on the device,
// represents the real number Scale·(q − ZeroPoint).
type Layer struct {
	Name       string
	Size       int // bytes on the wire, padded
	Y, X, Z    int // the tensor's dimensions, densely packed in this order
	Type       DataType
	ZeroPoint  int
	Scale      float32
	zeroPoint  []byte // like scale, the bytes of the value in the file, nil if absent
	scale      []byte
	CacheInTPU bool    // keep the layer in off-chip memory, which Coral devices lack
	Shape      []Range // newer compilers add Shape to Y, X, Z; nil if absent
	// Layout places an output's pixels. It is nil for inputs and for outputs
	// whose bytes are in the tensor's order.
	Layout *Layout
	// inOrder means that Layout keeps the pixels in the tensor's order.
	inOrder bool
}

// A Layout places the pixels of an output. The chip computes an output in tiles, each with some of
// the rows and columns. Offsets are in elements.
type Layout struct {
	RowTile      []int32 // by y: the first tile in the row of tiles
	ColumnTile   []int32 // by x: the tile within the row of tiles
	TileOffset   []int32 // by tile
	ColumnOffset []int32 // by x: offset within the tile
	RowInTile    []int32 // by y: row within the tile
	RowSize      []int32 // by x: elements in a row of the tile
}

// index returns the offset of pixel y, x. If the tables are inconsistent, it
// returns false.
func (l *Layout) index(y, x int) (int, bool) {
	if y >= len(l.RowTile) || y >= len(l.RowInTile) ||
		x >= len(l.ColumnTile) || x >= len(l.ColumnOffset) || x >= len(l.RowSize) {
		return 0, false
	}
	tile := int64(l.RowTile[y]) + int64(l.ColumnTile[x])
	if tile < 0 || tile >= int64(len(l.TileOffset)) {
		return 0, false
	}
	// This cannot overflow: each factor is below 2³¹ in magnitude.
	at := int64(l.TileOffset[tile]) + int64(l.RowInTile[y])*int64(l.RowSize[x]) + int64(l.ColumnOffset[x])
	return int(at), at >= 0 && at <= math.MaxInt32
}

// TensorSize is the size of the tensor in bytes, without padding.
func (l *Layer) TensorSize() int { return l.Y * l.X * l.Z * l.Type.Size() }

// tiled reports whether the bytes on the wire are in a different order than in the tensor. A
// compiler may write a layout whose tiles happen to be in order: one row of tiles, each following
// the previous one.
func (l *Layer) tiled() bool { return l.Layout != nil && l.Y*l.X > 1 && !l.inOrder }

// Direct reports whether the bytes on the wire are the tensor's bytes, followed by padding.
// FromDevice and ToDevice are then plain copies.
func (l *Layer) Direct() bool { return !l.tiled() && !l.Type.signed() }

// FromDevice converts raw, the Size bytes on the wire, into the tensor dst of TensorSize bytes. The
// two slices must not overlap.
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

// ToDevice is the inverse of FromDevice. It sets padding to 0.
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
		return fmt.Errorf("layer %q: tensor of %d bytes and device buffer of %d, want %d and %d",
			l.Name, len(tensor), len(raw), l.TensorSize(), l.Size)
	}
	return nil
}

// flip converts two's complement to the device's offset binary, or back.
func (l *Layer) flip(b []byte) {
	if !l.Type.signed() {
		return
	}
	for i := l.Type.Size() - 1; i < len(b); i += l.Type.Size() {
		b[i] ^= 0x80
	}
}

// eachPixel calls visit for every pixel of a tiled layer, with its byte offsets
// in the tensor and on the wire and its size in bytes.
func (l *Layer) eachPixel(visit func(tensor, wire, n int)) {
	n := l.Z * l.Type.Size()
	for y := range l.Y {
		for x := range l.X {
			at, _ := l.Layout.index(y, x) // checkLayout has accepted all pixels
			visit((y*l.X+x)*n, at*l.Type.Size(), n)
		}
	}
}
