package compiled

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestClassPredictors checks that the class predictors of an SSD, whose groups of outputs the compiler pads, are
// found and written.
func TestClassPredictors(t *testing.T) {
	p, m := openShared(t, "detect/ssdlite_v2_1class")
	random := rand.New(rand.NewPCG(3, 3))
	predictors := func(p *Pair) (found []int) {
		for i, l := range p.Layers() {
			if strings.HasSuffix(l.Name, "ClassPredictor/BiasAdd") && !l.NotFound {
				found = append(found, i)
			}
		}
		return found
	}
	found := predictors(p)
	if len(found) != 6 {
		t.Fatalf("found the class predictors %v, want 6", found)
	}
	g := &m.Subgraphs[0]
	for _, i := range found {
		for _, in := range g.Operators[i].Inputs[1:] {
			b := slices.Clone(m.TensorBytes(0, in))
			for k := range b {
				if in == g.Operators[i].Inputs[1] || k%4 == 0 { // weights and the lowest byte of biases
					b[k] = byte(random.Uint32())
				}
			}
			g.Tensors[in].Buffer = m.AddBuffer(b)
		}
	}
	model, err := m.Encode()
	if err != nil {
		t.Fatal(err)
	}
	file, err := p.Retarget(model)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Open(file, model)
	if err != nil {
		t.Fatal(err)
	}
	if got := predictors(again); !slices.Equal(got, found) {
		t.Errorf("found the new class predictors %v, want %v", got, found)
	}
}
