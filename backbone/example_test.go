package backbone_test

import (
	"context"
	"fmt"
	"log"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
)

func ExampleParse() {
	b, err := backbone.Parse(backbonetest.Extractor(), backbone.Options{Name: "tiny.tflite"})
	if err != nil {
		log.Fatal(err)
	}
	photo, err := dataset.Decode(backbonetest.Photo(1, 1), dataset.DefaultLimits())
	if err != nil {
		log.Fatal(err)
	}

	r := b.NewRunner(1)
	defer r.Close()
	if err := dataset.Crop.Resize(r.RGB(), photo.Image, b.Width, b.Height); err != nil {
		log.Fatal(err)
	}
	raw, err := r.Embed(context.Background())
	if err != nil {
		log.Fatal(err)
	}

	embedding := make([]float64, b.Dim())
	b.Dequantize(embedding, raw)
	fmt.Printf("%d×%d photo, %d values\n", b.Width, b.Height, b.Dim())
	fmt.Printf("%.3f\n", embedding[:6])
	// Output:
	// 32×32 photo, 48 values
	// [0.024 0.188 0.282 0.212 0.024 0.024]
}

func ExampleNewInterpreter() {
	m, err := tflite.Parse(backbonetest.Classifier(3))
	if err != nil {
		log.Fatal(err)
	}
	in, err := backbone.NewInterpreter(m, backbone.InterpreterOptions{Threads: 2})
	if err != nil {
		log.Fatal(err)
	}
	defer in.Close()

	for i := range in.Input(0) {
		in.Input(0)[i] = 128 // a gray photo
	}
	if err := in.Invoke(context.Background()); err != nil {
		log.Fatal(err)
	}

	out := in.Outputs()[0]
	scores := make([]float64, len(in.Output(0)))
	out.Dequantize(scores, in.Output(0))
	fmt.Println(out.Name, out.Shape, scores)
	// Output: scores [1 3] [0.3671875 0.40625 0.22265625]
}
