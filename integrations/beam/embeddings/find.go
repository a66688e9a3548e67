package embeddings

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imprintkit/imprint/dataset"
)

// Find lists the photos in sources, in this order, with their labels. A source is a folder with a
// subfolder for each label, a tar file, or a pattern of files as for filepath.Glob, such as
// "photos/*/*.jpg". The label of a file is the name of its folder; in a tar file without folders it is
// the name of the tar file without its extension.
func Find(sources []string) (photos []Photo, labels []string, err error) {
	for _, source := range sources {
		info, err := os.Stat(source)
		switch {
		case err == nil && info.IsDir():
			var items []dataset.Item
			if items, _, err = dataset.Walk([]string{source}, ""); err == nil {
				photos, labels, err = add(photos, labels, items)
			}
		case err == nil && strings.HasSuffix(source, ".tar"):
			photos, labels, err = findInTar(photos, labels, source)
		default:
			var paths []string
			if paths, err = filepath.Glob(source); err == nil && len(paths) == 0 {
				err = fmt.Errorf("find photos: %s: %w", source, os.ErrNotExist)
			}
			items := make([]dataset.Item, len(paths))
			for i, p := range paths {
				items[i] = dataset.Item{Path: p, Label: filepath.Base(filepath.Dir(p))}
			}
			if err == nil {
				photos, labels, err = add(photos, labels, items)
			}
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return photos, labels, nil
}

// ReadList reads a list of photos with labels, as [dataset.ReadList] does. Relative paths are relative
// to the list.
func ReadList(file string) ([]Photo, []string, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	items, err := dataset.ReadList(f, filepath.Dir(file))
	if err != nil {
		return nil, nil, err
	}
	for _, it := range items {
		if it.Label == "" {
			return nil, nil, fmt.Errorf("read %s: %s: %w", file, it.Path, dataset.ErrNoLabel)
		}
	}
	return add(nil, nil, items)
}

// add appends items. Workers may have another working directory, so paths become absolute.
func add(photos []Photo, labels []string, items []dataset.Item) ([]Photo, []string, error) {
	for _, it := range items {
		p, err := filepath.Abs(it.Path)
		if err != nil {
			return nil, nil, err
		}
		photos, labels = append(photos, Photo{Path: p}), append(labels, it.Label)
	}
	return photos, labels, nil
}

// extensions are the extensions of photos in tar files.
var extensions = []string{".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".pnm", ".ppm", ".pgm"}

func findInTar(photos []Photo, labels []string, name string) ([]Photo, []string, error) {
	name, err := filepath.Abs(name)
	if err != nil {
		return nil, nil, err
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	for r := tar.NewReader(f); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return photos, labels, nil
		} else if err != nil {
			return nil, nil, fmt.Errorf("list the photos in %s: %w", name, err)
		}
		base := path.Base(h.Name)
		if h.Typeflag != tar.TypeReg || strings.HasPrefix(base, ".") || !slices.Contains(extensions, strings.ToLower(path.Ext(base))) {
			continue
		}
		// The reader of a tar file does not read ahead.
		at, err := f.Seek(0, io.SeekCurrent)
		if err != nil {
			return nil, nil, err
		}
		label := path.Base(path.Dir(h.Name))
		if label == "." || label == "/" {
			label = strings.TrimSuffix(filepath.Base(name), ".tar")
		}
		photos, labels = append(photos, Photo{Path: h.Name, Tar: name, Offset: at, Size: h.Size}), append(labels, label)
	}
}
