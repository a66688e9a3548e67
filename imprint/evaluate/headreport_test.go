package evaluate

import (
	"math"
	"reflect"
	"slices"
	"testing"
)

func near(a, b float64) bool { return math.Abs(a-b) < 1e-4 }

func TestProportion(t *testing.T) {
	tests := []struct {
		value float64
		n     int
		want  Proportion
	}{
		// Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
		{81. / 263, 263, Proportion{0.3080, 0.2553, 0.3662, 263}},
		{15. / 148, 148, Proportion{0.1014, 0.0624, 0.1605, 148}},
		{0, 20, Proportion{0, 0, 0.1611, 20}},
		{1. / 29, 29, Proportion{0.0345, 0.0061, 0.1718, 29}},
		{1, 20, Proportion{1, 0.8389, 1, 20}},
		{0, 0, Proportion{0, 0, 1, 0}},
	}
	for _, test := range tests {
		got := newProportion(test.value, test.n)
		if !near(got.Value, test.want.Value) || !near(got.Low, test.want.Low) || !near(got.High, test.want.High) || got.N != test.want.N {
			t.Errorf("%v of %d: got %+v, want %+v", test.value, test.n, got, test.want)
		}
	}
}

func TestHeadReport(t *testing.T) {
	s := &Set{Classes: []string{"a", "b", "c"}, Labels: []int{0, 0, 1, 1, 2}, Photos: []Photo{{Path: "0.png"}, {Path: "1.png"}, {Path: "2.png"}, {Path: "3.png"}, {Path: "4.png"}}}
	r := s.headReport("mean", "mean", 5, []prediction{
		{row: 0, class: 0, answer: 0, score: 0.95, trueScore: 0.95, uncalibrated: 0.5},
		{row: 1, class: 0, answer: 1, score: 0.85, trueScore: 0.1, uncalibrated: 0.5},
		{row: 1, class: 0, answer: 1, score: 0.75, trueScore: 0.2, uncalibrated: 0.5},
		{row: 1, class: 0, answer: 0, score: 0.65, trueScore: 0.65, uncalibrated: 0.5},
		{row: 2, class: 1, answer: 1, score: 0.91, trueScore: 0.91, uncalibrated: 0.5},
		{row: 3, class: 1, answer: 0, score: 0.45, trueScore: 0.25, uncalibrated: 0.5},
	})
	if a := r.Accuracy; a.Value != 0.5 || a.N != 4 {
		t.Errorf("accuracy: got %+v, want 0.5 of 4 photos", a)
	}
	if want := [][]int{{2, 2, 0}, {1, 1, 0}, {0, 0, 0}}; !reflect.DeepEqual(r.Confusion, want) {
		t.Errorf("confusion: got %v, want %v", r.Confusion, want)
	}
	a, c := r.Classes[0], r.Classes[2]
	if a.Recall.Value != 0.5 || a.Recall.N != 2 || !near(*a.Precision, 2./3) || c.Recall != nil || c.Precision != nil {
		t.Errorf("got class reports %+v, %+v", a, c)
	}
	// The predictions in each bin, from score 0.4 up: one wrong, none, one correct, one wrong, one
	// wrong, two correct.
	if got, want := r.Calibration.Error, (0.45+0.35+0.75+0.85+0.14)/6; !near(got, want) || len(r.Calibration.Bins) != 5 {
		t.Errorf("calibration: got %+v, want an error of %v", r.Calibration, want)
	}
	if r.Uncalibrated.Error != 0 || !reflect.DeepEqual(r.Uncalibrated.Bins, []Bin{{6, 0.5, 0.5}}) {
		t.Errorf("got uncalibrated %+v, want one bin and no error", r.Uncalibrated)
	}
	wantCurve := []RiskCoverage{{0.95, 1. / 6, 1}, {0.91, 2. / 6, 1}, {0.85, 3. / 6, 2. / 3}, {0.75, 4. / 6, 0.5}, {0.65, 5. / 6, 3. / 5}, {0.45, 1, 0.5}}
	if !reflect.DeepEqual(r.RiskCoverage, wantCurve) {
		t.Errorf("risk and coverage: got %+v, want %+v", r.RiskCoverage, wantCurve)
	}
	hard := r.Hardest(9)
	if len(hard) != 2 || hard[0].Row != 3 || hard[1].Name() != "1.png" || hard[1].Answer != "b" || !near(hard[1].Score, 0.8) || hard[1].Wrong != 2 || hard[1].Queries != 3 {
		t.Errorf("hardest: got %+v, want 2 photos", hard)
	}
	if got := r.Hardest(1); len(got) != 1 {
		t.Errorf("hardest: got %d photos, want 1", len(got))
	}
	if got, want := r.Confusions(9), []Confused{{"a", "b", 0.5}, {"b", "a", 0.5}}; !slices.Equal(got, want) {
		t.Errorf("confusions: got %+v, want %+v", got, want)
	}
}

func TestPredict(t *testing.T) {
	p := predict(3, 0, []float64{0, math.Log(3)}, 0)
	if p.answer != 1 || !near(p.score, 0.75) || !near(p.trueScore, 0.25) || !near(p.uncalibrated, 0.5) || p.row != 3 {
		t.Errorf("got prediction %+v", p)
	}
}
