package serve

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	// heartbeat is the interval at which comments are sent in an idle event stream, so that the
	// server and the client notice a lost connection.
	heartbeat = 10 * time.Second
	// boundary separates the parts of an MJPEG stream.
	boundary = "imprint-frame"
	// repeatAfter is when a frame that is still the newest is sent once more. Chromium shows
	// a part only when the next one begins.
	repeatAfter = 200 * time.Millisecond
)

// A streamWriter writes the parts of a stream. It fails if the client takes too long to read a
// part.
type streamWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration // longest time to write one part
}

func (s *Server) startStream(w http.ResponseWriter, contentType string) *streamWriter {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Accel-Buffering", "no") // for nginx
	w.WriteHeader(http.StatusOK)
	return &streamWriter{w, http.NewResponseController(w), s.http.timeouts.write}
}

func (o *streamWriter) write(b []byte) error {
	o.control.SetWriteDeadline(time.Now().Add(o.timeout))
	if _, err := o.w.Write(b); err != nil {
		return err
	}
	return o.control.Flush()
}

// getEvents sends a stream of server-sent events, starting with the current state.
func (s *Server) getEvents(w http.ResponseWriter, r *http.Request) error {
	kinds, err := queryKinds(r)
	if err != nil {
		return err
	}
	leave, err := s.http.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	l := s.events.listen(kinds)
	defer s.events.leave(l)
	s.putCurrent(r.Context(), l)
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
		case <-s.device.stopped:
			return nil
		case <-r.Context().Done():
			return nil
		}
		if out.write(text.Bytes()) != nil {
			return nil // the client has disconnected or is too slow
		}
	}
}

// putCurrent sends a new listener the current state as events.
func (s *Server) putCurrent(ctx context.Context, l *listener) {
	l.put(newEvent(0, "state", s.Health()))
	if c, err := s.Classes(ctx); err == nil {
		l.put(newEvent(0, "generation", Generation{Generation: c.Generation, Classes: len(c.Classes)}))
		l.put(newEvent(0, "classes", c))
	}
	list, _ := s.Regions()
	l.put(newEvent(0, "regions", list))
	l.put(newEvent(0, "doubtful", s.doubts.counts()))
	if t, held := s.holds.state(); held {
		l.put(newEvent(0, "teach", t))
	}
	if v, _ := s.device.results.get(); v != nil {
		l.put(newEvent(0, "result", v))
	}
}

// queryKinds returns the kinds of events in the query.
func queryKinds(r *http.Request) (kinds []string, err error) {
	for _, text := range r.URL.Query()["kinds"] {
		for _, k := range strings.Split(text, ",") {
			if !slices.Contains(eventKinds, k) {
				return nil, refusef(http.StatusBadRequest, "unknown kind of events %.40q: want %s", k, strings.Join(eventKinds, ", "))
			}
			kinds = append(kinds, k)
		}
	}
	return kinds, nil
}

// getStream sends frames as an MJPEG stream.
func (s *Server) getStream(w http.ResponseWriter, r *http.Request) error {
	leave, err := s.http.enterStream()
	if err != nil {
		return err
	}
	defer leave()
	out := s.startStream(w, "multipart/x-mixed-replace; boundary="+boundary)
	if r.Method == http.MethodHead {
		return nil
	}
	for sent := uint64(0); ; {
		p, changed := s.intake.newest.get()
		var repeat <-chan time.Time
		if p != nil && p.number != sent {
			if out.writeFrame(p) != nil {
				return nil
			}
			sent, repeat = p.number, time.After(repeatAfter)
		}
		select {
		case <-changed:
			continue
		case <-repeat:
			if out.writeFrame(p) != nil {
				return nil
			}
		case <-s.device.stopped:
			return nil
		case <-r.Context().Done():
			return nil
		}
	}
}

// writeFrame writes a part of an MJPEG stream. It leaves out a frame that can't be encoded.
func (o *streamWriter) writeFrame(p *picture) error {
	photo, contentType, err := frameFile(p)
	if err != nil {
		return nil
	}
	part := fmt.Appendf(nil, "--%s\r\nContent-Type: %s\r\nContent-Length: %d\r\nX-Imprint-Frame: %d\r\n\r\n", boundary, contentType, len(photo), p.number)
	return o.write(append(append(part, photo...), "\r\n"...))
}

// frameFile returns a frame as a photo for browsers, and its content type.
func frameFile(p *picture) (photo []byte, contentType string, err error) {
	if photo, err = p.encoded(); err != nil {
		return nil, "", err
	}
	if contentType = http.DetectContentType(photo); !strings.HasPrefix(contentType, "image/") {
		contentType = "application/octet-stream" // so that a camera can't make browsers show HTML
	}
	return photo, contentType, nil
}
