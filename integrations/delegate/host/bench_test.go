package host_test

import (
	"context"
	"testing"

	"github.com/imprintkit/imprint/integrations/delegate/host"
)

// BenchmarkRun measures the driver and the emulator without a TensorFlow Lite runtime. Subtract it from
// the time that client.c prints for the same model, with the option emulator=pattern.
func BenchmarkRun(b *testing.B) {
	m := readModel(b, small, false)
	_, o := m.start(b, host.New(fast), 0)
	got := make([]byte, len(m.want))
	inputs, outputs := [][]byte{m.input}, [][]byte{got}
	b.ReportAllocs()
	for b.Loop() {
		if err := o.Run(context.Background(), inputs, outputs); err != nil {
			b.Fatal(err)
		}
	}
}
