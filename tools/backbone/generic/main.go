// Generic embeds photos of many kinds of things with the built-in backbone and writes
// backbone/builtin/generic.u8, the built-in examples of unknown things:
//
//	go run ./tools/backbone/generic -photos ../shared/train -embeddings backbone/builtin/generic.u8
//
// It sorts the photos in a folder's tar files by name, selects evenly spaced ones, crops them and
// writes their embeddings one after the other. The same photos produce the same file.
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
	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/dataset"
)

func main() {
	photos := flag.String("photos", "../shared/train", "`DIR` of tar files with photos")
	path := flag.String("embeddings", "backbone/builtin/generic.u8", "`FILE` to write")
	n := flag.Int("n", builtin.GenericCount, "number `N` of photos")
	flag.Parse()
	if err := write(*photos, *path, *n); err != nil {
		fmt.Fprintln(os.Stderr, "generic:", err)
		os.Exit(1)
	}
}

func write(photos, path string, n int) error {
	items, err := read(photos)
	if err != nil {
		return err
	}
	if len(items) < n {
		return fmt.Errorf("%s has %d photos, want at least %d", photos, len(items), n)
	}
	chosen := make([]dataset.Item, n)
	for i := range chosen {
		chosen[i] = items[i*len(items)/n]
	}
	b, err := backbone.Parse(builtin.Model(), backbone.Options{Name: builtin.Name})
	if err != nil {
		return err
	}
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
	err = dataset.Load(context.Background(), chosen, dataset.DefaultLimits(), 1, work, func(i int, e []byte, err error) error {
		all = append(all, e...)
		return err
	})
	if err != nil {
		return err
	}
	return os.WriteFile(path, all, 0o644)
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
