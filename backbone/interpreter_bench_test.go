package backbone

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

// BenchmarkInvoke runs whole models on one thread and on two.
func BenchmarkInvoke(b *testing.B) {
	models := goldenModels(b)
	for _, name := range slices.Sorted(maps.Keys(models)) {
		for threads := 1; threads <= 2; threads++ {
			b.Run(fmt.Sprintf("%s/threads=%d", name, threads), func(b *testing.B) {
				in, err := NewInterpreter(sharedModel(b, models[name].File), InterpreterOptions{Threads: threads})
				if err != nil {
					b.Fatal(err)
				}
				defer in.Close()
				copy(in.Input(0), reference.Read(b, "golden", name, models[name].Cases[0].Input))
				b.ReportAllocs()
				for b.Loop() {
					if err := in.Invoke(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
