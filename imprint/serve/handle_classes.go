package serve

import (
	"net/http"

	"github.com/imprintkit/imprint/classifier"
)

// getClasses sends the classes from offset on, at most limit of them.
func (s *Server) getClasses(w http.ResponseWriter, r *http.Request) error {
	offset, err := queryNumber(r, "offset", 1<<31-1)
	if err != nil {
		return err
	}
	limit, err := queryNumber(r, "limit", 1<<31-1)
	if err != nil {
		return err
	}
	c, err := s.Classes(r.Context())
	if err != nil {
		return err
	}
	page := *c
	page.Classes = page.Classes[min(int(offset), len(page.Classes)):]
	if limit > 0 {
		page.Classes = page.Classes[:min(int(limit), len(page.Classes))]
	}
	return s.respondJSON(w, http.StatusOK, page)
}

func (s *Server) getReview(w http.ResponseWriter, r *http.Request) error {
	v, err := s.Review(r.Context())
	return respond(s, w, v, err)
}

func (s *Server) getReport(w http.ResponseWriter, r *http.Request) error {
	page, err := s.Report(r.Context())
	if err != nil {
		return err
	}
	w.Header().Set("Content-Disposition", `attachment; filename="report.html"`)
	return s.respondBytes(w, http.StatusOK, "text/html; charset=utf-8", page)
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

func (s *Server) postTeach(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Label  string `json:"label"`
		Action string `json:"action"`
		Region string `json:"region"`
		At     *point `json:"at"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	if err := q.At.check(); err != nil {
		return err
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	var t Teaching
	var err error
	switch q.Action {
	case "start":
		t, err = s.startTeaching(q.Label, q.Region, q.At)
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
		Head    classifier.Method `json:"head"`
		Unknown *float64          `json:"unknown"`
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
	if u := q.Unknown; u != nil && !(*u >= 0 && *u <= 0.5) {
		return refusef(http.StatusBadRequest, "unknown %v: want a rate from 0 to 0.5", *u)
	}
	c, err := s.Retrain(ctx, q.Head, q.Unknown)
	return respond(s, w, c, err)
}
