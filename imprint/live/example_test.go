package live_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"log"
	"os"
	"slices"

	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/live"
)

// This example adds a class to the workspace of a Live and reloads it. Run Live.Watch to reload
// when another process changes the workspace.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	l, err := live.Open(ctx, dir, imprint.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer l.Close()
	frame, _, err := image.Decode(bytes.NewReader(phototest.Picture(2, 50)))
	if err != nil {
		log.Fatal(err)
	}
	show := func() {
		r, err := l.Classify(ctx, frame, 1)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Printf("generation %d: %q, unknown: %v\n", r.Generation, r.Label, r.Unknown)
	}
	show()

	w, err := l.Workspace(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	photos := slices.Concat(phototest.Photos("red", 1, 0, 5), phototest.Photos("green", 2, 0, 5))
	if _, err := w.Add(ctx, photos, imprint.AddOptions{}); err != nil {
		log.Fatal(err)
	}
	if _, err := l.Reload(ctx); err != nil {
		log.Fatal(err)
	}
	show()
	// Output:
	// generation 0: "", unknown: true
	// generation 1: "green", unknown: false
}
