package backbone_test

import (
	"testing"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/backbone/builtin"
)

// TestMultiplications checks numbers that were worked out by hand from the models' layers.
func TestMultiplications(t *testing.T) {
	for _, tt := range []struct {
		name  string
		model []byte
		want  int64
	}{
		// 16×16 places: 16 filters of 3×3×3, then 16 of 3×3, then 48 of 16.
		{"extractor", backbonetest.Extractor(), 256 * (16*27 + 16*9 + 48*16)},
		{"classifier", backbonetest.Classifier(5), 256 * (16*27 + 16*9 + 48*16)}, // without its last layer
		// 16×16 places: 16 of 27, 64 of 9×16, 16 of 64; 8×8 places: 32 of 9×16, 64 of 32, 64 of 9, 32 of 64, 64 of 32.
		{"efficientnet", backbonetest.EfficientNet(5), 256*(16*27+64*144+16*64) + 64*(32*144+64*32+64*9+32*64+64*32)},
		{"built-in", builtin.Model(), 13_300_000}, // MobileNet's paper says 14 million, with the last layer
	} {
		b, err := backbone.Parse(tt.model, backbone.Options{Name: tt.name})
		if err != nil {
			t.Fatal(err)
		}
		got := b.Multiplications()
		if tt.name == "built-in" {
			got = got / 100_000 * 100_000
		}
		if got != tt.want {
			t.Errorf("%s: got %d multiplications, want %d", tt.name, got, tt.want)
		}
	}
}
