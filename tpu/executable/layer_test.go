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
	// The wire holds element i as the 16-bit number i in offset binary, so that
	// the tensor shows where each of its elements was.
	l := p.Main.Output("tiled")
	raw := make([]byte, l.Size)
	for i := 0; i < len(raw); i += 2 {
		raw[i], raw[i+1] = byte(i/2), 0x80
	}
	want := []byte{
		0, 1, 2, 3, 4, 5, 16, 17, 18, // row 0: two pixels of tile 0, one of tile 1
		8, 9, 10, 11, 12, 13, 19, 20, 21, // row 1: the next row of each
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
		t.Error("only the plain output is as it is on the wire")
	}
	wire := bytes.Repeat([]byte{1}, in.Size)
	if err := in.ToDevice(wire, bytes.Repeat([]byte{0xff}, 27)); err != nil {
		t.Fatal(err)
	}
	if want := append(bytes.Repeat([]byte{0x7f}, 27), 0, 0, 0, 0, 0); !bytes.Equal(wire, want) {
		t.Errorf("got % x, want % x", wire, want)
	}
	if err := in.ToDevice(wire, got); err == nil {
		t.Error("a tensor of another size: no error")
	}
	if err := in.FromDevice(got[:27], wire[1:]); err == nil {
		t.Error("a device buffer of another size: no error")
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
