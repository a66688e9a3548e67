package source

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"

	"github.com/imprintkit/imprint/dataset"
)

func TestWithHuffmanTables(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if got := withHuffmanTables(whole); !bytes.Equal(got, whole) {
		t.Errorf("a picture with tables changed to %d bytes from %d", len(got), len(whole))
	}
	tables := huffmanTables()
	if len(tables) == 0 || bytes.Count(whole, tables) != 1 {
		t.Fatalf("the picture lacks the %d bytes of tables", len(tables))
	}
	bare := bytes.Replace(whole, tables, nil, 1)
	if _, err := dataset.Decode(bare, dataset.DefaultLimits()); err == nil {
		t.Fatal("a picture without tables was decoded")
	}
	if _, err := dataset.Decode(withHuffmanTables(bare), dataset.DefaultLimits()); err != nil {
		t.Error(err)
	}
	for n := range len(bare) {
		withHuffmanTables(bare[:n])
	}
}
