package imprint

import (
	"bytes"
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imprintkit/imprint/imprint/internal/store"
)

// observations returns the photos of a workspace as observations.
func observations(w *Workspace, taken time.Time) []Observation {
	var list []Observation
	for _, e := range w.state.Examples {
		list = append(list, Observation{Label: e.Label, Photo: e.Photo, Path: e.Path, Source: "camera", Taken: taken, Embedding: e.Raw})
	}
	return list
}

// TestAddObservations checks that adding observations gives the same model as adding their
// photos.
func TestAddObservations(t *testing.T) {
	whole := openNew(t)
	mustAdd(t, whole, append(photos("a", 1, 0, 3), photos("b", 2, 0, 3)...)...)
	w := openNew(t)
	taken := time.UnixMilli(1795900000050).UTC()
	given := observations(whole, taken)
	given = append(given, given[0]) // the same frame twice
	added, err := w.AddObservations(context.Background(), given)
	if err != nil {
		t.Fatal(err)
	}
	if added.Photos != 6 || len(added.Skipped) != 1 || !added.Skipped[0].Duplicate {
		t.Errorf("got %d photos added, %v skipped, want 6 and one duplicate", added.Photos, added.Skipped)
	}
	if !bytes.Equal(readModel(t, w), readModel(t, whole)) {
		t.Error("got another model than after adding the photos")
	}
	wantPhotos(t, w, map[string]int{"a": 3, "b": 3})
	if got := w.Classes()[0].Photos[0]; !got.Taken.Equal(taken) || got.Source != "camera" {
		t.Errorf("got source %q at %v, want camera at %v", got.Source, got.Taken, taken)
	}
	// If they are added again, all are duplicates, and nothing may change.
	before := files(t, w.store.Dir)
	if added, err = w.AddObservations(context.Background(), given); err != nil || added.Photos != 0 || len(added.Skipped) != 7 {
		t.Errorf("again: got %+v, %v, want 7 skipped", added, err)
	}
	sameFiles(t, files(t, w.store.Dir), before)
}

func TestAddObservationsErrors(t *testing.T) {
	w := openNew(t)
	zero := bytes.Repeat([]byte{byte(w.backbone.Embedding.ZeroPoint[0])}, w.backbone.EmbeddingSize())
	for _, test := range []struct {
		name string
		o    Observation
		want error
	}{
		{"label", Observation{Label: "", Embedding: zero}, store.ErrLabel},
		{"embedding size", Observation{Label: "a", Embedding: zero[1:]}, ErrOtherBackbone},
		{"zero embedding", Observation{Label: "a", Embedding: zero}, ErrNoPhotos},
	} {
		if _, err := w.AddObservations(context.Background(), []Observation{test.o}); !errors.Is(err, test.want) {
			t.Errorf("%s: got error %v, want %v", test.name, err, test.want)
		}
	}
	if w.Generation() != 0 {
		t.Errorf("got generation %d, want 0", w.Generation())
	}
}
