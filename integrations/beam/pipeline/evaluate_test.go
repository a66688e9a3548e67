package pipeline

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// TestSameEvaluation checks that the evaluation is that of a workspace, for few photos and for so many
// that they are trained on sums.
func TestSameEvaluation(t *testing.T) {
	ctx, heads, support := context.Background(), []classifier.Method{classifier.Auto}, []int{1, 5, 600}
	for _, counts := range [][]int{{30, 1, 20}, {500, 370, 300}} {
		photos, labels, err := embeddings.Find([]string{writePhotos(t, counts...)})
		if err != nil {
			t.Fatal(err)
		}
		missing := filepath.Join(t.TempDir(), "missing.png") // the only photo of its class
		photos, labels = append(photos, embeddings.Photo{Path: missing}), append(labels, "class00")
		want, err := evaluateWorkspace(t, photos, labels, heads, support)
		if err != nil {
			t.Fatal(err)
		}
		if len(want.NearDuplicates) == 0 || len(want.Results) != 2 || len(want.Heads[0].Photos) == 0 {
			t.Errorf("the evaluation lacks something: %d groups of near-duplicates, %d results", len(want.NearDuplicates), len(want.Results))
		}
		j := create(t, photos, labels, 100)
		for _, threads := range []int{1, 3} {
			t.Run(fmt.Sprint(len(photos), " photos, ", threads, " threads"), func(t *testing.T) {
				if threads == 1 {
					if _, err := Embed(ctx, j, Options{Threads: threads}); err != nil {
						t.Fatal(err)
					}
				}
				got, err := Evaluate(ctx, j.Dir, heads, support, 3, Options{Threads: threads})
				if err != nil {
					t.Fatal(err)
				}
				if g, w := encode(t, got), encode(t, want); !bytes.Equal(g, w) {
					t.Errorf("got  %.2000s\nwant %.2000s", g, w)
				}
			})
		}
	}
}

// evaluateWorkspace evaluates a new workspace with the name of the folder that create makes.
func evaluateWorkspace(t *testing.T, photos []embeddings.Photo, labels []string, heads []classifier.Method, support []int) (*evaluate.Evaluation, error) {
	t.Helper()
	w, err := imprint.Open(filepath.Join(t.TempDir(), "out"), imprint.Options{})
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if _, err := w.Add(context.Background(), itemsOf(t, photos, labels), imprint.AddOptions{}); err != nil {
		return nil, err
	}
	s, err := w.Examples()
	if err != nil {
		return nil, err
	}
	return s.LeaveOneOut(context.Background(), heads, support, 3)
}

func encode(t *testing.T, e *evaluate.Evaluation) []byte {
	t.Helper()
	b, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
