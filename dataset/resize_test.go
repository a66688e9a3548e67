package dataset

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/image/bmp"
)

// shared gives the folder of models and tensors beside the checkout.
func shared(t *testing.T) string {
	dir := os.Getenv("IMPRINT_SHARED")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "golden", "manifest.json")); err != nil {
		t.Skipf("no golden tensors beside the checkout: %v", err)
	}
	return dir
}

// TestResizeGolden resizes whole photos to the inputs that TFLite was given.
func TestResizeGolden(t *testing.T) {
	dir := shared(t)
	b, err := os.ReadFile(filepath.Join(dir, "golden", "manifest.json"))
	if err != nil {
		t.Fatal(err)
	}
	var manifest struct {
		Models map[string]struct {
			Inputs []struct {
				Type  string
				Shape []int
			}
			Cases []struct{ Image, Input string }
		}
	}
	if err := json.Unmarshal(b, &manifest); err != nil {
		t.Fatal(err)
	}
	compared := 0
	for name, model := range manifest.Models {
		if len(model.Inputs) != 1 || model.Inputs[0].Type != "uint8" || model.Inputs[0].Shape[3] != 3 {
			continue
		}
		h, w := model.Inputs[0].Shape[1], model.Inputs[0].Shape[2]
		for _, c := range model.Cases {
			if filepath.Ext(c.Image) != ".bmp" {
				continue
			}
			want, err := os.ReadFile(filepath.Join(dir, "golden", name, c.Input))
			if err != nil {
				continue
			}
			f, err := os.Open(filepath.Join(dir, "images", c.Image))
			if err != nil {
				continue
			}
			img, err := bmp.Decode(f)
			f.Close()
			if err != nil {
				t.Fatal(err)
			}
			got := make([]byte, w*h*3)
			if err := Squash.Resize(got, img, w, h); err != nil {
				t.Fatal(err)
			}
			compared++
			if !bytes.Equal(got, want) {
				n := 0
				for i := range got {
					if got[i] != want[i] {
						n++
					}
				}
				t.Errorf("%s, %s: %d of %d bytes differ", name, c.Image, n, len(got))
			}
		}
	}
	if compared == 0 {
		t.Fatal("the manifest names no photo to compare")
	}
	t.Logf("%d tensors equal", compared)
}
