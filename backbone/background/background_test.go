package background

import (
	"encoding/hex"
	"os"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/backbone/builtin"
)

// TestEmbeddings checks the size and range of the embeddings of each model.
func TestEmbeddings(t *testing.T) {
	size := 0
	for _, b := range Backbones() {
		info, err := os.Stat(b.Name + ".u4")
		if err != nil {
			t.Fatal(err)
		}
		size += int(info.Size())
		for _, use := range b.Uses {
			if sum, err := hex.DecodeString(use.SHA256); err != nil || len(sum) != 32 {
				t.Errorf("%s: got SHA-256 %q", b.Name, use.SHA256)
			}
			all := Embeddings(use.SHA256, use.Tensor)
			if len(all) != Count {
				t.Fatalf("%s: got %d embeddings, want %d", b.Name, len(all), Count)
			}
			for i, x := range all {
				if len(x) != b.Dim || slices.Max(x) == 0 || slices.Min(x) < 0 || slices.Max(x) > 225 {
					t.Fatalf("%s: embedding %d has %d values from %v to %v, want %d from 0 to 225", b.Name, i, len(x), slices.Min(x), slices.Max(x), b.Dim)
				}
			}
			if got := Embeddings(use.SHA256, use.Tensor+1); got != nil {
				t.Errorf("%s: got %d embeddings of another tensor, want none", b.Name, len(got))
			}
		}
	}
	if want := 600 << 10; size > want {
		t.Errorf("the files have %d bytes, want at most %d", size, want)
	}
	if got := Embeddings("", 0); got != nil {
		t.Errorf("unknown model: got %d embeddings, want none", len(got))
	}
	first := Embeddings(builtin.SHA256, 82)
	first[0][0] = -1
	if Embeddings(builtin.SHA256, 82)[0][0] == -1 {
		t.Error("changing the result changed the next result")
	}
}
