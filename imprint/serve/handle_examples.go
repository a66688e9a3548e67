package serve

import (
	"errors"
	"fmt"
	"mime"
	"net/http"
	"time"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// thumbnailSide is the width and height of a thumbnail, in pixels.
const thumbnailSide = 160

func (s *Server) postExample(w http.ResponseWriter, r *http.Request) error {
	label := r.URL.Query().Get("label")
	if err := imprint.CheckLabel(label); err != nil {
		return fmt.Errorf("query parameter label: %w", err)
	}
	if kind, parameters, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err == nil && kind == "multipart/form-data" {
		return s.postForm(w, r, label, parameters["boundary"])
	}
	p, result, release, err := s.classifyBody(w, r)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.addPhotos(ctx, label, s.intake.status.source, []observed{{picture: p, result: result}}, nil)
	return respond(s, w, c, err)
}

// postForm trains a class with the photos of a form, in one change. It skips photos that
// can't be read, unless none can.
func (s *Server) postForm(w http.ResponseWriter, r *http.Request, label, boundary string) error {
	body, release, err := s.http.readBody(w, r, photoLimits.MaxBytes)
	if err != nil {
		return err
	}
	defer release()
	photos, err := formPhotos(body, boundary)
	if err != nil {
		return err
	}
	var readable []observed
	var unreadable []imprint.Skipped
	for _, photo := range photos {
		p, result, err := s.classifyPhoto(r.Context(), photo.name, photo.content)
		switch {
		case isUnreadable(err):
			unreadable = append(unreadable, imprint.Skipped{Path: photo.name, Reason: err.Error()})
			if len(unreadable) == len(photos) {
				return err
			}
			continue
		case err != nil:
			return err
		}
		// A file may be of any time and place. As a picture of now, all would count as one
		// burst, and accuracy could not be estimated.
		p.Captured = time.Time{}
		readable = append(readable, observed{picture: p, result: result})
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.addPhotos(ctx, label, "", readable, unreadable)
	return respond(s, w, c, err)
}

func (s *Server) deleteExample(w http.ResponseWriter, r *http.Request) error {
	sha256, err := pathSHA256(r)
	if err != nil {
		return err
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.RemovePhoto(ctx, sha256)
	if errors.Is(err, imprint.ErrNoPhotos) {
		return refused{http.StatusNotFound, err, "GET /v1/classes lists the photos"}
	}
	return respond(s, w, c, err)
}

// patchExample moves a photo to another class.
func (s *Server) patchExample(w http.ResponseWriter, r *http.Request) error {
	sha256, err := pathSHA256(r)
	if err != nil {
		return err
	}
	var to struct {
		Label string `json:"label"`
	}
	if err := s.readJSON(w, r, &to); err != nil {
		return err
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.MovePhoto(ctx, sha256, to.Label)
	if errors.Is(err, imprint.ErrNoPhotos) {
		return refused{http.StatusNotFound, err, "GET /v1/classes lists the photos"}
	}
	return respond(s, w, c, err)
}

func (s *Server) getThumbnail(w http.ResponseWriter, r *http.Request) error {
	sha256, err := pathSHA256(r)
	if err != nil {
		return err
	}
	list, err := s.Classes(r.Context())
	if err != nil {
		return err
	}
	p := list.photo(sha256)
	if p == nil {
		return refused{http.StatusNotFound, fmt.Errorf("no training photo %s", sha256), "GET /v1/classes lists the photos"}
	}
	leave, err := s.http.enterDecoding(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	b, err := thumbnail(p)
	if err != nil {
		return refusef(http.StatusNotFound, "photo %s is no longer available: %w", sha256, err)
	}
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	return s.respondBytes(w, http.StatusOK, "image/jpeg", b)
}

func thumbnail(p *Photo) ([]byte, error) {
	photo, err := dataset.Open(dataset.Item{Path: p.path}, photoLimits)
	if err != nil {
		return nil, err
	}
	if fmt.Sprintf("%x", photo.SHA256()) != p.file {
		return nil, errors.New("its file was replaced")
	}
	if p.Box != nil {
		photo = photo.Within(*p.Box)
	}
	return photo.Thumbnail(thumbnailSide, dataset.Crop)
}
