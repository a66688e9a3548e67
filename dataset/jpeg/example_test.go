package jpeg_test

import (
	"bytes"
	"fmt"
	"image"
	stdjpeg "image/jpeg"
	"log"

	"github.com/imprintkit/imprint/dataset/jpeg"
)

// At quarter size, a photo of 800×600 pixels decodes to 200×150 pixels.
func ExampleDecoder() {
	var file bytes.Buffer
	if err := stdjpeg.Encode(&file, image.NewRGBA(image.Rect(0, 0, 800, 600)), nil); err != nil {
		log.Fatal(err)
	}
	var d jpeg.Decoder
	img, err := d.Decode(file.Bytes(), jpeg.Options{Reduce: 4})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(img.Bounds())
	// Output: (0,0)-(200,150)
}
