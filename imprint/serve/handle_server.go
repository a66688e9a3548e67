package serve

import (
	"errors"
	"net/http"
	"time"

	"github.com/imprintkit/imprint/imprint"
)

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) error {
	h := s.Health()
	if h.Status == "down" {
		w.Header().Set("Retry-After", "1")
		return s.respondJSON(w, http.StatusServiceUnavailable, h)
	}
	return s.respondJSON(w, http.StatusOK, h)
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.http.timeouts.write))
	w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
	s.metrics.write(w, s.workspace.options.Devices.Recoveries)
	return nil
}

func (s *Server) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	return s.respondBytes(w, http.StatusOK, "application/json", openAPI)
}

// getDocs sends the page that shows openapi.json.
func (s *Server) getDocs(w http.ResponseWriter, r *http.Request) error {
	sendPage(w, r, "web/docs.html")
	return nil
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Reload(ctx)
	return respond(s, w, c, err)
}

// getModel sends the model of the generation in use. If the file on the disk belongs to another
// generation, the workspace publishes its model again.
func (s *Server) getModel(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	b, err := s.live.ModelFile(ctx)
	if errors.Is(err, imprint.ErrUnpublished) {
		repair := func(ws *imprint.Workspace) error {
			_, err := ws.Repair(ctx)
			return err
		}
		if err := s.workspace.do(ctx, repair); err != nil {
			return err
		}
		b, err = s.live.ModelFile(ctx)
	}
	if err != nil {
		return err
	}
	if b == nil {
		return errNoModel
	}
	w.Header().Set("Content-Disposition", `attachment; filename="model.tflite"`)
	return s.respondBytes(w, http.StatusOK, "application/octet-stream", b)
}

// getLabels sends the labels of the generation in use.
func (s *Server) getLabels(w http.ResponseWriter, r *http.Request) error {
	b := s.live.LabelsFile()
	if len(b) == 0 {
		return errNoModel
	}
	return s.respondBytes(w, http.StatusOK, "text/plain; charset=utf-8", b)
}

var errNoModel = refused{http.StatusNotFound, errors.New("no model yet"), "train a class first"}
