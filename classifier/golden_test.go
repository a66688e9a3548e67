package classifier

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"testing"
)

// TestHeadsAreTheSameEverywhere checks that heads have the same bytes on every processor. The
// same hashes must result on amd64, with AVX-512, AVX2 and plain Go, and on arm64.
func TestHeadsAreTheSameEverywhere(t *testing.T) {
	few, many, coarse := gridClusters(1, 40, 6, 9, 1, 4), gridClusters(2, 21, 15, 12, 9), gridClusters(3, 37, 700, 5, 600)
	rounded := gridClusters(4, 101, 40, 25, 20, 1) // at least roundFrom
	tests := []struct {
		method  Method
		few     string
		many    string // more examples than dimensions
		rounded string
		coarse  string // more than coarseFrom examples; "" to save time
	}{
		{Mean, "de7471a17afafb52", "6224ecfe73c058c8", "6d0cd4cc59f00494", "653759d79afd9707"},
		{Ridge, "8fd31c1b19aec47e", "597c587b9db738e7", "9cd55a0c6bca7aaa", "f94947d0a4231f15"},
		{LDA, "047836ad4ce65947", "8fced86dd86b4552", "33595f3c95cfdff3", "ab9805699bd86113"},
		{RidgeLDA, "1d8b0df7dcf86747", "0b693bdefbd18b4d", "daad86701498c28e", "90627b5348ddc06f"},
		{MeanRidgeLDA, "c04cacc1c775de1d", "8e2b2e97d6d1b6d0", "8dfad56ee34c75b5", "9d2709f6cc171e34"},
		{Softmax, "679f6770eeb86375", "ca93aa31860ad963", "2b9d0f70b1625048", ""},
		{CoralSGD, "074693903d2d1d2c", "d2d088d08b428989", "36ed7a1d4ee89ac9", ""},
		{Auto, "c04cacc1c775de1d", "8e2b2e97d6d1b6d0", "8dfad56ee34c75b5", "9d2709f6cc171e34"},
	}
	for _, test := range tests {
		for name, c := range map[string]struct {
			examples []Example
			want     string
		}{"few": {few, test.few}, "many": {many, test.many}, "rounded": {rounded, test.rounded}, "coarse": {coarse, test.coarse}} {
			if c.want == "" {
				continue
			}
			f, err := Fit(c.examples, test.method, true)
			if err != nil {
				t.Fatal(err)
			}
			if got := headHash(f.Head); got != c.want {
				t.Errorf("%s, %s: got %s, want %s", test.method, name, got, c.want)
			}
		}
	}
}

func headHash(h *Head) string {
	var b []byte
	for _, v := range append(append([]float32(nil), h.Weights...), h.Bias...) {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:8])
}

// gridClusters is like clusters, but without normal deviates, which could differ between
// processors.
func gridClusters(seed uint64, dim int, counts ...int) []Example {
	state := seed
	next := func() float64 { // Knuth's linear congruential generator
		state = state*6364136223846793005 + 1442695040888963407
		return float64(state>>40) / (1 << 24)
	}
	var examples []Example
	for c, n := range counts {
		center := make([]float64, dim)
		for i := range center {
			center[i] = next()
		}
		for range n {
			x := make([]float64, dim)
			for i, v := range center {
				x[i] = v + next()
			}
			norm := Normalize(x)
			examples = append(examples, Example{Label: string(rune('a' + c)), Unit: x, Norm: norm})
		}
	}
	return examples
}
