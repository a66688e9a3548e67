package emulator

import (
	"testing"

	"github.com/imprintkit/imprint/tools/reference"
)

// BenchmarkInference measures an inference in the emulator, on one core.
func BenchmarkInference(b *testing.B) {
	for _, model := range []string{"mobilenet_v1_0.25_128_quant", "mobilenet_v1_0.5_160_quant", "mobilenet_v1_1.0_224_quant_embedding_extractor"} {
		b.Run(model, func(b *testing.B) {
			compiled := reference.Read(b, "models", model+"_edgetpu.tflite")
			d := New(Config{Application: true})
			if err := d.Register(compiled, reference.Read(b, "models", model+".tflite")); err != nil {
				b.Fatal(err)
			}
			pkg := parsePackage(b, compiled)
			h := openHost(b, d)
			h.run(pkg.Caching, nil)
			input := make([]byte, pkg.Main.Inputs[0].Size)
			h.run(pkg.Main, input)
			b.ReportAllocs()
			b.ResetTimer()
			for range b.N {
				h.run(pkg.Main, input)
			}
		})
	}
}
