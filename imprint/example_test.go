package imprint_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

// This example renders its photos. Use dataset.Walk to list the photos in a folder.
func ExampleOpen() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// A new workspace has the built-in backbone, unless the options name another.
	w, err := imprint.Open(filepath.Join(dir, "workspace"), imprint.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	photos := slices.Concat(phototest.Photos("red", 1, 0, 5), phototest.Photos("green", 2, 0, 5), phototest.Photos("blue", 4, 0, 5))
	added, err := w.Add(ctx, photos, imprint.AddOptions{})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("added %d photos to %d classes\n", added.Photos, len(added.Classes))

	unseen := []dataset.Item{
		{Path: "a.png", Content: phototest.Picture(4, 50)},
		{Path: "b.png", Content: phototest.Picture(1, 50)},
	}
	err = w.Classify(ctx, unseen, 1, func(r predict.Result) error {
		if r.Err != nil {
			return r.Err
		}
		fmt.Printf("%s: %s\n", r.Path, r.Label)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// added 15 photos to 3 classes
	// a.png: blue
	// b.png: red
}

func ExampleWorkspace_Undo() {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	w, err := imprint.Open(dir, imprint.Options{})
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	if _, err := w.Add(ctx, slices.Concat(phototest.Photos("cat", 1, 0, 3), phototest.Photos("dog", 2, 0, 2)), imprint.AddOptions{}); err != nil {
		log.Fatal(err)
	}
	show := func() {
		for _, c := range w.Classes() {
			fmt.Printf("%s: %d photos\n", c.Label, len(c.Photos))
		}
	}

	if _, err := w.Remove(ctx, "dog", nil); err != nil {
		log.Fatal(err)
	}
	show()
	undone, err := w.Undo(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("undid", undone.Verb, undone.Photos)
	show()
	// Output:
	// cat: 3 photos
	// undid remove map[dog:2]
	// cat: 3 photos
	// dog: 2 photos
}
