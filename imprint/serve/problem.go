package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"

	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/serve/doubtful"
	"github.com/imprintkit/imprint/imprint/serve/region"
	"github.com/imprintkit/imprint/tpu"
)

// Problem is the response to a request that failed.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// refused is an error that carries a status code and a hint.
type refused struct {
	status int
	error
	hint string
}

func (e refused) Unwrap() error { return e.error }

func refusef(status int, format string, a ...any) error {
	return refused{status: status, error: fmt.Errorf(format, a...)}
}

// statusClientGone is the status recorded for a request if its client has disconnected. nginx uses
// the same code.
const statusClientGone = 499

// statuses lists the status codes and hints for errors that are not the server's fault.
var statuses = []struct {
	err    error
	status int
	hint   string
}{
	{dataset.ErrTooLarge, http.StatusRequestEntityTooLarge, "scale it down; 640 pixels are more than enough"},
	{dataset.ErrFormat, http.StatusUnsupportedMediaType, "send a JPEG, PNG, WebP, GIF, BMP, TIFF or PNM as the request body"},
	{dataset.ErrHEIC, http.StatusUnsupportedMediaType, ""},
	{dataset.ErrEmpty, http.StatusBadRequest, "send the photo as the request body"},
	{dataset.ErrDamaged, http.StatusBadRequest, ""},
	{imprint.ErrUnknownLabel, http.StatusNotFound, "GET /v1/classes lists the labels"},
	{imprint.ErrNoClasses, http.StatusConflict, "train a class first"},
	{imprint.ErrNothingToUndo, http.StatusConflict, ""},
	{imprint.ErrLabel, http.StatusBadRequest, ""},
	{imprint.ErrUnknown, http.StatusConflict, "retrain with the rate 0 turns it off"},
	{imprint.ErrNoPhotos, http.StatusUnprocessableEntity, ""},
	{imprint.ErrFull, http.StatusInsufficientStorage, "remove photos or classes"},
	{syscall.ENOSPC, http.StatusInsufficientStorage, "free space on the workspace's disk, then try again"},
	{live.ErrGone, http.StatusServiceUnavailable, "put the folder back, or plug in its disk; the old model stays in use"},
	{imprint.ErrUnpublished, http.StatusServiceUnavailable, "try again"},
	{imprint.ErrLocked, http.StatusServiceUnavailable, "try again when the other process has finished"},
	{ErrNoRegion, http.StatusNotFound, "GET /v1/regions lists the regions"},
	{ErrShared, http.StatusConflict, "imprint move moves all of them"},
	{ErrNoDoubts, http.StatusNotFound, "start the server so that it keeps them"},
	{doubtful.ErrNoGroup, http.StatusNotFound, "GET /v1/doubtful lists the groups"},
	{doubtful.ErrGone, http.StatusNotFound, "GET /v1/doubtful lists the pictures"},
	{region.ErrRegion, http.StatusBadRequest, ""},
	{ErrHolding, http.StatusConflict, "stop or cancel it first"},
	{ErrNotHolding, http.StatusConflict, "send the action start first"},
	{ErrNoFrames, http.StatusConflict, ""},
	{ErrBusy, http.StatusServiceUnavailable, "try again, or send fewer requests"},
	{ErrDropped, http.StatusServiceUnavailable, ""},
	{errStopping, http.StatusServiceUnavailable, ""},
	{context.Canceled, statusClientGone, ""},
}

// problem returns the status code and the response for an error.
func problem(err error) (int, Problem) {
	var own refused
	if errors.As(err, &own) {
		return own.status, Problem{err.Error(), own.hint}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, Problem{Error: fmt.Sprintf("request body exceeds %d bytes", large.Limit)}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("%w: the request took too long", ErrBusy)
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status, Problem{err.Error(), s.hint}
		}
	}
	if tpu.IsDeviceError(err) {
		return http.StatusServiceUnavailable, Problem{err.Error(), "to diagnose it, run imprint doctor"}
	}
	return http.StatusInternalServerError, Problem{Error: err.Error()}
}

// fail sends err as the response to a request.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, p := problem(err)
	drainBody(r)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if status == http.StatusInternalServerError {
		s.log.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	s.respondJSON(w, status, p)
}
