package detector

import (
	"crypto/sha256"
	"image"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/detect"
	"github.com/imprintkit/imprint/backbone/tflite"
)

func TestAveragePrecision(t *testing.T) {
	for _, test := range []struct {
		name      string
		list      []scored
		objects   int
		want      float64
		threshold float64
	}{
		{"all found first", []scored{{0.9, true}, {0.8, true}, {0.1, false}}, 2, 1, 0.45},
		{"one of two", []scored{{0.9, true}}, 2, 0.5, 0.4},
		{"in any order", []scored{{0.1, false}, {0.9, true}}, 1, 1, 0.5},
		{"half as precise", []scored{{0.9, false}, {0.8, true}}, 1, 0.5, 0.3},
		// Precision is 1, then ½, ⅔: at recall ½ the best is 1, at recall 1 it is ⅔.
		{"interpolated", []scored{{0.9, true}, {0.8, false}, {0.7, true}}, 2, 0.5*1 + 0.5*2/3, 0.2},
		{"nothing found", nil, 3, 0, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := averagePrecision(test.list, test.objects); math.Abs(got-test.want) > 1e-9 {
				t.Errorf("average precision %v, want %v", got, test.want)
			}
			if got := bestThreshold(test.list, test.objects); math.Abs(got-test.threshold) > 1e-9 && len(test.list) > 0 {
				t.Errorf("threshold %v, want %v", got, test.threshold)
			}
		})
	}
}

func TestJudge(t *testing.T) {
	box := func(x float32) detect.Box { return detect.Box{X0: x, X1: x + 0.2, Y1: 0.2} }
	truths := []truth{{0, box(0)}, {1, box(0.5)}, {0, box(0.8)}}
	found := []detect.Detection{
		{Class: 0, Score: 0.9, Box: box(0.02)}, // finds the first
		{Class: 0, Score: 0.8, Box: box(0)},    // finds it again
		{Class: 0, Score: 0.7, Box: box(0.5)},  // is of another class
		{Class: 1, Score: 0.6, Box: box(0.5)},
		{Class: 0, Score: 0.5, Box: box(0.6)}, // overlaps the third too little
	}
	if got, want := judge(found, nil, truths, 0), []bool{true, false, false, false}; !slices.EqualFunc(got, want, func(s scored, right bool) bool { return s.right == right }) {
		t.Errorf("class 0: %+v, want %v", got, want)
	}
	if got := judge(found, []float64{5, 4, 3, 2, 1}, truths, 1); !slices.Equal(got, []scored{{2, true}}) {
		t.Errorf("class 1: %+v", got)
	}
}

// TestRegions checks that crops keep most of an object and that boxes follow the pixels.
func TestRegions(t *testing.T) {
	truths := []truth{{0, detect.Box{X0: 0.7, Y0: 0.6, X1: 0.9, Y1: 0.95}}}
	for seed := range byte(20) {
		list := regions([sha256.Size]byte{seed}, truths, 5)
		if !reflect.DeepEqual(list, regions([sha256.Size]byte{seed}, truths, 5)) || list[0] != wholePhoto || !list[1].mirror {
			t.Fatalf("regions %v", list)
		}
		for _, r := range list {
			v := r.view(truths)
			if len(v) != 1 || common(r.box, truths[0].box) < 0.74*truths[0].box.Area() {
				t.Fatalf("region %v keeps %v", r, v)
			}
			// The left upper corner of the object in pixels of the view and of the photo.
			p := r.pixels(image.Rect(0, 0, 1000, 1000))
			x := float64(v[0].box.X0) * float64(p.Dx())
			if r.mirror {
				x = float64(p.Dx()) - float64(v[0].box.X1)*float64(p.Dx())
			}
			if got := float64(p.Min.X) + x; math.Abs(got-math.Max(700, float64(p.Min.X))) > 2 {
				t.Errorf("region %v moves the object from 700 to %v", r, got)
			}
		}
	}
	row := []byte{1, 2, 3, 4, 5, 6, 7, 8, 9}
	if mirror(row, 3); !slices.Equal(row, []byte{7, 8, 9, 4, 5, 6, 1, 2, 3}) {
		t.Errorf("mirrored: %v", row)
	}
}

func TestMatches(t *testing.T) {
	boxes := []detect.Box{{X1: 1, Y1: 1}, {X1: 0.5, Y1: 1}, {X0: 0.9, Y0: 0.9, X1: 1, Y1: 1}}
	got := matches(boxes, []truth{{0, detect.Box{X1: 0.5, Y1: 1}}, {0, detect.Box{X1: 1, Y1: 0.75}}, {1, detect.Box{X1: 1, Y1: 1}}})
	want := []match{{0, 0, 0.75}, {0, 1, 1}, {1, 0, 1}, {1, 1, 0.5}}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// TestRegress checks the regression against its normal equations, and that parts of sums add up.
func TestRegress(t *testing.T) {
	const dim = 6
	random := rand.New(rand.NewPCG(1, 1))
	parts := [2]*sums{newSums(dim, 1), newSums(dim, 1)}
	var x [][]float64
	var y []float64
	for i := range 300 {
		var index []int
		var value []int64
		row := make([]float64, dim)
		for f := range dim {
			if v := int64(random.IntN(20)) - 5; v > 0 {
				index, value, row[f] = append(index, f), append(value, v), float64(v)
			}
		}
		target := []target{{0, int64(random.IntN(targetUnit))}}
		parts[i%2].add(index, value, target)
		x, y = append(x, row), append(y, float64(target[0].value)/targetUnit)
	}
	total := newSums(dim, 1)
	total.plus(parts[0])
	total.plus(parts[1])
	if !reflect.DeepEqual(total.minus(parts[1]), parts[0]) {
		t.Error("the sums without the second part are not those of the first")
	}
	f := total.regress()
	mean, variance := make([]float64, dim), 0.0
	for _, row := range x {
		for i, v := range row {
			mean[i] += v / float64(len(x))
		}
	}
	for _, row := range x {
		for i, v := range row {
			variance += (v - mean[i]) * (v - mean[i]) / float64(len(x)*dim)
		}
	}
	sum := 0.0
	gradient := make([]float64, dim)
	for n, row := range x {
		e := f.bias[0] + dot(f.weights[0], row) - y[n]
		sum += e
		for i, v := range row {
			gradient[i] += e * (v - mean[i]) / float64(len(x))
		}
	}
	for i, g := range gradient {
		if g += penalty * variance * f.weights[0][i]; math.Abs(g) > 1e-5 {
			t.Errorf("the gradient of weight %d is %v", i, g)
		}
	}
	if math.Abs(sum) > 1e-6 {
		t.Errorf("the errors add up to %v", sum)
	}
}

// TestCalibrate checks that two levels with different scales get comparable logits, and finite ones
// if all samples can be separated.
func TestCalibrate(t *testing.T) {
	levels := []level{{anchors: 1}, {anchors: 2}}
	random := rand.New(rand.NewPCG(2, 2))
	for _, separable := range []bool{false, true} {
		var samples []sample
		for range 2000 {
			s := sample{level: random.IntN(2), weight: 1. / 2000}
			s.anchor = random.IntN(1 + s.level)
			z := 4 * random.NormFloat64()
			s.right = random.Float64() < 1/(1+math.Exp(-z))
			if separable {
				s.right = z > 0
			}
			s.own = z * []float64{0.1, 0.02}[s.level]
			s.mean = s.own
			samples = append(samples, s)
		}
		c := calibrate(levels, samples)
		low, high := c.logit(0, 0, 0.1*2, 0.1*2), c.logit(1, 1, 0.02*2, 0.02*2)
		if !(low > 0.5 && high > 0.5 && max(low, high) < 1000) || !separable && math.Abs(low-high) > 0.6*max(low, high) {
			t.Errorf("separable %v: logits of equal samples are %v and %v", separable, low, high)
		}
	}
}

// TestWindow checks that logits are moved only if the scales have no room for them.
func TestWindow(t *testing.T) {
	for _, test := range []struct {
		scale         float32
		zero          int64
		highest       float64
		factor, shift float64
	}{
		{0.0625, 128, 4, 1, 0},     // −8…8
		{1, 0, 3.5, 7. / 7, 3},     // 0…255, of which 0…7 matter
		{1, 0, 10.5, 7. / 14, 1.5}, // a larger range shrinks
		{0.0625, 255, 3.5, 1, -4},  // −16…0: −7…0 is left
		{0.0625, 143, 6.5, 1, 0},   // −9…7
	} {
		m := &tflite.Model{Subgraphs: []tflite.Subgraph{{Tensors: []tflite.Tensor{{Type: tflite.TypeUint8,
			Quantization: &tflite.Quantization{Scale: []float32{test.scale}, ZeroPoint: []int64{test.zero}}}}}}}
		w := writer{p: &predictors{model: m, logits: []int32{0}}, g: &m.Subgraphs[0]}
		factor, shift := w.window(test.highest)
		if math.Abs(factor-test.factor) > 1e-6 || math.Abs(shift-test.shift) > 1e-6 {
			t.Errorf("scale %v, zero point %d, highest %v: factor %v and shift %v, want %v and %v", test.scale, test.zero, test.highest, factor, shift, test.factor, test.shift)
		}
	}
}
