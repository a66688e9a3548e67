package pipeline

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/bulk"
	"github.com/imprintkit/imprint/integrations/beam/embeddings"
)

// writePhotos writes small photos, counts[c] of class c, into a folder for each class. Every tenth
// photo of a class differs from the one before in a single pixel.
func writePhotos(t *testing.T, counts ...int) (dir string) {
	t.Helper()
	dir = t.TempDir()
	const side = 24
	for c, n := range counts {
		folder := filepath.Join(dir, fmt.Sprint("class", c))
		if err := os.MkdirAll(folder, 0o777); err != nil {
			t.Fatal(err)
		}
		img := image.NewNRGBA(image.Rect(0, 0, side, side))
		for i := range n {
			r := rand.New(rand.NewPCG(uint64(c), uint64(i)))
			if i%10 == 9 {
				img.Set(0, 0, color.NRGBA{uint8(i), 0, 0, 255})
			} else {
				for k := range img.Pix {
					img.Pix[k] = uint8(r.IntN(120) + 60*(k%4*c%3) + 4*(k/96%24)*(c&1))
					if k%4 == 3 {
						img.Pix[k] = 255
					}
				}
			}
			var b bytes.Buffer
			if err := png.Encode(&b, img); err != nil {
				t.Fatal(err)
			}
			writeFile(t, filepath.Join(folder, fmt.Sprintf("%04d.png", i)), b.Bytes())
		}
	}
	return dir
}

func writeFile(t *testing.T, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o666); err != nil {
		t.Fatal(err)
	}
}

func readFile(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// addAll adds the photos to a new workspace, and returns model.tflite and the number of photos.
func addAll(t *testing.T, items []dataset.Item) (model []byte, photos int) {
	t.Helper()
	w, err := imprint.Open(filepath.Join(t.TempDir(), "w"), imprint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	added, err := w.Add(context.Background(), items, imprint.AddOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return readFile(t, w.ModelPath()), added.Photos
}

// itemsOf returns the photos as imprint add takes them.
func itemsOf(t *testing.T, photos []embeddings.Photo, labels []string) []dataset.Item {
	t.Helper()
	items := make([]dataset.Item, len(photos))
	for i, p := range photos {
		items[i] = dataset.Item{Path: p.Path, Label: labels[i]}
		if p.Tar != "" {
			items[i].Content = slices.Clone(readFile(t, p.Tar)[p.Offset:][:p.Size])
		}
	}
	return items
}

// create makes a job for the photos in a new folder.
func create(t *testing.T, photos []embeddings.Photo, labels []string, chunk int) *embeddings.Job {
	t.Helper()
	e, err := bulk.Open(bulk.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	j, err := embeddings.Create(filepath.Join(t.TempDir(), "out"), e, bulk.Options{}, photos, labels, chunk)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

// train embeds the photos of a job and trains a model. It returns model.tflite.
func train(t *testing.T, j *embeddings.Job, o Options) ([]byte, *Embedded) {
	t.Helper()
	e, err := Embed(context.Background(), j, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Fit(context.Background(), j.Dir, j.Dir, classifier.Auto, o); err != nil {
		t.Fatal(err)
	}
	return readFile(t, filepath.Join(j.Dir, "model.tflite")), e
}
