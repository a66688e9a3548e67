package predict_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
	"github.com/imprintkit/imprint/imprint/predict"
)

func ExampleFile() {
	dir, err := os.MkdirTemp("", "example")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	model := filepath.Join(dir, "model.tflite") // any classifier; this one has random weights
	if err := os.WriteFile(model, backbonetest.Classifier(3), 0o644); err != nil {
		log.Fatal(err)
	}

	photos := []dataset.Item{
		{Path: "a.png", Content: phototest.Picture(2, 1)},
		{Path: "b.png", Content: []byte("not a photo")},
	}
	err = predict.File(context.Background(), model, predict.Options{Top: 1}, photos, func(r predict.Result) error {
		if r.Err != nil {
			fmt.Println("skipped", r.Path) // r.Err says why
			return nil
		}
		fmt.Printf("%s: %s %.0f %%\n", r.Path, r.Label, 100*r.Score)
		return nil
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// a.png: base 1 46 %
	// skipped b.png
}
