package serve

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/imprintkit/imprint/backbone/tflite"
)

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) error {
	h := s.Health()
	if h.Status == "down" {
		return s.respondJSON(w, http.StatusServiceUnavailable, h)
	}
	return s.respondJSON(w, http.StatusOK, h)
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.http.timeouts.write))
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

func (s *Server) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	return s.respondBytes(w, http.StatusOK, "application/json", openAPI)
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Reload(ctx)
	return respond(s, w, c, err)
}

func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Content-Disposition", `attachment; filename="model.tflite"`)
	return s.sendPublished(w, "model.tflite", "application/octet-stream")
}

func (s *Server) getLabels(w http.ResponseWriter, r *http.Request) error {
	return s.sendPublished(w, "labels.txt", "text/plain; charset=utf-8")
}

// sendPublished sends a published file. It reads the file completely before it answers,
// because a change may replace the file at any time.
func (s *Server) sendPublished(w http.ResponseWriter, name, contentType string) error {
	path := filepath.Join(s.workspace.dir, name)
	info, err := os.Stat(path)
	if err == nil && info.Size() > tflite.MaxFileSize {
		err = fmt.Errorf("%s is too large: %d bytes", path, info.Size())
	}
	var b []byte
	if err == nil {
		b, err = os.ReadFile(path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		w.Header().Del("Content-Disposition")
		return refused{http.StatusNotFound, errors.New("no model yet"), "train a class first"}
	}
	if err != nil {
		return err
	}
	return s.respondBytes(w, http.StatusOK, contentType, b)
}
