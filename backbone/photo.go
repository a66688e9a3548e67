package backbone

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"

	"github.com/imprintkit/imprint/backbone/tflite"
)

// A PhotoInput converts a photo to the input of a model that takes one RGB photo.
type PhotoInput struct {
	Width, Height int // of the photo, in pixels
	// Normalized reports whether the model's metadata gives its float input a
	// normalization other than the default, −1…1.
	Normalized bool

	kind   tflite.TensorType
	pixels *[3][256]float32 // values of a float input, by channel and pixel byte
}

// NewPhotoInput returns the PhotoInput of a model with the given inputs. It returns an error that
// wraps ErrInput if they are not one photo. ignoreNormalization has the meaning of
// Options.IgnoreNormalization.
func NewPhotoInput(m *tflite.Model, inputs []TensorInfo, ignoreNormalization bool) (*PhotoInput, error) {
	if len(inputs) != 1 {
		return nil, fmt.Errorf("%w: it has %d inputs", ErrInput, len(inputs))
	}
	in := inputs[0]
	s := in.Shape
	if len(s) != 4 || s[0] != 1 || s[1] < 1 || s[2] < 1 || s[3] != 3 {
		return nil, fmt.Errorf("%w: input %q has shape %v, not [1, height, width, 3]", ErrInput, in.Name, s)
	}
	p := &PhotoInput{Width: int(s[2]), Height: int(s[1]), kind: in.Type}
	switch in.Type {
	case tflite.TypeUint8, tflite.TypeInt8:
	case tflite.TypeFloat32:
		p.setPixels(m, ignoreNormalization)
	default:
		return nil, fmt.Errorf("%w: input %q is %v", ErrInput, in.Name, in.Type)
	}
	return p, nil
}

// setPixels fills the table of normalized pixels for a float input. It computes (x −
// mean)/std with the metadata's mean and std. By default, it scales pixels to −1…1, the
// range that MobileNets are trained on.
func (p *PhotoInput) setPixels(m *tflite.Model, ignore bool) {
	mean, std := []float32{127.5}, []float32{127.5}
	// Ignore metadata that cannot be read or applied.
	if d, err := m.Describe(); err == nil && !ignore && len(d.Inputs) == 1 && isNormalization(d.Inputs[0].Mean, d.Inputs[0].Std) {
		mean, std = d.Inputs[0].Mean, d.Inputs[0].Std
	}
	p.pixels = new([3][256]float32)
	for c := range p.pixels {
		m, s := mean[c%len(mean)], std[c%len(std)]
		p.Normalized = p.Normalized || m != 127.5 || s != 127.5
		for x := range p.pixels[c] {
			p.pixels[c][x] = (float32(x) - m) / s
		}
	}
}

// isNormalization reports whether mean and std are valid: each has one value, or one per
// RGB channel, and every normalized pixel is finite.
func isNormalization(mean, std []float32) bool {
	for _, list := range [...][]float32{mean, std} {
		if len(list) != 1 && len(list) != 3 {
			return false
		}
		for _, v := range list {
			if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
				return false
			}
		}
	}
	return !slices.ContainsFunc(std, func(v float32) bool { return !(math.Abs(float64(v)) >= 1e-30) })
}

// RGB returns memory for a photo that in is to run on: Height rows of Width pixels, each a red, a
// green and a blue byte. For uint8 models this is the input itself.
func (p *PhotoInput) RGB(in *Interpreter) []byte {
	if p.kind == tflite.TypeUint8 {
		return in.Input(0)
	}
	return make([]byte, p.Width*p.Height*3)
}

// Fill writes the photo in rgb, which RGB returned, to the input of in.
func (p *PhotoInput) Fill(in *Interpreter, rgb []byte) {
	switch dst := in.Input(0); p.kind {
	case tflite.TypeInt8: // int8 codes are uint8 codes minus 128
		for i, v := range rgb {
			dst[i] = v ^ 0x80
		}
	case tflite.TypeFloat32:
		for i := 0; i+2 < len(rgb); i += 3 {
			for c := range p.pixels {
				binary.LittleEndian.PutUint32(dst[4*(i+c):], math.Float32bits(p.pixels[c][rgb[i+c]]))
			}
		}
	}
}
