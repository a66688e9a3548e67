package models_test

import (
	"errors"
	"fmt"
	"log"

	"github.com/imprintkit/imprint/backbone/models"
)

func ExampleFind() {
	p, err := models.Find("mobilenet_v1_0.25_128_quant")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s: %d bytes, %d×%d photos, embeddings of %d values\n", p.Name, p.Size, p.Input, p.Input, p.Embedding)

	_, err = models.Find("inat_bird")
	fmt.Println(err)
	if unknown := (*models.NameError)(nil); errors.As(err, &unknown) {
		fmt.Println(unknown.Near)
	}
	// Output:
	// mobilenet_v1_0.25_128_quant: 525598 bytes, 128×128 photos, embeddings of 256 values
	// "inat_bird" is not a known model; did you mean mobilenet_v2_1.0_224_inat_bird_quant or mobilenet_v2_1.0_224_inat_bird_quant_edgetpu?
	// [mobilenet_v2_1.0_224_inat_bird_quant mobilenet_v2_1.0_224_inat_bird_quant_edgetpu]
}
