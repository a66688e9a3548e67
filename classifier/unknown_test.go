package classifier

import (
	"errors"
	"math"
	"slices"
	"testing"
)

// The row wins where no class reaches the threshold, and only there.
func TestReject(t *testing.T) {
	for _, m := range []Method{Mean, Ridge, LDA, RidgeLDA} {
		examples := kinds(8, 40, 6, 6, 6, 6, 6)
		f, err := Fit(examples, m, false)
		if err != nil {
			t.Fatal(err)
		}
		h, r, err := Reject(f, examples, nil, nil, 0.1)
		if err != nil {
			t.Fatal(err)
		}
		if r.Negatives != 30 || r.FalseAccepts != 3 || r.Positives != 30 {
			t.Errorf("%s: got %+v, want 3 of 30 impostors accepted", m, r)
		}
		last := len(h.Labels) - 1
		if h.Labels[last] != UnknownLabel || !slices.Equal(h.Labels[:last], f.Head.Labels) {
			t.Fatalf("%s: labels %q", m, h.Labels)
		}
		with, without := make([]float64, last+1), make([]float64, last)
		unknown := 0
		for _, e := range append(kinds(9, 40, 20), examples...) {
			h.Logits(with, e.Unit)
			f.Head.Logits(without, e.Unit)
			if !slices.Equal(with[:last], without) {
				t.Fatalf("%s: the classes' logits have changed", m)
			}
			tr := train(t, examples, false)
			l, _, err := tr.layer(f.Recipe)
			if err != nil {
				t.Fatal(err)
			}
			largest := f.scale * l.stand(e.Unit)
			if math.Abs(largest-r.Threshold) < 1e-4*math.Abs(r.Threshold) {
				continue // float32 decides
			}
			if got, want := Best(with) == last, largest < r.Threshold; got != want {
				t.Errorf("%s: unknown wins: %v; the largest logit is %v, the threshold %v", m, got, largest, r.Threshold)
			}
			if Best(with) == last {
				unknown++
			}
		}
		if unknown == 0 {
			t.Errorf("%s: nothing is unknown", m)
		}
	}
}

func TestRejectRefuses(t *testing.T) {
	examples := kinds(8, 20, 4, 4)
	f, err := Fit(examples, Ridge, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Reject(f, examples, nil, nil, 0.1); !errors.Is(err, ErrNoNegatives) {
		t.Errorf("two classes: got %v, want %v", err, ErrNoNegatives)
	}
	for name, call := range map[string]func() error{
		"rate 0": func() error { _, _, err := Reject(f, examples, examples, nil, 0); return err },
		"rate 1": func() error { _, _, err := Reject(f, examples, examples, nil, 1); return err },
	} {
		if err := call(); !errors.Is(err, ErrShape) {
			t.Errorf("%s: got %v, want %v", name, err, ErrShape)
		}
	}
	if _, r, err := Reject(f, examples, kinds(1, 20, 9), nil, 0.2); err != nil || r.Negatives != 9 || r.FalseAccepts != 1 {
		t.Errorf("two classes and negatives: got %+v, %v", r, err)
	}
}

// Scaling makes scores truer than bold ones.
func TestCalibration(t *testing.T) {
	f, err := Fit(kinds(10, 12, 30, 30, 30), Mean, false)
	if err != nil {
		t.Fatal(err)
	}
	if !(f.Calibration >= 0 && f.Calibration <= f.Uncalibrated && f.Uncalibrated <= 1) {
		t.Errorf("expected calibration error %v after scaling and %v before", f.Calibration, f.Uncalibrated)
	}
}
