package imprint

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint/evaluate"
)

// evaluated returns a leave-one-out evaluation of a workspace, by default with its own head.
func evaluated(ctx context.Context, w *Workspace, heads []classifier.Method, support []int, episodes int) (*evaluate.Evaluation, error) {
	s, err := w.Examples()
	if err != nil {
		return nil, err
	}
	if heads == nil {
		heads = []classifier.Method{w.Settings().Head}
	}
	return s.LeaveOneOut(ctx, heads, support, episodes)
}

func TestExamples(t *testing.T) {
	ctx := context.Background()
	w := openNew(t)
	_, err := w.Examples()
	wantError(t, err, ErrNoClasses)
	red := varied("red", 1, 7)
	red[6] = varied("red", 0, 8)[7] // a blue photo with the label red
	items := slices.Concat(varied("blue", 0, 6), varied("green", 2, 6), red, varied("white", 3, 1))
	items[2].Taken, items[3].Taken = time.Unix(9, 0), time.Unix(9, 0)
	if _, err := w.AddObservations(ctx, items); err != nil {
		t.Fatal(err)
	}
	ev, err := evaluated(ctx, w, nil, []int{1, 3, 50}, 4)
	if err != nil {
		t.Fatal(err)
	}
	d := ev.Heads[0]
	if e := w.Head().Estimate; *d.Estimate != e || d.Accuracy.N != e.Total || e.Excluded != 1 || e.Bursts != e.Total-1 || math.Abs(d.Accuracy.Value-e.Accuracy()) > 1e-4 {
		t.Errorf("got %+v, %+v, want the estimate %+v", d.Accuracy, d.Estimate, e)
	}
	if low, high := d.Estimate.Interval(); d.Accuracy.Low != low || d.Accuracy.High != high {
		t.Errorf("got %+v, want the interval %v to %v", d.Accuracy, low, high)
	}
	if d.Head != "auto" || d.Recipe != w.Head().Recipe.String() || ev.Set != "ws" || len(ev.Classes) != 4 || ev.Photos != len(items) {
		t.Errorf("got head %q (%q), set %q, %d classes, %d photos", d.Head, d.Recipe, ev.Set, len(ev.Classes), ev.Photos)
	}
	if len(ev.Results) != 2 || ev.Results[0].Support != 1 || ev.Results[1].Support != 3 || ev.Results[0].Episodes != 4 {
		t.Errorf("learning curve: got %+v, want 1 and 3 support photos, because no class has 50", ev.Results)
	}
	if len(ev.LabelSuspects) == 0 || ev.LabelSuspects[0].SHA256 != fmt.Sprintf("%x", red[6].Photo) || ev.LabelSuspects[0].LooksLike != "blue" {
		t.Errorf("label suspects: got %+v, want the blue photo labeled red first", ev.LabelSuspects)
	}
	all, err := evaluated(ctx, w, []classifier.Method{classifier.Mean, classifier.LDA}, nil, 0)
	if err != nil || len(all.Heads) != 2 || all.Heads[1].Head != "lda" || len(all.Results) != 0 {
		t.Errorf("two heads: got evaluation %+v, %v", all, err)
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, err = evaluated(cancelled, w, nil, []int{1}, 4)
	wantError(t, err, context.Canceled)
	_, err = evaluated(cancelled, w, nil, nil, 0)
	wantError(t, err, context.Canceled)

	one := openNew(t)
	mustAdd(t, one, photos("a", 0, 0, 1)...)
	if ev, err := evaluated(ctx, one, nil, []int{1}, 2); err != nil || ev.Heads[0].Accuracy.N != 0 || ev.Heads[0].Estimate.Excluded != 1 {
		t.Errorf("one photo: got evaluation %+v, %v, want one excluded photo", ev, err)
	}
}
