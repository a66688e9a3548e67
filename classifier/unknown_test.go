package classifier

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// TestReject checks that the prediction is UnknownLabel if and only if the accept score is below
// the threshold.
func TestReject(t *testing.T) {
	for _, m := range []Method{Mean, Ridge, LDA, RidgeLDA} {
		examples := clusters(8, 40, 6, 6, 6, 6, 6)
		f, err := Fit(examples, m, false)
		if err != nil {
			t.Fatal(err)
		}
		h, r, err := Reject(f, examples, nil, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		if r.Negatives != 30 || r.FalseAccepts != 3 || r.Positives != 30 {
			t.Errorf("%s: got %+v, want 3 of 30 negatives accepted", m, r)
		}
		last := len(h.Labels) - 1
		if h.Labels[last] != UnknownLabel || !slices.Equal(h.Labels[:last], f.Head.Labels) {
			t.Fatalf("%s: got labels %q, want the classes and %q", m, h.Labels, UnknownLabel)
		}
		with, without := make([]float64, last+1), make([]float64, last)
		rejected := 0
		for _, e := range append(clusters(9, 40, 20), examples...) {
			h.Logits(with, e.Unit)
			f.Head.Logits(without, e.Unit)
			if !slices.Equal(with[:last], without) {
				t.Fatalf("%s: the logits of the classes have changed", m)
			}
			tr := train(t, examples, false)
			l, _, err := tr.layer(f.Recipe)
			if err != nil {
				t.Fatal(err)
			}
			score := f.acceptScore(&l, e)
			if math.Abs(score-r.Threshold) < 1e-4*math.Abs(r.Threshold) {
				continue // rounding to float32 decides
			}
			if got, want := ArgMax(with) == last, score < r.Threshold; got != want {
				t.Errorf("%s: got unknown %v for accept score %v and threshold %v", m, got, score, r.Threshold)
			}
			if ArgMax(with) == last {
				rejected++
			}
		}
		if rejected == 0 {
			t.Errorf("%s: no photo was rejected", m)
		}
	}
}

func TestRejectRefuses(t *testing.T) {
	examples := clusters(8, 20, 4, 4)
	f, err := Fit(examples, Ridge, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Reject(f, examples, nil, 0.1); !errors.Is(err, ErrNoNegatives) {
		t.Errorf("two classes: got %v, want %v", err, ErrNoNegatives)
	}
	for name, call := range map[string]func() error{
		"rate 0": func() error { _, _, err := Reject(f, examples, examples, 0); return err },
		"rate 1": func() error { _, _, err := Reject(f, examples, examples, 1); return err },
	} {
		if err := call(); !errors.Is(err, ErrRate) {
			t.Errorf("%s: got %v, want %v", name, err, ErrRate)
		}
	}
	if _, r, err := Reject(f, examples, clusters(1, 20, 9), 0.2); err != nil || r.Negatives != 9 || r.FalseAccepts != 1 {
		t.Errorf("two classes and nine negatives: got %+v, error %v, want 1 false accept", r, err)
	}
}

// TestCalibration checks that calibration does not increase the calibration error.
func TestCalibration(t *testing.T) {
	f, err := Fit(clusters(10, 12, 30, 30, 30), Mean, false)
	if err != nil {
		t.Fatal(err)
	}
	if !(f.CalibrationError >= 0 && f.CalibrationError <= f.UncalibratedError && f.UncalibratedError <= 1) {
		t.Errorf("got calibration error %v, want at most the uncalibrated error %v", f.CalibrationError, f.UncalibratedError)
	}
}
