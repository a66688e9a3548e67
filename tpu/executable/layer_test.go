package executable

import (
	"bytes"
	"testing"
)

func TestLayer(t *testing.T) {
	p, err := Parse(sampleOptions())
	if err != nil {
		t.Fatal(err)
	}
	// Element i on the wire is the 16-bit number i in offset binary, so that the
	// tensor shows where each of its elements was.
	l := p.Main.Output("tiled")
	raw := make([]byte, l.Size)
	for i := 0; i < len(raw); i += 2 {
		raw[i], raw[i+1] = byte(i/2), 0x80
	}
	want := []byte{
		0, 1, 2, 3, 4, 5, 16, 17, 18, // row 0: two pixels of tile 0, one of tile 1
		8, 9, 10, 11, 12, 13, 19, 20, 21, // row 1: the next row of both tiles
		22, 23, 24, 25, 26, 27, 28, 29, 30, // row 2: tiles 2 and 3
	}
	got := make([]byte, l.TensorSize())
	if err := l.FromDevice(got, raw); err != nil {
		t.Fatal(err)
	}
	for i, w := range want {
		if got[2*i] != w || got[2*i+1] != 0 {
			t.Errorf("element %d is % x, want %d", i, got[2*i:2*i+2], w)
		}
	}

	in := p.Main.Input("in")
	if in.Direct() || l.Direct() || !p.Main.Output("plain").Direct() {
		t.Error("Direct: want true only for the plain output")
	}
	wire := bytes.Repeat([]byte{1}, in.Size)
	if err := in.ToDevice(wire, bytes.Repeat([]byte{0xff}, 27)); err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Repeat([]byte{0x7f}, 27), 0, 0, 0, 0, 0); !bytes.Equal(wire, want) {
		t.Errorf("got % x, want % x", wire, want)
	}
	if err := in.ToDevice(wire, got); err == nil {
		t.Error("tensor of the wrong size: got no error")
	}
	if err := in.FromDevice(got[:27], wire[1:]); err == nil {
		t.Error("device buffer of the wrong size: got no error")
	}
}

// TestLayerInOrder checks that a layer's bytes are rearranged only if its tiles are not
// already in the tensor's order.
func TestLayerInOrder(t *testing.T) {
	for _, test := range []struct {
		size, second int32 // bytes of the layer, offset of the second tile
		direct       bool
	}{{9, 6, true}, {11, 8, false}} {
		pkg, main, caching := sample()
		out := main["output_layers"].([]record)[0]
		out["size_bytes"], out["y_dim"], out["data_type"] = test.size, int32(1), uint16(Uint8)
		out["any_layer"] = record{"layout": record{
			"y_coordinate_to_linear_tile_id_map": []int32{0}, "x_coordinate_to_linear_tile_id_map": []int32{0, 0, 1},
			"linearized_tile_byte_offset": []int32{0, test.second}, "x_coordinate_to_local_byte_offset": []int32{0, 3, 0},
			"y_coordinate_to_local_y_offset": []int32{0}, "x_coordinate_to_local_y_row_size": []int32{6, 6, 3},
		}}
		hint := main["dma_hints"].(record)["hints"].([]record)[7]["any_hint"].(record)
		hint["size_in_bytes"] = test.size
		p, err := Parse(writeWrapper(writePackage(pkg, main, caching), nil, 0))
		if err != nil {
			t.Fatal(err)
		}
		l := p.Main.Output("tiled")
		raw := []byte{1, 2, 3, 4, 5, 6, 0, 0, 7, 8, 9}
		if test.direct {
			raw = []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}
		}
		got := make([]byte, 9)
		if err := l.FromDevice(got, raw); err != nil {
			t.Fatal(err)
		}
		if want := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}; l.Direct() != test.direct || !bytes.Equal(got, want) {
			t.Errorf("second tile at %d: direct %v, tensor %v", test.second, l.Direct(), got)
		}
	}
}

func TestFieldPut(t *testing.T) {
	for bit := range 33 {
		b := bytes.Repeat([]byte{0xff}, 9)
		f := Field{Bit: bit}
		f.Put(b, 0x12345678)
		for i := range 72 {
			want := byte(1)
			if i >= bit && i < bit+32 {
				want = byte(uint32(0x12345678) >> (i - bit) & 1)
			}
			if got := b[i/8] >> (i % 8) & 1; got != want {
				t.Fatalf("field at bit %d: bit %d is %d, want %d", bit, i, got, want)
			}
		}
	}
}
