package evaluate

import (
	"context"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

func TestEvaluateOthers(t *testing.T) {
	ctx := context.Background()
	b, err := backbone.Parse(builtin.Model(), backbone.Options{Name: builtin.Name})
	if err != nil {
		t.Fatal(err)
	}
	o := EmbedOptions{Resize: dataset.Crop, Support: 3, Episodes: 2}
	s, _, _, err := Embed(ctx, "cones", b, append(phototest.Waves("cone", 1, 6), phototest.Waves("duck", 2, 6)...), o)
	if err != nil {
		t.Fatal(err)
	}
	items := append(phototest.Blocks(20), dataset.Item{Path: "empty", Content: []byte{}})
	others, skipped, err := EmbedOthers(ctx, "others", b, items, o)
	if err != nil || len(others.Units) != 20 || len(skipped) != 1 {
		t.Fatalf("got %d photos, %v skipped, error %v, want 20 and 1", len(others.Units), skipped, err)
	}
	own := Photos{Name: "own", Units: s.Units}
	got, err := s.EvaluateOthers(ctx, []classifier.Method{classifier.Auto}, []int{1, 3}, 0.05, b, []Photos{others, own})
	if err != nil || len(got) != 4 {
		t.Fatalf("got %+v, %v, want 4 results", got, err)
	}
	for i, r := range got {
		if r.Classes != 1+i%2 || r.Support != 1+2*(i/2) || r.TargetFAR != 5 || r.Episodes != 2 || len(r.Sets) != 2 {
			t.Errorf("got %+v, want %d classes", r, 1+i%2)
		}
		if r.Kept < 80 || r.Correct > r.Forced || r.Sets[0].Accepted > 50 || r.Sets[0].KeptAt5 < 80 {
			t.Errorf("got %+v, want other things rejected", r)
		}
		if r.Sets[1].Set != "own" || r.Sets[1].Accepted < 50 || r.Sets[1].KeptAt5 > 50 {
			t.Errorf("got %+v for the photos of the classes, want most accepted", r.Sets[1])
		}
	}

	without, err := backbone.Parse(append(builtin.Model(), 0), backbone.Options{Name: "own"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.EvaluateOthers(ctx, []classifier.Method{classifier.Auto}, []int{1, 3}, 0.05, without, []Photos{others})
	wantError(t, err, ErrProtocol)
	o.Support = 10
	many, _, _, err := Embed(ctx, "cones", without, append(phototest.Waves("cone", 1, 12), phototest.Waves("duck", 2, 12)...), o)
	if err != nil {
		t.Fatal(err)
	}
	got, err = many.EvaluateOthers(ctx, []classifier.Method{classifier.Auto, classifier.CoralSGD}, []int{1, 10}, 0.05, without, []Photos{others})
	if err != nil || len(got) == 0 {
		t.Fatalf("got %v, %v, want results without a background", got, err)
	}
	for _, r := range got {
		if r.Support != 10 || r.Head != string(classifier.Auto) || r.Kept < 50 || r.Sets[0].Accepted > 50 {
			t.Errorf("got %+v, want other things rejected, after 10 photos", r)
		}
	}

	_, err = s.EvaluateOthers(ctx, nil, nil, 0.05, b, []Photos{{Name: "none"}})
	wantError(t, err, ErrProtocol)
	_, err = s.EvaluateOthers(ctx, []classifier.Method{classifier.Auto}, []int{4}, 0.05, b, []Photos{others})
	wantError(t, err, ErrProtocol)
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = s.EvaluateOthers(cancelled, []classifier.Method{classifier.Auto}, []int{1}, 0.05, b, []Photos{others})
	wantError(t, err, context.Canceled)
}
