//go:build !purego

package kernels

import (
	"math/rand/v2"
	"testing"
	"unsafe"
)

// TestPanelLayout compares the offsets of struct fields with the offsets that the
// assembly uses.
func TestPanelLayout(t *testing.T) {
	var p panel
	var scale wideScale
	var limits wideLimits
	var block wideBlock
	var run wideRun
	for name, test := range map[string]struct{ got, want uintptr }{
		"mantissa": {unsafe.Offsetof(p.mantissa), 64},
		"odd":      {unsafe.Offsetof(p.odd), 128},
		"round":    {unsafe.Offsetof(p.round), 192},
		"roundOdd": {unsafe.Offsetof(p.roundOdd), 256},
		"shift":    {unsafe.Offsetof(p.shift), 320},
		"least":    {unsafe.Offsetof(p.least), 384},
		"zero":     {unsafe.Offsetof(p.zero), 448},
		"lo":       {unsafe.Offsetof(p.lo), 480},
		"hi":       {unsafe.Offsetof(p.hi), 512},
		"flip":     {unsafe.Offsetof(p.flip), 544},
		"panel":    {unsafe.Sizeof(p), 576},
		"weights":  {unsafe.Offsetof(windowsBlock{}.w), 576},
		"block":    {unsafe.Sizeof(windowsBlock{}), 576 + 320},

		"wide mantissa": {unsafe.Offsetof(scale.mantissa), 64},
		"wide odd":      {unsafe.Offsetof(scale.odd), 128},
		"wide round":    {unsafe.Offsetof(scale.round), 192},
		"wide roundOdd": {unsafe.Offsetof(scale.roundOdd), 256},
		"wide shift":    {unsafe.Offsetof(scale.shift), 320},
		"wide left":     {unsafe.Offsetof(scale.left), 384},
		"wide least":    {unsafe.Offsetof(scale.least), 448},
		"wide factor":   {unsafe.Offsetof(scale.factor), 512},
		"wide offset":   {unsafe.Offsetof(scale.offset), 576},
		"wide limits":   {unsafe.Offsetof(widePanel{}.wideLimits), 1280},
		"wide base":     {unsafe.Offsetof(limits.base), 64},
		"wide fraction": {unsafe.Offsetof(limits.fraction), 128},
		"wide lo":       {unsafe.Offsetof(limits.lo), 192},
		"wide hi":       {unsafe.Offsetof(limits.hi), 256},
		"wide flip":     {unsafe.Offsetof(limits.flip), 320},
		"wide active":   {unsafe.Offsetof(limits.active), 384},

		"block limits":  {unsafe.Offsetof(block.wideLimits), 2560},
		"block pad":     {unsafe.Offsetof(block.pad), 3008},
		"block weights": {unsafe.Offsetof(block.w), 3072},
		"block rest":    {unsafe.Offsetof(block.rest), 3840},
		"block scaling": {unsafe.Offsetof(block.scaling), 4608},

		"run distance": {unsafe.Offsetof(run.distance), 8},
		"run step":     {unsafe.Offsetof(run.step), 16},
		"run outStep":  {unsafe.Offsetof(run.outStep), 24},
		"run vectors":  {unsafe.Offsetof(run.vectors), 32},
		"run kept":     {unsafe.Offsetof(run.kept), 40},
		"run left":     {unsafe.Offsetof(run.left), 48},
		"run middle":   {unsafe.Offsetof(run.middle), 56},
		"run right":    {unsafe.Offsetof(run.right), 64},
		"run pixels":   {unsafe.Offsetof(run.pixels), 72},
		"run stored":   {unsafe.Offsetof(run.stored), 80},
	} {
		if test.got != test.want {
			t.Errorf("%s is at %d, want %d as in the assembly", name, test.got, test.want)
		}
	}
}

// TestPanelProduct compares the assembly's products with plain Go's, for random strides
// and ranges of panels. The weights end at an inaccessible page.
func TestPanelProduct(t *testing.T) {
	eachImplementation(t, func(t *testing.T) {
		i, err := chosen()
		if err != nil {
			t.Fatal(err)
		}
		if i.product == nil {
			t.Skip("no products")
		}
		words, parts := 0, 0
		for seed := range uint64(300) {
			d := draw{rand.New(rand.NewPCG(seed, 2))}
			channels, depth, rows := 1+d.IntN(50), 1+d.IntN(100), 1+d.IntN(maxRows)
			typ := d.typ()
			in, filter, out := d.tensor(typ, rows, depth), d.tensor(typ, channels, depth), d.tensor(typ, rows, channels)
			bias := &Tensor{Type: Int32, Shape: []int{channels}}
			d.weights(filter, bias, out, 0, depth)
			w, err := newWeights(filter, channels, int32s(bias.Data), in, out, ReLU6, true, nil)
			if err != nil {
				t.Fatal(err)
			}
			p, each := i.product(w), panelChannels
			parts++
			switch p := p.(type) {
			case nil:
				parts--
				continue
			case *panelProduct:
				if p.method == inWords {
					words++
				}
				for j := range p.parts {
					guardPacked(t, &p.parts[j].packed)
				}
			case *wideProduct:
				each = 2 * wideLanes
				for j := range p.parts {
					guardPacked(t, &p.parts[j].packed)
				}
			}
			stride, outStride := depth+d.IntN(20), channels+d.IntN(20)
			x := guarded(t, (rows-1)*stride+depth, d.IntN(2) == 0)
			d.fill(x)
			from := d.IntN(p.panels())
			to := from + 1 + d.IntN(p.panels()-from)

			plain := packLanes(w)
			wantOut := make([]byte, (rows-1)*outStride+channels)
			px, pstride := plain.prepare(make([]byte, plain.scratch(rows)), x, stride, rows)
			plain.multiply(px, pstride, rows, wantOut, outStride, 0, plain.panels())

			gotOut := guarded(t, len(wantOut), true)
			fill(gotOut, 0x5a)
			px, pstride = p.prepare(guarded(t, p.scratch(rows), true), x, stride, rows)
			p.multiply(px, pstride, rows, gotOut, outStride, from, to)
			for k, got := range gotOut {
				want := byte(0x5a)
				if c := k % outStride; c >= from*each && c < min(to*each, channels) {
					want = wantOut[k]
				}
				if got != want {
					t.Fatalf("seed %d: %d rows of %d (stride %d), channels %d (stride %d), panels %d…%d, %T: byte %d is %d, want %d", seed, rows, depth, stride, channels, outStride, from, to, p, k, got, want)
				}
			}
		}
		if words == 0 || words == parts || parts < 200 {
			t.Errorf("%d of %d products use 16-bit words, want some but not all of at least 200", words, parts)
		}
	})
}

// guardPacked moves packed weights to memory that ends at an inaccessible page.
func guardPacked(t *testing.T, packed *[]byte) {
	guard := guarded(t, len(*packed), true)
	copy(guard, *packed)
	*packed = guard
}
