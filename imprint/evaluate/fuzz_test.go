package evaluate

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
)

// FuzzReadSet reads sets of any files: what is read can be evaluated.
func FuzzReadSet(f *testing.F) {
	set := smallSet()
	marshal := func(v any) []byte {
		b, err := json.Marshal(v)
		if err != nil {
			f.Fatal(err)
		}
		return b
	}
	f.Add(set["emb.u8"].([]byte), marshal(set["labels.json"]), marshal(set["episodes.json"]))
	f.Add([]byte{1}, []byte(`{"classes":["a","a"],"labels":[0]}`), []byte(`{"shots":[[[0],[0]]],"test":[[0]]}`))
	f.Add([]byte{}, []byte(`{}`), []byte(`null`))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, embeddings, labels, episodes []byte) {
		for name, b := range map[string][]byte{"emb.u8": embeddings, "labels.json": labels, "episodes.json": episodes} {
			if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		s, err := ReadSet(dir, dataset.Squash)
		if err != nil {
			if !errors.Is(err, ErrProtocol) {
				t.Errorf("untyped error %v", err)
			}
			return
		}
		s.Evaluate(context.Background(), []classifier.Method{classifier.Mean}, []int{1, 2}) // must not panic
	})
}
