package imprint

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
)

// picture is a PNG of 40×30 pixels. The kind, 0 to 7, decides its colour; the seed
// lays patches over it, which differ enough for no two embeddings to be equal.
func picture(kind, seed uint64) []byte {
	r := rand.New(rand.NewPCG(kind, seed))
	img := image.NewNRGBA(image.Rect(0, 0, 40, 30))
	fill := func(area image.Rectangle, c color.NRGBA) {
		for y := area.Min.Y; y < area.Max.Y; y++ {
			for x := area.Min.X; x < area.Max.X; x++ {
				img.SetNRGBA(x, y, c)
			}
		}
	}
	channel := func(bit uint64) uint8 { return uint8(20 + 215*(kind>>bit&1)) }
	fill(img.Rect, color.NRGBA{channel(0), channel(1), channel(2), 255})
	for range 3 {
		corner := image.Pt(r.IntN(32), r.IntN(22))
		fill(image.Rectangle{corner, corner.Add(image.Pt(3+r.IntN(6), 3+r.IntN(6)))},
			color.NRGBA{uint8(r.IntN(256)), uint8(r.IntN(256)), uint8(r.IntN(256)), 255})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err) // encoding into memory does not fail
	}
	return b.Bytes()
}
