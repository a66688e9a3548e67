package source

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
)

func TestWithHuffmanTables(t *testing.T) {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewRGBA(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	whole := b.Bytes()
	if got := withHuffmanTables(whole); !bytes.Equal(got, whole) {
		t.Errorf("a picture with tables: got %d bytes, want %d", len(got), len(whole))
	}
	tables := huffmanTables()
	if len(tables) == 0 || bytes.Count(whole, tables) != 1 {
		t.Fatalf("%d bytes of tables are not in the picture", len(tables))
	}
	bare := bytes.Replace(whole, tables, nil, 1)
	if _, err := jpeg.Decode(bytes.NewReader(bare)); err == nil {
		t.Fatal("image/jpeg decoded a photo without tables, want an error")
	}
	if _, err := jpeg.Decode(bytes.NewReader(withHuffmanTables(bare))); err != nil {
		t.Error(err)
	}
	for n := range len(bare) {
		withHuffmanTables(bare[:n])
	}
}
