package kernels_test

import (
	"fmt"
	"log"

	"github.com/imprintkit/imprint/backbone/kernels"
)

// Add the row 0.5, 1 to both rows of a matrix. Codes are real values times 2.
func ExampleNewAdd() {
	tensor := func(shape ...int) *kernels.Tensor {
		return &kernels.Tensor{Type: kernels.Uint8, Shape: shape, Scale: []float32{0.5}, ZeroPoint: []int64{0}}
	}
	k, err := kernels.NewAdd(kernels.None, tensor(2, 2), tensor(1, 2), tensor(2, 2))
	if err != nil {
		log.Fatal(err)
	}
	a := &kernels.Args{
		In:      [][]byte{{2, 4, 6, 8}, {1, 2}},
		Out:     make([]byte, 4),
		Scratch: make([]byte, k.Scratch()),
	}
	k.Run(a, 0, k.Parts())
	fmt.Println(a.Out)
	// Output: [3 6 7 10]
}
