package tpu_test

import (
	"testing"

	"github.com/imprintkit/imprint/tpu/emulator"
)

// BenchmarkInProcess measures an inference on the in-process emulator, without its arithmetic.
func BenchmarkInProcess(b *testing.B) {
	for _, name := range []string{
		"mobilenet_v1_0.25_128_quant", "mobilenet_v1_1.0_224_quant_embedding_extractor",
		"movenet_single_pose_lightning_ptq", "deeplabv3_mnv2_dm05_pascal_quant",
	} {
		b.Run(name, func(b *testing.B) {
			model := readModel(b, name)
			model.uncompiled = nil
			r := model.emulate(b, emulator.Config{Application: true})
			_, m := r.start(b, options())
			before := r.device.Transfers()
			b.ReportAllocs()
			for b.Loop() {
				if err := m.Run(b.Context(), r.input, r.want); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(r.device.Transfers()-before)/float64(b.N), "transfers/op")
		})
	}
}
