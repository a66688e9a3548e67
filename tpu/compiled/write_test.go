package compiled

import (
	"bytes"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/executable"
)

func program(t testing.TB, file []byte) *executable.Package {
	t.Helper()
	m, err := tflite.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, op := range m.Subgraphs[0].Operators {
		if op.CustomOptions != nil {
			p, err := executable.Parse(op.CustomOptions)
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
	}
	t.Fatal("not compiled")
	return nil
}

// Models of one architecture made from one another are what the compiler made of them.
func TestRetarget(t *testing.T) {
	all := pairs(t)
	n := 0
	for from, a := range all {
		for to, b := range all {
			if !strings.HasPrefix(from, "pairs/color") || !strings.HasPrefix(to, "pairs/color") {
				continue
			}
			n++
			tmpl, err := Open(a[0], a[1])
			if err != nil {
				t.Fatal(err)
			}
			got, err := tmpl.Retarget(b[1])
			if err != nil {
				t.Errorf("%s made from %s: %v", to, from, err)
				continue
			}
			p, want := program(t, got), program(t, b[0])
			for i := range want.Executables {
				g, w := &p.Executables[i], &want.Executables[i]
				if !bytes.Equal(g.Parameters, w.Parameters) {
					t.Errorf("%s made from %s: executable %d has other parameters", to, from, i)
				}
				for c := range w.Chunks {
					if !bytes.Equal(g.Chunks[c].Bytes, w.Chunks[c].Bytes) {
						d := 0
						for j := range w.Chunks[c].Bytes {
							if g.Chunks[c].Bytes[j] != w.Chunks[c].Bytes[j] {
								d++
							}
						}
						t.Errorf("%s made from %s: executable %d has other instructions: %d bytes", to, from, i, d)
					}
				}
				for o := range w.Outputs {
					if g.Outputs[o].Scale != w.Outputs[o].Scale || g.Outputs[o].ZeroPoint != w.Outputs[o].ZeroPoint {
						t.Errorf("%s made from %s: output %d is %v", to, from, o, g.Outputs[o])
					}
				}
			}
			if from == to && !bytes.Equal(got, a[0]) {
				t.Errorf("%s made from itself has changed", from)
			}
		}
	}
	if n != 16 {
		t.Errorf("%d pairs, want 16", n)
	}
}

// A model made from itself is the same file.
func TestSelf(t *testing.T) {
	for name, pair := range pairs(t) {
		tmpl, err := Open(pair[0], pair[1])
		if err != nil {
			t.Fatal(err)
		}
		got, err := tmpl.Retarget(pair[1])
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !bytes.Equal(got, pair[0]) {
			t.Errorf("%s has changed", name)
		}
	}
}
