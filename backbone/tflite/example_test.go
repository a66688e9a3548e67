package tflite_test

import (
	"fmt"
	"log"
	"slices"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
)

// Parse a classifier, rename its classes and write it again.
func ExampleParse() {
	m, err := tflite.Parse(backbonetest.Classifier(3))
	if err != nil {
		log.Fatal(err)
	}
	labels, err := m.Labels()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", labels)

	if err := m.SetLabels([]string{"cat", "dog", "hot dog"}); err != nil {
		log.Fatal(err)
	}
	file, err := m.Encode()
	if err != nil {
		log.Fatal(err)
	}

	m, err = tflite.Parse(file)
	if err != nil {
		log.Fatal(err)
	}
	labels, err = m.Labels()
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%q\n", labels)
	// Output:
	// ["base 0" "base 1" "base 2"]
	// ["cat" "dog" "hot dog"]
}

// Cut a classifier off after its embedding.
func ExampleModel_Prune() {
	m, err := tflite.Parse(backbonetest.Classifier(3))
	if err != nil {
		log.Fatal(err)
	}
	main := &m.Subgraphs[0]
	embedding := slices.IndexFunc(main.Tensors, func(t tflite.Tensor) bool { return t.Name == "embedding" })
	if err := m.Prune(0, []int32{int32(embedding)}); err != nil {
		log.Fatal(err)
	}
	for _, op := range main.Operators {
		out := main.Tensors[op.Outputs[0]]
		fmt.Println(m.OperatorCodes[op.Opcode].Builtin, out.Name, out.Shape)
	}
	// Output:
	// CONV_2D conv [1 16 16 16]
	// DEPTHWISE_CONV_2D depthwise [1 16 16 16]
	// CONV_2D pointwise [1 16 16 48]
	// AVERAGE_POOL_2D embedding [1 1 1 48]
}
