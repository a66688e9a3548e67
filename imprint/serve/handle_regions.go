package serve

import (
	"net/http"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

func (s *Server) getRegions(w http.ResponseWriter, r *http.Request) error {
	list, _ := s.Regions()
	return s.respondJSON(w, http.StatusOK, list)
}

// putRegion adds, changes or renames a region. Settings that the body leaves out stay as they are, or get
// their defaults.
func (s *Server) putRegion(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Name       *string     `json:"name"`
		Box        *region.Box `json:"box"`
		Answers    *int        `json:"answers"`
		MinScore   *float64    `json:"min_score"`
		Hysteresis *float64    `json:"hysteresis"`
		Motion     *float64    `json:"motion"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	err := s.ChangeRegion(r.PathValue("name"), func(v *region.Region) {
		set(&v.Name, q.Name)
		set(&v.Box, q.Box)
		set(&v.Answers, q.Answers)
		set(&v.MinScore, q.MinScore)
		set(&v.Hysteresis, q.Hysteresis)
		set(&v.Motion, q.Motion)
	})
	if err != nil {
		return err
	}
	return s.getRegions(w, r)
}

// set assigns *from to *to unless from is nil.
func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func (s *Server) deleteRegion(w http.ResponseWriter, r *http.Request) error {
	if err := s.RemoveRegion(r.PathValue("name")); err != nil {
		return err
	}
	return s.getRegions(w, r)
}
