package serve

import (
	"cmp"
	"errors"
	"net/http"
	"strconv"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint/serve/doubtful"
)

// maxGroups limits the groups of doubtful pictures in a response, and groupsPerPage is the default.
const maxGroups, groupsPerPage = 1000, 20

func (s *Server) getDoubtful(w http.ResponseWriter, r *http.Request) error {
	offset, err := queryNumber(r, "offset", 1<<31-1)
	if err != nil {
		return err
	}
	limit, err := queryNumber(r, "limit", maxGroups)
	if err != nil {
		return err
	}
	return s.respondJSON(w, http.StatusOK, s.Doubtful(int(offset), cmp.Or(int(limit), groupsPerPage)))
}

// postDoubtful labels a group, makes it negatives or drops it.
func (s *Server) postDoubtful(w http.ResponseWriter, r *http.Request) error {
	var q struct {
		Action string `json:"action"`
		Label  string `json:"label"`
	}
	if err := s.readJSON(w, r, &q); err != nil {
		return err
	}
	group, err := strconv.ParseUint(r.PathValue("group"), 10, 63)
	if err != nil {
		return refusef(http.StatusBadRequest, "group %.40q: want a number", r.PathValue("group"))
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	var c Changed
	switch {
	case q.Action != "label" && q.Label != "":
		err = refusef(http.StatusBadRequest, "action %.40q takes no label", q.Action)
	case q.Action == "label":
		c, err = s.LabelDoubtful(ctx, group, q.Label)
	case q.Action == "negative":
		c, err = s.RejectDoubtful(ctx, group)
	case q.Action == "drop":
		c, err = s.DropDoubtful(group)
	default:
		err = refusef(http.StatusBadRequest, "action %.40q: want label, negative or drop", q.Action)
	}
	return respond(s, w, c, err)
}

func (s *Server) getDoubtfulThumbnail(w http.ResponseWriter, r *http.Request) error {
	sum, err := pathSHA256(r)
	if err != nil {
		return err
	}
	if s.doubts.queue == nil {
		return ErrNoDoubts
	}
	content, err := s.doubts.queue.Read(sum)
	if err != nil {
		return err
	}
	leave, err := s.http.enterDecoding(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	photo, err := dataset.Open(dataset.Item{Path: sum, Content: content}, photoLimits)
	if err != nil {
		return errors.Join(doubtful.ErrGone, err)
	}
	b, err := photo.Thumbnail(thumbnailSide, dataset.Crop)
	if err != nil {
		return errors.Join(doubtful.ErrGone, err)
	}
	return s.respondBytes(w, http.StatusOK, "image/jpeg", b)
}
