package builtin_test

import (
	"fmt"
	"log"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/builtin"
)

// Load the built-in backbone.
func ExampleModel() {
	b, err := backbone.Parse(builtin.Model(), backbone.Options{Name: builtin.Name})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d×%d pixels, %d values\n", b.Width, b.Height, b.Dim())
	// Output: 128×128 pixels, 256 values
}
