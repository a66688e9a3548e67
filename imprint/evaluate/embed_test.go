package evaluate

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

func TestEmbed(t *testing.T) {
	ctx := context.Background()
	b, err := backbone.Parse(backbonetest.Extractor(), backbone.Options{Name: "extractor"})
	if err != nil {
		t.Fatal(err)
	}
	items := phototest.Kinds(0, 6)
	items = append(items, items[0], dataset.Item{Path: "damaged.png", Label: "red", Content: items[0].Content[:100]})
	calls := 0
	s, skipped, err := embed(ctx, "four", b, items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 2, Progress: func(done, total int) { calls++ }})
	if err != nil {
		t.Fatal(err)
	}
	if calls != len(items) || len(s.Units) != 24 || len(s.Support) != 3 || len(s.Query[0]) != 16 || !slices.Equal(s.Classes, []string{"blue", "green", "red", "teal"}) {
		t.Errorf("got %d calls of Progress, %d photos, %d episodes, classes %q, want 24 photos, 3 episodes and 4 classes", calls, len(s.Units), len(s.Support), s.Classes)
	}
	if len(skipped) != 2 || !errors.Is(skipped[0].Err, ErrDuplicate) || errors.Is(skipped[1].Err, ErrDuplicate) {
		t.Errorf("got skipped photos %+v, want a duplicate and a damaged photo", skipped)
	}
	for d := range s.Support {
		seen := slices.Clone(s.Query[d])
		for c, rows := range s.Support[d] {
			for _, r := range rows {
				if s.Labels[r] != c {
					t.Errorf("episode %d: support photo %d of class %d belongs to class %d", d, r, c, s.Labels[r])
				}
			}
			seen = append(seen, rows...)
		}
		slices.Sort(seen)
		if len(slices.Compact(seen)) != 24 {
			t.Errorf("episode %d does not use each photo once: %v", d, seen)
		}
	}
	if reflect.DeepEqual(s.Support[0], s.Support[1]) {
		t.Error("two episodes are the same")
	}
	if ev, err := s.Evaluate(ctx, []classifier.Method{classifier.Mean}, []int{1, 2}); err != nil || ev.Results[1].Mean != 100 {
		t.Errorf("got %+v, %v, want an accuracy of 100", ev, err)
	}
	again, _, err := embed(ctx, "four", b, items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 1})
	if err != nil || !reflect.DeepEqual(again, s) {
		t.Errorf("with one thread: got another set, error %v", err)
	}

	for name, test := range map[string]struct {
		items []dataset.Item
		want  error
	}{
		"too few photos": {phototest.Kinds(0, 2), ErrProtocol},
		"one class":      {phototest.Photos("a", 0, 0, 5), ErrProtocol},
		"none":           {nil, ErrProtocol},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := embed(ctx, "few", b, test.items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 2})
			wantError(t, err, test.want)
		})
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	_, _, err = embed(cancelled, "four", b, items, EmbedOptions{Resize: dataset.Squash, Support: 2, Episodes: 3, Threads: 2})
	wantError(t, err, context.Canceled)
}
