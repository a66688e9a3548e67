package emulator

import (
	"bytes"
	"testing"

	"github.com/imprintkit/imprint/tpu/executable"
	"github.com/imprintkit/imprint/tpu/tracetest"
)

// TestRegisterFunc checks which parameters a function gets: those on the chip, until another program or a reset of the
// core replaces them.
func TestRegisterFunc(t *testing.T) {
	const size = 16
	d := New(Config{Application: true})
	var got []byte
	f := func(parameters []byte, inputs, outputs [][]byte) {
		got = bytes.Clone(parameters)
		for i, b := range inputs[0] {
			outputs[0][i] = ^b
		}
	}
	cached, streamed := tracetest.TinyPackage(size, 0x10, 1), tracetest.TinyPackage(size, 0x20, 0)
	cached.Caching.Parameters[3] = 5
	e := streamed.Main
	e.Parameters = []byte("all of the chip's memory")
	e.Hints = append([]executable.Hint{e.Hints[0], {Kind: executable.Transfer, Buffer: executable.Parameter, Size: len(e.Parameters)}}, e.Hints[1:]...)
	streamed.Executables = streamed.Executables[:1]
	for _, pkg := range []*executable.Package{cached, streamed} {
		if err := d.RegisterFunc(pkg, f); err != nil {
			t.Fatal(err)
		}
	}
	h := openHost(t, d)
	input := []byte("sixteen letters!")
	check := func(when string, e *executable.Executable, want []byte) {
		t.Helper()
		out := h.run(e, input)["x"]
		for i := range input {
			if out[i] != ^input[i] {
				t.Fatalf("%s: got output %x", when, out)
			}
		}
		if (got == nil) != (want == nil) || !bytes.Equal(got, want) {
			t.Errorf("%s: got parameters of %d bytes, want %d", when, len(got), len(want))
		}
	}
	check("before they are loaded", cached.Main, nil)
	h.run(cached.Caching, nil)
	check("loaded", cached.Main, cached.Caching.Parameters)
	check("streamed", streamed.Main, e.Parameters)
	check("replaced by streamed ones", cached.Main, nil)
	h.run(cached.Caching, nil)
	d.ResetCore()
	h.wake()
	check("after a reset of the core", cached.Main, nil)
	if c := h.conn.(*conn); c.Pending(0x81) || c.Pending(0x82) || c.Pending(0x01) {
		t.Error("data is pending, but all was read")
	}
}
