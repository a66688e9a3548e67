package kernels

import (
	"encoding/binary"
	"errors"
	"math"
	"slices"
	"testing"
)

// reals returns a float32 tensor with the given values, and their bytes.
func reals(shape []int, values ...float32) (*Tensor, []byte) {
	var data []byte
	for _, v := range values {
		data = binary.LittleEndian.AppendUint32(data, math.Float32bits(v))
	}
	return &Tensor{Type: Float32, Shape: shape, Data: data}, data
}

func detectionOutputs(p DetectionParams) []*Tensor {
	d := p.Detections()
	var out []*Tensor
	for _, shape := range [][]int{{1, d, 4}, {1, d}, {1, d}, {1}} {
		out = append(out, &Tensor{Type: Float32, Shape: shape})
	}
	return out
}

// detect runs the operator on boxes of height and width 1 with their centers at (0, x), and returns
// the four outputs.
func detect(t *testing.T, p DetectionParams, x []float32, columns int, scores []float32) (out [4][]float32) {
	t.Helper()
	p.Scale = [4]float32{10, 10, 5, 5}
	var places []float32
	for _, v := range x {
		places = append(places, 0, v, 1, 1)
	}
	n := len(x)
	anchors, _ := reals([]int{n, 4}, places...)
	encodings, raw := reals([]int{1, n, 4}, make([]float32, 4*n)...)
	predictions, rawScores := reals([]int{1, n, columns}, scores...)
	outputs := detectionOutputs(p)
	k, err := NewDetectionPostProcess(p, encodings, predictions, anchors, outputs)
	if err != nil {
		t.Fatal(err)
	}
	a := Args{In: [][]byte{raw, rawScores}, Scratch: slices.Repeat([]byte{0xff}, k.Scratch()+1)[1:]}
	for _, o := range outputs {
		a.Outs = append(a.Outs, slices.Repeat([]byte{0xff}, o.Bytes()))
	}
	if n := testing.AllocsPerRun(3, func() { k.Run(&a, 0, k.Parts()) }); n != 0 {
		t.Errorf("Run allocates %v times, want 0", n)
	}
	for i := range out {
		for j := range len(a.Outs[i]) / 4 {
			out[i] = append(out[i], floatAt(a.Outs[i], j))
		}
	}
	return out
}

// TestSuppression works out small examples by hand. Boxes whose centers are 0.25 apart overlap with
// an IoU of 0.6, and those that are 0.5 apart with 1/3.
func TestSuppression(t *testing.T) {
	nan := float32(math.NaN())
	x := []float32{0, 0.25, 0.5, 3}
	for _, test := range []struct {
		name    string
		p       DetectionParams
		columns int
		scores  []float32
		centers []float32 // of the detections
		classes []float32
		best    []float32 // their scores
	}{
		{"fast", DetectionParams{Classes: 1, MaxDetections: 4, ClassesPerBox: 1, IoUThreshold: 0.5}, 2,
			[]float32{9, 0.9, 9, 0.8, 9, 0.7, 9, 0.6}, []float32{0, 0.5, 3}, []float32{0, 0, 0}, []float32{0.9, 0.7, 0.6}},
		{"high threshold", DetectionParams{Classes: 1, MaxDetections: 4, ClassesPerBox: 1, IoUThreshold: 0.7}, 1,
			[]float32{0.9, 0.8, 0.7, 0.6}, x, []float32{0, 0, 0, 0}, []float32{0.9, 0.8, 0.7, 0.6}},
		{"limit", DetectionParams{Classes: 1, MaxDetections: 2, ClassesPerBox: 1, IoUThreshold: 0.5}, 1,
			[]float32{0.1, 0.2, 0.1, 0.3}, []float32{3, 0.25}, []float32{0, 0}, []float32{0.3, 0.2}},
		{"score threshold", DetectionParams{Classes: 1, MaxDetections: 2, ClassesPerBox: 1, IoUThreshold: 0.5, ScoreThreshold: 0.3}, 1,
			[]float32{0.1, 0.2, 0.1, 0.3}, []float32{3}, []float32{0}, []float32{0.3}},
		{"equal scores", DetectionParams{Classes: 1, MaxDetections: 4, ClassesPerBox: 1, IoUThreshold: 1}, 1,
			[]float32{0, 1, 0, 1}, []float32{0.25, 3, 0, 0.5}, []float32{0, 0, 0, 0}, []float32{1, 1, 0, 0}},
		{"two classes a box", DetectionParams{Classes: 3, MaxDetections: 1, ClassesPerBox: 2, IoUThreshold: 0.5}, 3,
			[]float32{0, 0, 0, 0, 0, 0, 0.1, 0.3, 0.2, 0, 0, 0}, []float32{0.5, 0.5}, []float32{1, 2}, []float32{0.3, 0.2}},
		{"more classes a box than there are", DetectionParams{Classes: 1, MaxDetections: 1, ClassesPerBox: 2, IoUThreshold: 0.5}, 1,
			[]float32{0.1, 0, 0, 0}, []float32{0}, []float32{0}, []float32{0.1}},
		{"regular", DetectionParams{Classes: 2, MaxDetections: 4, ClassesPerBox: 1, Regular: true, PerClass: 2, IoUThreshold: 0.5}, 3,
			[]float32{0, 0.9, 0.1, 0, 0.2, 0.8, 0, 0.3, 0.2, 0, 0.1, 0.9}, []float32{3, 0, 0.25, 0.5}, []float32{1, 0, 1, 0}, []float32{0.9, 0.9, 0.8, 0.3}},
		{"not a number", DetectionParams{Classes: 2, MaxDetections: 4, ClassesPerBox: 1, IoUThreshold: 0.5}, 2,
			[]float32{nan, nan, 0.5, nan, nan, 0.5, 0.1, 0}, []float32{0.25, 3}, []float32{0, 0}, []float32{0.5, 0.1}},
	} {
		out := detect(t, test.p, x, test.columns, test.scores)
		n, d := len(test.centers), test.p.Detections()
		if want := float32(n / min(test.p.ClassesPerBox, test.p.Classes)); out[3][0] != want {
			t.Errorf("%s: %v detections, want %v", test.name, out[3][0], want)
		}
		for i := range d {
			var box [4]float32
			var class, score float32
			if i < n {
				box, class, score = [4]float32{-0.5, test.centers[i] - 0.5, 0.5, test.centers[i] + 0.5}, test.classes[i], test.best[i]
			}
			if got := [4]float32(out[0][4*i:]); got != box || out[1][i] != class || out[2][i] != score {
				t.Errorf("%s: detection %d is %v, class %v, score %v; want %v, %v, %v", test.name, i, got, out[1][i], out[2][i], box, class, score)
			}
		}
	}
}

// TestSortTop compares with the results of std::partial_sort of GNU's C++ library 12.
func TestSortTop(t *testing.T) {
	for _, test := range []struct {
		values []float32
		want   []int32
	}{
		{[]float32{1, 1, 1, 1, 1, 1}, []int32{0, 1, 2}},
		{[]float32{1, 2, 2, 1, 2, 2, 1}, []int32{4, 1, 5, 2}},
		{[]float32{3, 1, 3, 2, 3, 2, 1, 3, 2}, []int32{7, 4, 0, 2, 3, 8, 5, 1, 6}},
		{[]float32{0, 0, 5, 5, 0}, []int32{3, 2}},
		{[]float32{2, 2}, []int32{0, 1}},
		{[]float32{1, 3, 3}, []int32{1}}, // the first of the largest, as ArgMaxVector finds it
	} {
		if got := sortTop(make([]int32, len(test.values)), test.values, len(test.want)); !slices.Equal(got, test.want) {
			t.Errorf("the largest of %v: got %v, want %v", test.values, got, test.want)
		}
	}
}

func TestDetectionErrors(t *testing.T) {
	good := DetectionParams{Classes: 2, MaxDetections: 3, ClassesPerBox: 1, IoUThreshold: 0.5, Scale: [4]float32{1, 1, 1, 1}}
	inf := float32(math.Inf(1))
	for name, test := range map[string]struct {
		change func(p *DetectionParams, encodings, scores, anchors *Tensor)
		want   error
	}{
		"as it is":          {func(*DetectionParams, *Tensor, *Tensor, *Tensor) {}, nil},
		"no classes":        {func(p *DetectionParams, _, _, _ *Tensor) { p.Classes = 0 }, ErrInvalid},
		"too many classes":  {func(p *DetectionParams, _, _, _ *Tensor) { p.Classes = 4 }, ErrInvalid},
		"no detections":     {func(p *DetectionParams, _, _, _ *Tensor) { p.MaxDetections = 0 }, ErrInvalid},
		"minus detections":  {func(p *DetectionParams, _, _, _ *Tensor) { p.MaxDetections, p.ClassesPerBox = -1, -1 }, ErrInvalid},
		"huge detections":   {func(p *DetectionParams, _, _, _ *Tensor) { p.MaxDetections = math.MaxInt32 }, ErrUnsupported},
		"huge product":      {func(p *DetectionParams, _, _, _ *Tensor) { p.MaxDetections, p.ClassesPerBox = 1<<16, 1<<16 }, ErrUnsupported},
		"none per class":    {func(p *DetectionParams, _, _, _ *Tensor) { p.Regular = true }, ErrInvalid},
		"IoU 0":             {func(p *DetectionParams, _, _, _ *Tensor) { p.IoUThreshold = 0 }, ErrInvalid},
		"IoU NaN":           {func(p *DetectionParams, _, _, _ *Tensor) { p.IoUThreshold = float32(math.NaN()) }, ErrInvalid},
		"scale 0":           {func(p *DetectionParams, _, _, _ *Tensor) { p.Scale[2] = 0 }, ErrInvalid},
		"scale Inf":         {func(p *DetectionParams, _, _, _ *Tensor) { p.Scale[2] = inf }, ErrInvalid},
		"no anchors":        {func(_ *DetectionParams, e, s, a *Tensor) { e.Shape[1], s.Shape[1], a.Shape[0] = 0, 0, 0 }, ErrInvalid},
		"few anchors":       {func(_ *DetectionParams, _, _, a *Tensor) { a.Shape[0], a.Data = 1, a.Data[:4] }, ErrInvalid},
		"flat anchors":      {func(_ *DetectionParams, _, _, a *Tensor) { a.Shape = []int{8} }, ErrInvalid},
		"changing anchors":  {func(_ *DetectionParams, _, _, a *Tensor) { a.Data = nil }, ErrUnsupported},
		"negative anchors":  {func(_ *DetectionParams, _, _, a *Tensor) { a.ZeroPoint = []int64{9} }, ErrInvalid},
		"too many anchors":  {func(_ *DetectionParams, e, _, a *Tensor) { e.Shape[1], a.Shape[0], a.Data = 1<<21, 1<<21, nil }, ErrUnsupported},
		"fewer scores":      {func(_ *DetectionParams, _, s, _ *Tensor) { s.Shape[1] = 1 }, ErrInvalid},
		"scores of 2 axes":  {func(_ *DetectionParams, _, s, _ *Tensor) { s.Shape = []int{2, 3} }, ErrInvalid},
		"scores of batch 2": {func(_ *DetectionParams, _, s, _ *Tensor) { s.Shape[0] = 2 }, ErrInvalid},
		"int8 scores":       {func(_ *DetectionParams, _, s, _ *Tensor) { s.Type = Int8 }, ErrUnsupported},
		"int8 encodings":    {func(_ *DetectionParams, e, _, a *Tensor) { e.Type, a.Type = Int8, Int8 }, ErrUnsupported},
		"mixed types":       {func(_ *DetectionParams, e, _, _ *Tensor) { e.Type = Float32 }, ErrUnsupported},
		"short encodings":   {func(_ *DetectionParams, e, _, _ *Tensor) { e.Shape[2] = 3 }, ErrInvalid},
		"two scales":        {func(_ *DetectionParams, e, _, _ *Tensor) { e.Scale, e.ZeroPoint = []float32{1, 1}, []int64{0, 0} }, ErrInvalid},
	} {
		p, encodings, scores, anchors := good, u8(1, 2, 4), u8(1, 2, 3), constant(u8(2, 4))
		test.change(&p, encodings, scores, anchors)
		outputs := detectionOutputs(good)
		if _, err := NewDetectionPostProcess(p, encodings, scores, anchors, outputs); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", name, err, test.want)
		}
	}
	if _, err := NewDetectionPostProcess(good, u8(1, 2, 4), u8(1, 2, 3), constant(u8(2, 4)), detectionOutputs(good)[:3]); !errors.Is(err, ErrInvalid) {
		t.Errorf("3 outputs: got error %v, want %v", err, ErrInvalid)
	}
}
