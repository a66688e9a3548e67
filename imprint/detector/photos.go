package detector

import (
	"errors"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/dataset/annotations"
)

// A Photo is a photo and the boxes that people drew around its objects. A Photo without boxes shows
// none of the objects.
type Photo struct {
	Item  dataset.Item
	Boxes []annotations.Box
}

var errDuplicate = errors.New("the same photo as another one")

// Match finds the annotation of each photo. It skips photos without one, and those whose annotation
// is ambiguous or says that the photo has another shape.
func Match(items []dataset.Item, set *annotations.Set) (photos []Photo, skipped []dataset.Skipped) {
	for _, it := range items {
		found, err := set.Find(it.Path)
		switch {
		case errors.Is(err, annotations.ErrNotAnnotated):
			err = annotations.ErrNotAnnotated // does not repeat the path
		case errors.Is(err, annotations.ErrAmbiguous):
			err = annotations.ErrAmbiguous
		case err == nil:
			err = CheckShape(it, found)
		}
		if err != nil {
			skipped = append(skipped, dataset.Skipped{Path: it.Path, Err: err})
			continue
		}
		photos = append(photos, Photo{Item: it, Boxes: found.Boxes})
	}
	return photos, skipped
}

// CheckShape fails with annotations.ErrShape if a photo has another shape than the one that was annotated. It
// passes a photo that can't be opened.
func CheckShape(it dataset.Item, annotated annotations.Photo) error {
	if annotated.Width == 0 {
		return nil
	}
	f, err := dataset.Open(it, dataset.DefaultLimits())
	if err != nil {
		return nil
	}
	return annotated.CheckSize(f.Size())
}

// items returns the files of photos.
func items(photos []Photo) []dataset.Item {
	list := make([]dataset.Item, len(photos))
	for i, p := range photos {
		list[i] = p.Item
	}
	return list
}
