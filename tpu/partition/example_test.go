package partition_test

import (
	"fmt"
	"log"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/tpu/partition"
)

func ExampleNew() {
	m, err := tflite.Parse(backbonetest.Classifier(12))
	if err != nil {
		log.Fatal(err)
	}
	// Use an activation that the Edge TPU does not support.
	m.Subgraphs[0].Operators[5].Opcode = m.OperatorCode(tflite.OpHardSwish, "", 1)

	p, err := partition.New(m)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d of %d operators on the Edge TPU\n", p.Mapped, len(p.Operators))
	for _, o := range p.Operators {
		switch {
		case o.Reason != "":
			fmt.Printf("%s, %s: %s\n", o.Place, o.Name, o.Reason)
		case o.DependsOn >= 0:
			fmt.Printf("%s, %s: depends on operator %d\n", o.Place, o.Name, o.DependsOn)
		}
	}
	// Output:
	// 5 of 7 operators on the Edge TPU
	// cpu after, HARD_SWISH: the Edge TPU does not support this operator
	// cpu after, SOFTMAX: depends on operator 5
}
