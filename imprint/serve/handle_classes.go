package serve

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

// thumbnailSide is the width and height of a thumbnail, in pixels.
const thumbnailSide = 160

func (s *Server) getClasses(w http.ResponseWriter, r *http.Request) error {
	c, err := s.Classes(r.Context())
	return respond(s, w, c, err)
}

func (s *Server) deleteClass(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Remove(ctx, r.PathValue("label"))
	return respond(s, w, c, err)
}

func (s *Server) patchClass(w http.ResponseWriter, r *http.Request) error {
	var to struct {
		Label string `json:"label"`
	}
	if err := s.readJSON(w, r, &to); err != nil {
		return err
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Rename(ctx, r.PathValue("label"), to.Label)
	return respond(s, w, c, err)
}

func (s *Server) postExample(w http.ResponseWriter, r *http.Request) error {
	label := r.URL.Query().Get("label")
	if err := imprint.CheckLabel(label); err != nil {
		return fmt.Errorf("query parameter label: %w", err)
	}
	p, result, release, err := s.classifyBody(w, r)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.addPhoto(ctx, label, observed{p, result.Embedding})
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
	if fmt.Sprintf("%x", photo.SHA256()) != p.SHA256 {
		return nil, errors.New("its file was replaced")
	}
	return photo.Thumbnail(thumbnailSide, dataset.Crop)
}

func (s *Server) postTeach(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Label  string `json:"label"`
		Action string `json:"action"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	var t Teaching
	var err error
	switch q.Action {
	case "start":
		t, err = s.StartTeaching(q.Label)
	case "stop":
		t, err = s.StopTeaching(ctx, q.Label)
	case "cancel":
		t, err = s.CancelTeaching(q.Label)
	default:
		err = refusef(http.StatusBadRequest, "action %.40q: want start, stop or cancel", q.Action)
	}
	return respond(s, w, t, err)
}

func (s *Server) postUndo(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Undo(ctx)
	return respond(s, w, c, err)
}

func (s *Server) postRetrain(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Head classifier.Method `json:"head"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	if q.Head != "" {
		var err error
		if q.Head, err = classifier.ParseMethod(string(q.Head)); err != nil {
			return refused{http.StatusBadRequest, err, ""}
		}
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Retrain(ctx, q.Head)
	return respond(s, w, c, err)
}
