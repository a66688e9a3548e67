package executable_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/imprintkit/imprint/tpu/executable"
)

// facts holds sizes and tokens from recordings of Google's own driver, by model.
var facts = map[string]struct {
	minRuntime, chunk, cachingChunk, cached, streamed int
	token                                             uint64
}{
	"mobilenet_v1_0.25_128_quant":                    {12, 170032, 12624, 566912, 0, 0x6d146c3f97d6648c},
	"mobilenet_v1_0.5_160_quant":                     {12, 205936, 12624, 1473280, 0, 0x8ebc2700de21d6aa},
	"mobilenet_v1_1.0_224_quant_embedding_extractor": {12, 87584, 4688, 3363072, 0, 0x7344024d6cff6b4a},
	"deeplabv3_mnv2_dm05_pascal_quant":               {12, 160672, 8016, 766720, 0, 0x36959a24102f7acd},
	"movenet_single_pose_lightning_ptq":              {12, 133408, 10032, 2862656, 2368, 0x83f398195dd768f2},
	"older/mobilenet_v1_0.25_128_quant":              {12, 45712, 6352, 518656, 0, 0x405f7e8fd15e254b},
	"older/mobilenet_v2_1.0_224_quant":               {12, 129632, 9680, 3900864, 0, 0xbdd28bdebd944998},
	"pairs/dense_256":                                {14, 4224, 1072, 67584, 0, 0xfce222d70d502fb8},
}

func TestModels(t *testing.T) {
	models := sharedOptions(t)
	for name, options := range models {
		p, err := executable.Parse(options)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if len(p.Ignored) > 0 {
			t.Errorf("%s: unknown fields %v", name, p.Ignored)
		}
		if p.Caching == nil || p.Main.Type != executable.ExecutionOnly || p.Caching.Token != p.Main.Token ||
			!p.Main.Deterministic || p.Main.Chip != "beagle" {
			t.Fatalf("%s: main %s, caching %v", name, p.Main.Type, p.Caching != nil)
		}
		checkRegularities(t, name, p)
		checkLayers(t, name, p.Main)
		want, ok := facts[name]
		if !ok {
			continue
		}
		got := want
		got.minRuntime, got.token = p.MinRuntimeVersion, p.Main.Token
		got.chunk, got.cachingChunk = len(p.Main.Chunks[0].Bytes), len(p.Caching.Chunks[0].Bytes)
		got.cached, got.streamed = len(p.Caching.Parameters), len(p.Main.Parameters)
		if got != want {
			t.Errorf("%s: got %+v, want %+v", name, got, want)
		}
	}
	for name := range facts {
		if models[name] == nil {
			t.Errorf("%s is missing", name)
		}
	}
}

// checkRegularities checks what all known files have in common: the first instruction
// of each chunk, the last hint, and address fields that are 0 and at the same position
// in their instructions.
func checkRegularities(t *testing.T, name string, p *executable.Package) {
	for _, e := range p.Executables {
		for _, c := range e.Chunks {
			if !bytes.HasPrefix(c.Bytes, []byte{0x80, 0x0f, 0}) {
				t.Errorf("%s: first instruction % x", name, c.Bytes[:16])
			}
			patched := bytes.Clone(c.Bytes)
			for _, f := range c.Fields {
				if f.Bit%128 != 70 {
					t.Errorf("%s: field at bit %d of its instruction", name, f.Bit%128)
				}
				f.Put(patched, 0)
			}
			if !bytes.Equal(patched, c.Bytes) {
				t.Errorf("%s: a field is not 0", name)
			}
		}
		last := e.Hints[len(e.Hints)-1]
		if last.Tag() != 4 {
			t.Errorf("%s: the last hint is %+v", name, last)
		}
	}
}

// checkLayers tests that ToDevice and FromDevice are inverses, and that Direct is
// correct.
func checkLayers(t *testing.T, name string, e *executable.Executable) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, list := range [][]executable.Layer{e.Inputs, e.Outputs} {
		for _, l := range list {
			tensor := make([]byte, l.TensorSize())
			for i := range tensor {
				tensor[i] = byte(random.Uint32())
			}
			raw, back := make([]byte, l.Size), make([]byte, l.TensorSize())
			if err := l.ToDevice(raw, tensor); err != nil {
				t.Fatal(err)
			}
			if err := l.FromDevice(back, raw); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(back, tensor) {
				t.Errorf("%s: layer %q differs after a round trip", name, l.Name)
			}
			if l.Direct() != bytes.Equal(raw[:len(tensor)], tensor) {
				t.Errorf("%s: layer %q direct: %v", name, l.Name, l.Direct())
			}
		}
	}
}
