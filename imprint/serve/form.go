package serve

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
)

// maxFormPhotos limits the photos in one form.
const maxFormPhotos = 100

// A formPhoto is a photo in a form.
type formPhoto struct {
	name    string // of its file
	content []byte
}

// formPhotos returns the photos of a form, one for each part.
func formPhotos(body []byte, boundary string) (photos []formPhoto, err error) {
	form := multipart.NewReader(bytes.NewReader(body), boundary)
	for {
		part, err := form.NextRawPart()
		if err == io.EOF && len(photos) > 0 {
			return photos, nil
		}
		var content []byte
		if err == nil {
			content, err = io.ReadAll(part)
		}
		if err != nil {
			return nil, refused{http.StatusBadRequest, fmt.Errorf("invalid form: %w", err), "send multipart/form-data with a photo in each part"}
		}
		if len(photos) == maxFormPhotos {
			return nil, refusef(http.StatusRequestEntityTooLarge, "more than %d photos in one form", maxFormPhotos)
		}
		photos = append(photos, formPhoto{cmp.Or(part.FileName(), photoName), content})
	}
}
