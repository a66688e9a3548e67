package classifier

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
)

// streamOf returns a stream of examples. It adds up their totals in several parts, which it encodes
// and merges in another order, and finds near-duplicates in blocks.
func streamOf(t *testing.T, examples []Example, sqrt bool) *Stream {
	t.Helper()
	examples = sortedExamples(examples)
	dim := len(examples[0].Unit)
	all := NewTotals(dim, sqrt)
	const parts = 5
	for part := range parts {
		some := NewTotals(dim, sqrt)
		for i := len(examples) - 1 - part; i >= 0; i -= parts {
			if err := some.Add(examples[i].Label, examples[i].Unit); err != nil {
				t.Fatal(err)
			}
		}
		b, err := some.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var decoded Totals
		if err := decoded.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if err := all.Merge(&decoded); err != nil {
			t.Fatal(err)
		}
	}
	s := &Stream{Totals: all, Read: func(indexes []int) ([]Example, error) { return pick(examples, indexes), nil }}
	const block = 100
	first := 0
	for _, n := range all.Counts() {
		class := examples[first : first+n]
		var pairs [][2]int
		for i := 0; i < n; i += block {
			for j := 0; j <= i; j += block {
				for _, p := range NearDuplicatesBetween(class[i:min(i+block, n)], class[j:min(j+block, n)], all.NearDuplicateDistance()) {
					pairs = append(pairs, [2]int{first + i + p[0], first + j + p[1]})
				}
			}
		}
		s.Bursts = append(s.Bursts, Groups(pairs)...)
		first += n
	}
	return s
}

// TestStreamFit compares the head and its evaluation with those of Fit.
func TestStreamFit(t *testing.T) {
	for _, test := range []struct {
		dim    int
		counts []int
		method Method
	}{
		{20, []int{500, 400, 300}, Auto},
		{20, []int{900, 1, 700, 2}, Auto},
		{33, []int{2000, 1500, 1600}, Auto}, // only some bursts are left out
		{20, []int{1100}, Auto},
		{20, []int{600, 600}, Mean},
		{20, []int{600, 600}, Ridge},
		{20, []int{600, 600}, LDA},
		{20, slices.Repeat([]int{5}, 230), RidgeLDA},
	} {
		t.Run(fmt.Sprint(test.method, test.dim, len(test.counts)), func(t *testing.T) {
			examples := gridClusters(3, test.dim, test.counts...)
			for i := range len(examples) / 9 { // near-duplicates, of up to four photos
				copy(examples[9*i+1+i%3].Unit, examples[9*i].Unit)
				if at := 9 * (i / 4); examples[at].Label == examples[9*i].Label {
					copy(examples[9*i].Unit, examples[at].Unit)
				}
			}
			want, err := Fit(examples, test.method, true)
			if err != nil {
				t.Fatal(err)
			}
			s := streamOf(t, examples, true)
			got, err := s.Fit(test.method, true)
			if err != nil {
				t.Fatal(err)
			}
			b := backgroundOf(t, 3, test.dim, 60, want.Head.Sqrt)
			wantHead, wantRejection, err := b.Reject(want, examples, nil, 0.1)
			if err != nil {
				t.Fatal(err)
			}
			gotHead, gotRejection, err := s.Reject(b, got, 0.1)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(gotHead, wantHead) || !reflect.DeepEqual(gotRejection, wantRejection) {
				t.Errorf("got another row for unknown things: %+v, want %+v", gotRejection, wantRejection)
			}
			wantHead, wantRejection, err = RejectUnlike(want, examples, nil, 0.1)
			gotHead, gotRejection, gotErr := s.RejectUnlike(got, 0.1)
			if !reflect.DeepEqual(gotHead, wantHead) || !reflect.DeepEqual(gotRejection, wantRejection) || fmt.Sprint(gotErr) != fmt.Sprint(err) {
				t.Errorf("got another row for what is unlike the classes: %+v, %v, want %+v, %v", gotRejection, gotErr, wantRejection, err)
			}
			if !reflect.DeepEqual(got.Head, want.Head) {
				t.Error("got another head")
			}
			if len(s.Bursts) == 0 && len(test.counts) < 100 {
				t.Error("there are no near-duplicates")
			}
			if g, w := describe(got), describe(want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		})
	}
}

// describe returns everything that f has besides the head. Unlike reflect.DeepEqual, it takes NaN for
// equal to NaN.
func describe(f *Fitted) string {
	return fmt.Sprint(f.Recipe, f.Estimate, f.LogLoss, f.CalibrationError, f.UncalibratedError, f.Temperature, f.Candidates, fmt.Sprintf("%+v", f.Advice), f.scale)
}

func TestStreamErrors(t *testing.T) {
	few := streamOf(t, gridClusters(1, 10, 600, 424), true)
	failing := streamOf(t, gridClusters(1, 10, 600, 600), true)
	mine := errors.New("mine")
	failing.Read = func([]int) ([]Example, error) { return nil, mine }
	other := NewTotals(11, true)
	for _, test := range []struct {
		name string
		err  error
		want error
	}{
		{"too few examples", fitError(few, Auto), ErrExamples},
		{"Read fails", fitError(failing, Ridge), mine},
		{"Read fails for the comparison", fitError(failing, Auto), mine},
		{"embedding of another size", other.Add("a", make([]float64, 10)), ErrShape},
		{"totals of another size", few.Totals.Merge(other), ErrShape},
		{"no totals", other.UnmarshalBinary([]byte("no")), ErrShape},
	} {
		if !errors.Is(test.err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, test.err, test.want)
		}
	}
	if fitError(few, Softmax) == nil {
		t.Error("got no error for gradient descent")
	}
}

func fitError(s *Stream, m Method) error {
	_, err := s.Fit(m, true)
	return err
}
