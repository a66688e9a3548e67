package serve

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"os"
	"time"
)

// maxFormPhotos limits the photos in one form.
const maxFormPhotos = 100

// A formPhoto is a photo in a form.
type formPhoto struct {
	name    string // of its file
	content []byte
}

// readForm reads the photos of a form, of at most limit bytes in all. The caller must call
// release when it no longer needs them.
func (l *httpLimits) readForm(w http.ResponseWriter, r *http.Request, boundary string, limit int64) (photos []formPhoto, release func(), err error) {
	var buffers []*bodyBuffer
	free := func() {
		for _, b := range buffers {
			b.release()
		}
	}
	defer func() {
		if err != nil {
			free()
			w.Header().Set("Connection", "close")
			err = formError(err, l.timeouts.body)
		}
	}()
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(l.timeouts.body))
	form := multipart.NewReader(http.MaxBytesReader(w, r.Body, limit), boundary)
	for {
		part, err := form.NextRawPart()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		if len(photos) == maxFormPhotos {
			return nil, nil, refusef(http.StatusRequestEntityTooLarge, "more than %d photos in one form", maxFormPhotos)
		}
		b := &bodyBuffer{limits: l, ctx: r.Context()}
		buffers = append(buffers, b)
		if err := b.readFrom(part, limit+1); err != nil {
			return nil, nil, err
		}
		photos = append(photos, formPhoto{cmp.Or(part.FileName(), photoName), b.content})
	}
	if len(photos) == 0 {
		return nil, nil, refusef(http.StatusBadRequest, "no photo in the form")
	}
	control.SetReadDeadline(time.Time{}) // an expired deadline would cancel the request's context
	return photos, free, nil
}

// formError says what is wrong with a form.
func formError(err error, timeout time.Duration) error {
	var own refused
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &own), errors.As(err, &large), errors.Is(err, ErrBusy):
		return err
	case errors.Is(err, os.ErrDeadlineExceeded):
		return refused{http.StatusRequestTimeout, fmt.Errorf("form incomplete after %v: %w", timeout, err), ""}
	}
	return refused{http.StatusBadRequest, fmt.Errorf("invalid form: %w", err), "send multipart/form-data with a photo in each part"}
}
