package serve

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/imprintkit/imprint/backbone/tflite"
	"github.com/imprintkit/imprint/dataset"
)

const (
	// heartbeat is how often a stream of events says something when there are none, so
	// that each side finds out when the other has gone.
	heartbeat = 10 * time.Second
	// thumbnailSide is the width and height of a thumbnail, in pixels.
	thumbnailSide = 160
	boundary      = "imprint-frame"
)

// enterStream lets a client have a stream, of which there is a bounded number.
func (s *Server) enterStream() (leave func(), err error) {
	select {
	case s.streams <- struct{}{}:
		return func() { <-s.streams }, nil
	default:
		return nil, refused{http.StatusServiceUnavailable, fmt.Errorf("%d streams are open, and there are no more", cap(s.streams)), "close a page that shows the camera"}
	}
}

// A writer writes a stream. A client that takes a part of it too slowly is let go.
type writer struct {
	w       http.ResponseWriter
	control *http.ResponseController
	time    time.Duration // for each part
}

func (s *Server) startStream(w http.ResponseWriter, kind string) *writer {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // of nginx
	out := &writer{w, http.NewResponseController(w), s.times.write}
	w.WriteHeader(http.StatusOK)
	return out
}

func (o *writer) write(b []byte) error {
	o.control.SetWriteDeadline(time.Now().Add(o.time))
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.control.Flush()
}

func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	want, err := kinds(r)
	if err != nil {
		return err
	}
	leave, err := s.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	l := s.hub.listen(want)
	defer s.hub.leave(l)
	// What is known already comes first.
	l.put(newEvent(0, "state", s.Health()))
	if c, err := s.Classes(r.Context()); err == nil {
		l.put(newEvent(0, "generation", Generation{Generation: c.Generation, Classes: len(c.Classes)}))
		l.put(newEvent(0, "classes", c))
	}
	if h := s.holding(""); h != nil {
		l.put(newEvent(0, "teach", Teaching{Label: h.label, State: "holding", Sentence: "watching for " + h.label}))
	}
	if v, _ := s.result.get(); v != nil {
		l.put(newEvent(0, "result", v))
	}
	out := s.startStream(w, "text/event-stream")
	if r.Method == http.MethodHead {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		var text bytes.Buffer
		select {
		case <-l.ready:
			for _, e := range l.take() {
				fmt.Fprintf(&text, "id: %d\nevent: %s\ndata: %s\n\n", e.number, e.kind, e.data)
			}
		case <-beat.C:
			text.WriteString(":\n\n")
		case <-s.stopped:
			return nil
		case <-r.Context().Done():
			return nil
		}
		if out.write(text.Bytes()) != nil {
			return nil // gone, or too slow
		}
	}
}

// frameJPEG is a frame as browsers show it.
func frameJPEG(p *picture) (photo []byte, kind string, err error) {
	if photo, err = p.encoded(); err != nil {
		return nil, "", err
	}
	if kind = http.DetectContentType(photo); !strings.HasPrefix(kind, "image/") {
		kind = "application/octet-stream" // whatever a broken camera sends is no page
	}
	return photo, kind, nil
}

func (s *Server) getFrame(w http.ResponseWriter, r *http.Request) error {
	p, _ := s.view.get()
	if p == nil {
		return refusef(http.StatusNotFound, "there is no frame yet: %s", s.source.sentence())
	}
	photo, kind, err := frameJPEG(p)
	if err != nil {
		return err
	}
	w.Header().Set("X-Imprint-Frame", fmt.Sprint(p.number))
	return s.answerBytes(w, http.StatusOK, kind, photo)
}

func (s *Server) getStream(w http.ResponseWriter, r *http.Request) error {
	leave, err := s.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	out := s.startStream(w, "multipart/x-mixed-replace; boundary="+boundary)
	if r.Method == http.MethodHead {
		return nil
	}
	for sent := uint64(0); ; {
		p, changed := s.view.get()
		if p != nil && p.number != sent {
			sent = p.number
			photo, kind, err := frameJPEG(p)
			if err != nil {
				continue
			}
			part := fmt.Appendf(nil, "--%s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Imprint-Frame: %d\r\n\r\n", boundary, kind, len(photo), p.number)
			if out.write(append(append(part, photo...), "\r\n"...)) != nil {
				return nil
			}
			continue
		}
		select {
		case <-changed:
		case <-s.stopped:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

func (s *Server) getThumbnail(w http.ResponseWriter, r *http.Request) error {
	sha256, err := sha256Of(r)
	if err != nil {
		return err
	}
	list, err := s.Classes(r.Context())
	if err != nil {
		return err
	}
	p := list.photo(sha256)
	if p == nil {
		return refused{http.StatusNotFound, fmt.Errorf("no photo %s has been taught", sha256), "GET /v1/classes lists the photos"}
	}
	select {
	case s.decoding <- struct{}{}:
	case <-r.Context().Done():
		return r.Context().Err()
	}
	defer func() { <-s.decoding }()
	photo, err := dataset.Open(dataset.Item{Path: p.path}, limits)
	if err == nil && fmt.Sprintf("%x", photo.SHA256()) != sha256 {
		err = errors.New("another photo is there now")
	}
	var b []byte
	if err == nil {
		b, err = photo.Thumbnail(thumbnailSide, dataset.Crop)
	}
	if err != nil {
		return refusef(http.StatusNotFound, "the photo %s is not where it was when it was taught: %w", sha256, err)
	}
	w.Header().Set("Cache-Control", "private, max-age=31536000, immutable")
	return s.answerBytes(w, http.StatusOK, "image/jpeg", b)
}

// getModel sends the published model. It is read whole, so that it is one model even
// when it is replaced meanwhile.
func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Disposition", `attachment; filename="model.tflite"`)
	return s.sendPublished(w, "model.tflite", "application/octet-stream")
}

func (s *Server) getLabels(w http.ResponseWriter, r *http.Request) error {
	return s.sendPublished(w, "labels.txt", "text/plain; charset=utf-8")
}

func (s *Server) sendPublished(w http.ResponseWriter, name, kind string) error {
	path := filepath.Join(s.dir, name)
	info, err := os.Stat(path)
	if err == nil && info.Size() > tflite.MaxFileSize {
		err = fmt.Errorf("%s has %d bytes", path, info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		w.Header().Del("Content-Disposition")
		return refused{http.StatusNotFound, errors.New("nothing has been taught yet"), "teach a class first"}
	}
	if err != nil {
		return err
	}
	return s.answerBytes(w, http.StatusOK, kind, b)
}
