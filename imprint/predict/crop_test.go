package predict

import (
	"image"
	"testing"

	"github.com/imprintkit/imprint/backbone/detect"
)

func TestCropOf(t *testing.T) {
	for _, test := range []struct {
		box  detect.Box
		w, h int
		want image.Rectangle
	}{
		{detect.Box{X0: 0.4, Y0: 0.45, X1: 0.6, Y1: 0.55}, 1000, 1000, image.Rect(390, 390, 610, 610)},
		{detect.Box{X0: 0, Y0: 0, X1: 0.2, Y1: 0.1}, 1000, 1000, image.Rect(0, 0, 220, 220)},
		{detect.Box{X0: 0.9, Y0: 0.95, X1: 1, Y1: 1}, 1000, 1000, image.Rect(890, 890, 1000, 1000)},
		{detect.Box{X0: 0.1, Y0: 0, X1: 0.9, Y1: 1}, 1000, 500, image.Rect(60, 0, 940, 500)},
		{detect.Box{X1: 1, Y1: 1}, 30, 40, image.Rect(0, 0, 30, 40)},
		{detect.Box{X0: 0.5, Y0: 0.5, X1: 0.5000001, Y1: 0.5000001}, 1, 1, image.Rect(0, 0, 1, 1)},
		{detect.Box{X0: 0.999, Y0: 0.999, X1: 1, Y1: 1}, 20, 20, image.Rect(19, 19, 20, 20)},
	} {
		if got := cropOf(test.box, test.w, test.h); got != test.want {
			t.Errorf("%v in %d×%d: got %v, want %v", test.box, test.w, test.h, got, test.want)
		}
	}
}
