package modelfile

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// TestCommonOperators checks how many operators two models have in common.
func TestCommonOperators(t *testing.T) {
	parse := func(b []byte) *tflite.Model {
		m, err := tflite.Parse(b)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	a, b := parse(backbonetest.Extractor()), parse(backbonetest.Extractor())
	n := len(a.Subgraphs[0].Operators)
	if got := commonOperators(a, b); got != n {
		t.Errorf("the same model: got %d, want %d", got, n)
	}
	last := &b.Subgraphs[0].Tensors[b.Subgraphs[0].Operators[n-1].Outputs[0]]
	last.Shape = append(slices.Clone(last.Shape), 1)
	if got := commonOperators(a, b); got != n-1 {
		t.Errorf("another shape at the end: got %d, want %d", got, n-1)
	}
	b.OperatorCodes[b.Subgraphs[0].Operators[0].Opcode].Builtin = tflite.OpLogistic
	if got := commonOperators(a, b); got != 0 {
		t.Errorf("another operator at the start: got %d, want 0", got)
	}
}

// TestUncompiled checks how the uncompiled model of a compiled model is found.
func TestUncompiled(t *testing.T) {
	net := filepath.Join(t.TempDir(), "net.tflite")
	if err := os.WriteFile(net, backbonetest.Extractor(), 0o644); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Dir(net)
	t.Setenv("XDG_CACHE_HOME", dir) // without pulled models
	for _, test := range []struct{ compiled, want string }{
		{filepath.Join(dir, "net_edgetpu.tflite"), net},
		{filepath.Join(dir, "other_edgetpu.tflite"), ""},
		{net, ""},
		{"mobilenet_v1_0.25_128_quant_edgetpu", ""},
	} {
		got, err := Uncompiled(test.compiled)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: got %q, %v, want %q", test.compiled, got, err, test.want)
		}
	}
}
