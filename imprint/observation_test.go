package imprint

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

// observations are what Add makes of photos, taken from the Workspace that was taught them.
func observations(k *Workspace, taken time.Time) []Observation {
	var list []Observation
	for _, e := range k.state.Examples {
		list = append(list, Observation{Label: e.Label, Photo: e.Photo, Path: e.Path, Source: "camera", Taken: taken, Embedding: e.Raw})
	}
	return list
}

// Teaching embeddings gives the model that teaching the photos gives.
func TestAddObserved(t *testing.T) {
	whole := newOpened(t)
	mustAdd(t, whole, append(photos("a", 1, 0, 3), photos("b", 2, 0, 3)...)...)
	k := newOpened(t)
	taken := time.UnixMilli(1795900000050).UTC()
	given := observations(whole, taken)
	given = append(given, given[0]) // the same frame twice
	learned, err := k.AddObservations(context.Background(), given)
	if err != nil {
		t.Fatal(err)
	}
	if learned.Photos != 6 || len(learned.Skipped) != 1 || !learned.Skipped[0].Duplicate {
		t.Errorf("learned %d, skipped %v; want 6 and one duplicate", learned.Photos, learned.Skipped)
	}
	if !bytes.Equal(readModel(t, k), readModel(t, whole)) {
		t.Error("another model than that of the photos")
	}
	wantTaught(t, k, map[string]int{"a": 3, "b": 3})
	if got := k.Classes()[0].Photos[0]; !got.Taken.Equal(taken) || got.Source != "camera" {
		t.Errorf("got %q at %v, want camera at %v", got.Source, got.Taken, taken)
	}
	// Known already: nothing changes.
	was := files(t, k.store.Dir)
	if learned, err = k.AddObservations(context.Background(), given); err != nil || learned.Photos != 0 || len(learned.Skipped) != 7 {
		t.Errorf("again: %+v, %v; want 7 skipped", learned, err)
	}
	sameFiles(t, files(t, k.store.Dir), was)
}

func TestAddObservedRefuses(t *testing.T) {
	k := newOpened(t)
	zero := bytes.Repeat([]byte{byte(k.backbone.Embedding.ZeroPoint[0])}, k.backbone.EmbeddingSize())
	for _, c := range []struct {
		what string
		o    Observation
		want error
	}{
		{"label", Observation{Label: "", Embedding: zero}, store.ErrLabel},
		{"size", Observation{Label: "a", Embedding: zero[1:]}, ErrOtherBackbone},
		{"nothing seen", Observation{Label: "a", Embedding: zero}, ErrNoPhotos},
	} {
		if _, err := k.AddObservations(context.Background(), []Observation{c.o}); !errors.Is(err, c.want) {
			t.Errorf("%s: got %v, want %v", c.what, err, c.want)
		}
	}
	if k.Generation() != 0 {
		t.Errorf("generation %d, want 0", k.Generation())
	}
}
