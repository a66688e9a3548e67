package executable

import (
	"math"
	"testing"
)

// TestNewSum computes sums from the scales of Coral's uncompiled MobileNet v2 models, and compares
// them with the factors and biases in the compiled models.
func TestNewSum(t *testing.T) {
	for _, test := range []struct {
		scale, second, out float32
		zero, zero2, zero3 byte
		want               [3]int32
		multiplier         float32
	}{
		{0.40149295, 0.27583435, 0.43216896, 136, 119, 133, [3]int32{24433, 16786, -5320422}, 3.8023103e-05},
		{0.22794184, 0.21836242, 0.25969, 121, 127, 130, [3]int32{7543, 7226, -1830405}, 0.00011636563},
		{0.2577489, 0.25969, 0.33171493, 124, 130, 124, [3]int32{32267, 32510, -8227408}, 2.4080928e-05},
		{0.2804904, 0.24993417, 0.3059808, 126, 119, 127, [3]int32{32477, 28939, -7535843}, 2.822591e-05},
		{0.17907323, 0.18688695, 0.19232154, 133, 128, 129, [3]int32{17005, 17747, -4533281}, 5.4755295e-05}, // NewSum divides the larger scale
	} {
		s, ok := NewSum(test.scale, test.second, test.zero, test.zero2, test.zero3, test.out, math.Inf(-1), math.Inf(1))
		if got := [3]int32{s.First, s.Second, s.Bias}; !ok || got != test.want || s.Multiplier != test.multiplier {
			t.Errorf("%v and %v: %v, multiplier %v, want %v, %v", test.scale, test.second, got, s.Multiplier, test.want, test.multiplier)
		}
	}
	if _, ok := NewSum(1, 1e-6, 0, 0, 0, 1, math.Inf(-1), math.Inf(1)); ok {
		t.Error("scales with a ratio of a million: got a sum, want none")
	}
}
