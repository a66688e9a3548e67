package serve

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// TestAccuracyInterval checks that the page shows the same interval as the command. Both count a
// burst as one photo.
func TestAccuracyInterval(t *testing.T) {
	o := imprint.Options{Backbone: phototest.Backbone(t, "extractor.tflite", backbonetest.Extractor())}
	ws, err := imprint.Open(filepath.Join(t.TempDir(), "ws"), o)
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	var observed []imprint.Observation
	for class := range 4 {
		for i := range 6 {
			r := rand.New(rand.NewPCG(uint64(class), uint64(i)))
			o := imprint.Observation{Label: fmt.Sprint("class ", class), Embedding: make([]byte, 48), Taken: time.Date(2026, 11, 29, 12, 0, i/3, 0, time.UTC)} // in bursts of three photos
			for j := range o.Embedding {
				o.Embedding[j] = byte(r.IntN(100))
				if j/12 == class {
					o.Embedding[j] += 100
				}
			}
			o.Photo = sha256.Sum256(o.Embedding)
			observed = append(observed, o)
		}
	}
	if _, err := ws.AddObservations(t.Context(), observed); err != nil {
		t.Fatal(err)
	}
	e, got := ws.Head().Estimate, listClasses(ws).Accuracy
	low, high := e.Interval()
	if got != (Accuracy{e.Correct, e.Total, low, high}) {
		t.Errorf("got %+v, want %d of %d, %v to %v", got, e.Correct, e.Total, low, high)
	}
	if got := listClasses(ws).Unknown; !got.Unlike || got.FalseAccepts != 0.05 {
		t.Errorf("got %+v for a backbone without background, want that only its photos decide", got)
	}
	if e.Bursts == 0 || e.Bursts == e.Total {
		t.Errorf("got %d bursts of %d photos, want bursts of more than one photo", e.Bursts, e.Total)
	}
}
