// Package phototest makes small photos for tests. Start with [Kinds].
package phototest

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
)

// Picture returns a PNG of 40×30 pixels. The kind, 0 to 7, is its color. The seed adds patches,
// so that each picture has a different embedding.
func Picture(kind, seed uint64) []byte {
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
		panic(err) // impossible: writing to memory does not fail
	}
	return b.Bytes()
}

// Photo returns a labeled picture that is in memory and has a made-up path.
func Photo(label string, kind, seed uint64) dataset.Item {
	return dataset.Item{Path: fmt.Sprintf("%s/%d-%d.png", label, kind, seed), Label: label, Content: Picture(kind, seed)}
}

// Photos returns n photos of one kind, with seeds first to first+n−1.
func Photos(label string, kind, first, n uint64) []dataset.Item {
	var items []dataset.Item
	for s := range n {
		items = append(items, Photo(label, kind, first+s))
	}
	return items
}

// Waves returns n photos of waves, of one kind. To the built-in backbone, waves of all kinds are alike.
func Waves(label string, kind, n uint64) (items []dataset.Item) {
	for seed := range n {
		items = append(items, dataset.Item{Label: label, Path: fmt.Sprint(label, kind, seed), Content: backbonetest.Photo(kind, seed)})
	}
	return items
}

// Blocks returns n photos of colored blocks, which the built-in backbone tells from all waves.
func Blocks(n uint64) (items []dataset.Item) {
	for seed := range n {
		items = append(items, dataset.Item{Path: fmt.Sprint("blocks", seed), Content: backbonetest.WidePhoto(int(seed%2), true, seed)})
	}
	return items
}

// Kinds returns n photos of each of four kinds, 0, 2, 4 and 6, which small backbones can tell
// apart.
func Kinds(first, n uint64) (items []dataset.Item) {
	for i, label := range []string{"blue", "green", "red", "teal"} {
		items = append(items, Photos(label, uint64(2*i), first, n)...)
	}
	return items
}

// Backbone writes a model to a file in a new folder and returns its path.
func Backbone(t testing.TB, name string, model []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, model, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
