package serve

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// photoName takes the place of the path in error messages about a client's photo.
const photoName = "in the request"

// classifyPhoto classifies a client's photo. Errors call it name.
func (s *Server) classifyPhoto(ctx context.Context, name string, photo []byte) (*picture, predict.Result, error) {
	p := &picture{Frame: source.Frame{Captured: time.Now(), Photo: photo, Name: name}}
	ctx, cancel := context.WithTimeoutCause(ctx, jobTimeout, ErrBusy)
	defer cancel()
	prepared, err := s.prepare(ctx, p)
	if err != nil {
		return nil, predict.Result{}, err
	}
	r, err := s.device.submit(ctx, prepared)
	return p, r, err
}

// prepare decodes a photo and resizes it for the model.
func (s *Server) prepare(ctx context.Context, p *picture) (*live.Picture, error) {
	leave, err := s.http.enterDecoding(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	file, err := p.open()
	if err != nil {
		return nil, err
	}
	return s.live.Prepare(file)
}

// classifyBody classifies the photo in a request body. The caller must call release when
// it no longer needs the photo.
func (s *Server) classifyBody(w http.ResponseWriter, r *http.Request) (p *picture, result predict.Result, release func(), err error) {
	photo, release, err := s.http.readBody(w, r, photoLimits.MaxBytes)
	if err != nil {
		return nil, result, nil, err
	}
	if p, result, err = s.classifyPhoto(r.Context(), photoName, photo); err != nil {
		release()
	}
	return p, result, release, err
}

func (s *Server) postClassify(w http.ResponseWriter, r *http.Request) error {
	p, result, release, err := s.classifyBody(w, r)
	if err != nil {
		return err
	}
	defer release()
	return s.respondJSON(w, http.StatusOK, newResult(p, result))
}

// postFrame receives a frame from a client that acts as the camera.
func (s *Server) postFrame(w http.ResponseWriter, r *http.Request) error {
	if s.intake.source != nil {
		return refused{http.StatusConflict, fmt.Errorf("the server reads frames from its own source, %v", s.intake.source), "send other photos to /v1/classify"}
	}
	photo, release, err := s.http.readBody(w, r, photoLimits.MaxBytes)
	if err != nil {
		return err
	}
	defer release()
	replies := make(chan reply, 1)
	p := &picture{Frame: source.Frame{Captured: time.Now(), Photo: photo, Name: photoName}, replies: replies}
	if _, err := p.open(); err != nil {
		return err
	}
	s.intake.accept(p)
	select {
	case a := <-replies:
		return respond(s, w, a.result, a.err)
	case <-s.device.stopped:
		return errStopping
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

// getResult sends the newest result, or waits for the result of a frame after a given frame.
func (s *Server) getResult(w http.ResponseWriter, r *http.Request) error {
	after, err := queryNumber(r, "after", 1<<63-1)
	if err != nil {
		return err
	}
	wait, err := queryNumber(r, "wait", uint64(longestPoll.Milliseconds()))
	if err != nil {
		return err
	}
	end := time.NewTimer(time.Duration(wait) * time.Millisecond)
	defer end.Stop()
	for {
		v, changed := s.device.results.get()
		if v != nil && v.Frame > after {
			return s.respondJSON(w, http.StatusOK, v)
		}
		select {
		case <-changed:
			continue
		case <-end.C:
		case <-s.device.stopped:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

func (s *Server) getFrame(w http.ResponseWriter, r *http.Request) error {
	p, _ := s.intake.newest.get()
	if p == nil {
		return refusef(http.StatusNotFound, "no frame yet: %s", s.intake.status.explain())
	}
	photo, contentType, err := frameFile(p)
	if err != nil {
		return err
	}
	w.Header().Set("X-Imprint-Frame", fmt.Sprint(p.number))
	return s.respondBytes(w, http.StatusOK, contentType, photo)
}
