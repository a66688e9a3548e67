// Generic embeds photos of many kinds of things, the built-in examples of unknown things. It writes
// backbone/builtin/generic.u8 with the built-in backbone, or the files of backbone/background with
// all backbones that the package lists:
//
//	go run ./tools/backbone/generic -photos ../shared/train -embeddings backbone/builtin/generic.u8
//	go run ./tools/backbone/generic -photos ../shared/train -models ../shared/models -background backbone/background
//
// It sorts the photos in a folder's tar files by name, selects evenly spaced ones, crops them and
// writes their embeddings one after the other. The same photos produce the same files.
package main

import (
	"archive/tar"
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/backbone/background"
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/dataset"
)

func main() {
	photos := flag.String("photos", "../shared/train", "`DIR` of tar files with photos")
	path := flag.String("embeddings", "backbone/builtin/generic.u8", "`FILE` to write")
	n := flag.Int("n", builtin.GenericCount, "number `N` of photos")
	models := flag.String("models", "../shared/models", "`DIR` of models")
	folder := flag.String("background", "", "write the files of backbone/background to `DIR` instead")
	flag.Parse()
	var err error
	if *folder != "" {
		err = writeBackgrounds(*photos, *models, *folder, background.Backbones())
	} else {
		err = write(*photos, *path, *n)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "generic:", err)
		os.Exit(1)
	}
}

// write embeds n photos with the built-in backbone and writes their embeddings to path.
func write(photos, path string, n int) error {
	items, err := choose(photos, n)
	if err != nil {
		return err
	}
	b, err := backbone.Parse(builtin.Model(), backbone.Options{Name: builtin.Name})
	if err != nil {
		return err
	}
	all, err := embed(b, items)
	if err != nil {
		return err
	}
	return os.WriteFile(path, all, 0o644)
}

// choose returns n evenly spaced photos from the tar files in dir, sorted by name.
func choose(dir string, n int) ([]dataset.Item, error) {
	items, err := read(dir)
	if err != nil {
		return nil, err
	}
	if len(items) < n {
		return nil, fmt.Errorf("%s has %d photos, want at least %d", dir, len(items), n)
	}
	chosen := make([]dataset.Item, n)
	for i := range chosen {
		chosen[i] = items[i*len(items)/n]
	}
	return chosen, nil
}

// embed returns the raw embeddings of items, cropped, one after the other.
func embed(b *backbone.Backbone, items []dataset.Item) ([]byte, error) {
	r := b.NewRunner(1)
	defer r.Close()
	resizer := dataset.Resizer{Mode: dataset.Crop, Width: b.Width, Height: b.Height}
	work := func(ctx context.Context, _ int, f *dataset.File) ([]byte, error) {
		if err := resizer.Read(r.RGB(), f); err != nil {
			return nil, err
		}
		e, err := r.Embed(ctx)
		return slices.Clone(e), err
	}
	var all []byte
	err := dataset.Load(context.Background(), items, dataset.DefaultLimits(), 1, work, func(i int, e []byte, err error) error {
		all = append(all, e...)
		return err
	})
	return all, err
}

// read returns the photos in the tar files of dir, sorted by name.
func read(dir string) ([]dataset.Item, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "*.tar"))
	if err != nil {
		return nil, err
	}
	var items []dataset.Item
	for _, path := range paths {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		for t := tar.NewReader(f); ; {
			h, err := t.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return nil, fmt.Errorf("read %s: %w", path, err)
			}
			if !strings.HasSuffix(h.Name, ".jpg") {
				continue
			}
			b, err := io.ReadAll(t)
			if err != nil {
				return nil, fmt.Errorf("read %s in %s: %w", h.Name, path, err)
			}
			items = append(items, dataset.Item{Path: filepath.Base(h.Name), Content: b})
		}
	}
	slices.SortFunc(items, func(a, b dataset.Item) int { return cmp.Compare(a.Path, b.Path) })
	return items, nil
}
