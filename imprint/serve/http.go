package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/live"
	"github.com/imprintkit/imprint/imprint/predict"
)

const (
	maxJSON = 64 << 10 // bytes of a request
	// changeTime is how long a change may take, most of it waiting for another process.
	changeTime  = 30 * time.Second
	longestPoll = 30 * time.Second
)

// A route is one thing that clients can ask for.
type route struct {
	method, path string
	handle       func(w http.ResponseWriter, r *http.Request) error
}

// routes are all of them: openapi.json describes the same.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/v1/health", s.getHealth},
		{"GET", "/v1/metrics", s.getMetrics},
		{"GET", "/v1/openapi.json", s.getOpenAPI},
		{"GET", "/v1/result", s.getResult},
		{"GET", "/v1/frame.jpg", s.getFrame},
		{"GET", "/v1/stream.mjpg", s.getStream},
		{"GET", "/v1/events", s.getEvents},
		{"POST", "/v1/classify", s.postClassify},
		{"POST", "/v1/frames", s.postFrame},
		{"GET", "/v1/classes", s.getClasses},
		{"DELETE", "/v1/classes/{label}", s.deleteClass},
		{"PATCH", "/v1/classes/{label}", s.patchClass},
		{"POST", "/v1/examples", s.postExample},
		{"DELETE", "/v1/examples/{sha256}", s.deleteExample},
		{"GET", "/v1/examples/{sha256}/thumbnail.jpg", s.getThumbnail},
		{"POST", "/v1/teach", s.postTeach},
		{"POST", "/v1/undo", s.postUndo},
		{"POST", "/v1/retrain", s.postRetrain},
		{"POST", "/v1/reload", s.postReload},
		{"GET", "/v1/model", s.getModel},
		{"GET", "/v1/labels", s.getLabels},
	}
}

// mux is the handler of all requests that have been let in.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) {
			if err := r.handle(w, q); err != nil {
				s.fail(w, q, err)
			}
		})
	}
	methods := []string{"GET", "POST", "PATCH", "DELETE"}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name, found := pageFile(r.URL.Path)
		if found && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			sendPage(w, r, name)
			return
		}
		// Nothing else has matched: perhaps another method would.
		var allowed []string
		if found {
			allowed = []string{"GET"}
		}
		for _, m := range methods {
			try := r.Clone(r.Context())
			try.Method = m
			if _, pattern := mux.Handler(try); pattern != "/" {
				allowed = append(allowed, m)
			}
		}
		if allowed == nil {
			s.fail(w, r, refusef(http.StatusNotFound, "there is no %.80q", r.URL.Path))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, refusef(http.StatusMethodNotAllowed, "%s is not for %s", r.URL.Path, r.Method))
	})
	return mux
}

// refused is an error with a status of its own.
type refused struct {
	status int
	error
	hint string
}

func (e refused) Unwrap() error { return e.error }

func refusef(status int, format string, a ...any) error {
	return refused{status: status, error: fmt.Errorf(format, a...)}
}

// Problem is the answer to a request that failed.
type Problem struct {
	Error string `json:"error"`
	Hint  string `json:"hint,omitempty"`
}

// statuses are those of errors that are not of the server's making.
var statuses = []struct {
	err    error
	status int
	hint   string
}{
	{dataset.ErrTooLarge, http.StatusRequestEntityTooLarge, "make it smaller: 640 pixels are more than enough"},
	{dataset.ErrFormat, http.StatusUnsupportedMediaType, "send a JPEG, PNG, WebP, GIF or BMP as the body of the request"},
	{dataset.ErrHEIC, http.StatusUnsupportedMediaType, ""},
	{dataset.ErrEmpty, http.StatusBadRequest, "send the photo as the body of the request"},
	{dataset.ErrDamaged, http.StatusBadRequest, ""},
	{imprint.ErrUnknownLabel, http.StatusNotFound, "GET /v1/classes lists the labels"},
	{imprint.ErrNoClasses, http.StatusConflict, "teach a class first"},
	{imprint.ErrNothingToUndo, http.StatusConflict, ""},
	{imprint.ErrLabel, http.StatusBadRequest, ""},
	{imprint.ErrNoPhotos, http.StatusUnprocessableEntity, ""},
	{imprint.ErrFull, http.StatusInsufficientStorage, ""},
	{imprint.ErrLocked, http.StatusServiceUnavailable, "try again when that process is done"},
	{ErrHolding, http.StatusConflict, "let go of it first"},
	{ErrNotHolding, http.StatusConflict, "begin with the action start"},
	{ErrNoFrames, http.StatusConflict, ""},
	{ErrBusy, http.StatusServiceUnavailable, "try again, or less often"},
	{ErrDropped, http.StatusServiceUnavailable, ""},
	{errStopping, http.StatusServiceUnavailable, ""},
	{context.Canceled, 499, ""}, // the client has gone: for the metrics, as nginx counts it
	{context.DeadlineExceeded, http.StatusServiceUnavailable, "try again"},
}

// problem says which status an error has, and puts it in words.
func problem(err error) (int, Problem) {
	var own refused
	if errors.As(err, &own) {
		return own.status, Problem{err.Error(), own.hint}
	}
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return http.StatusRequestEntityTooLarge, Problem{fmt.Sprintf("the request has more than %d bytes", large.Limit), "make it smaller"}
	}
	for _, s := range statuses {
		if errors.Is(err, s.err) {
			return s.status, Problem{err.Error(), s.hint}
		}
	}
	if deviceError(err) != "" {
		return http.StatusServiceUnavailable, Problem{err.Error(), "imprint doctor says what to do"}
	}
	return http.StatusInternalServerError, Problem{Error: err.Error()}
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	status, p := problem(err)
	if status == http.StatusServiceUnavailable || status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
	}
	if status == http.StatusInternalServerError {
		s.log.Error("a request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	}
	s.answerJSON(w, status, p)
}

func (s *Server) answerJSON(w http.ResponseWriter, status int, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return s.answerBytes(w, status, "application/json", append(b, '\n'))
}

// answerBytes writes a whole answer. That a client has gone away meanwhile is not an
// error of the server's.
func (s *Server) answerBytes(w http.ResponseWriter, status int, kind string, b []byte) error {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(b)))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.times.write + time.Duration(len(b))*time.Second/(64<<10)))
	w.WriteHeader(status)
	w.Write(b)
	return nil
}

func ok[T any](s *Server, w http.ResponseWriter, v T, err error) error {
	if err != nil {
		return err
	}
	return s.answerJSON(w, http.StatusOK, v)
}

// body reads a request's body of at most limit bytes. All bodies in memory together
// are bounded.
func (s *Server) body(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, func(), error) {
	size := limit
	if r.ContentLength > limit {
		return nil, nil, &http.MaxBytesError{Limit: limit}
	}
	if r.ContentLength >= 0 {
		size = r.ContentLength
	}
	ctx, cancel := context.WithTimeoutCause(r.Context(), time.Second, ErrBusy)
	defer cancel()
	if s.bodies.Acquire(ctx, size) != nil {
		return nil, nil, fmt.Errorf("%w: too many photos are on their way here", ErrBusy)
	}
	release := func() { s.bodies.Release(size) }
	control := http.NewResponseController(w)
	control.SetReadDeadline(time.Now().Add(s.times.body))
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err != nil {
		release()
		w.Header().Set("Connection", "close")
		if large := (*http.MaxBytesError)(nil); errors.As(err, &large) {
			return nil, nil, err
		}
		return nil, nil, refused{http.StatusRequestTimeout, fmt.Errorf("the request's body did not come whole within %v: %w", s.times.body, err), ""}
	}
	control.SetReadDeadline(time.Time{}) // it would end the request's context
	return b, release, nil
}

// readJSON reads a request's body into v, which keeps what it has where there is none.
func (s *Server) readJSON(w http.ResponseWriter, r *http.Request, v any) error {
	b, release, err := s.body(w, r, maxJSON)
	if err != nil {
		return err
	}
	defer release()
	if len(b) == 0 {
		return nil
	}
	if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return refused{http.StatusUnsupportedMediaType, fmt.Errorf("the body's type is %q", r.Header.Get("Content-Type")), "send JSON, with the header Content-Type: application/json"}
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return refusef(http.StatusBadRequest, "the body is not the JSON that is wanted: %v", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return refusef(http.StatusBadRequest, "the body has more than one JSON value")
	}
	return nil
}

// readPhoto reads the photo that is a request's body.
func (s *Server) readPhoto(w http.ResponseWriter, r *http.Request) ([]byte, func(), error) {
	return s.body(w, r, limits.MaxBytes)
}

// photoName is what a client's photo is called in messages.
const photoName = "in the request"

// look has a client's photo classified.
func (s *Server) look(ctx context.Context, photo []byte) (*picture, predict.Result, error) {
	p := &picture{Frame: Frame{Captured: time.Now(), Photo: photo, Name: photoName}}
	ctx, cancel := context.WithTimeoutCause(ctx, jobPatience, ErrBusy)
	defer cancel()
	select { // decoding takes memory and cores
	case s.decoding <- struct{}{}:
	case <-ctx.Done():
		return nil, predict.Result{}, context.Cause(ctx)
	}
	file, err := p.open()
	var fitted *live.Picture
	if err == nil {
		fitted, err = s.live.Prepare(file)
	}
	<-s.decoding
	if err != nil {
		return nil, predict.Result{}, err
	}
	r, err := s.submit(ctx, fitted)
	return p, r, err
}

// lookAtBody has the photo that is a request's body classified; release must be called
// when that is not needed any more.
func (s *Server) lookAtBody(w http.ResponseWriter, r *http.Request) (p *picture, result predict.Result, release func(), err error) {
	photo, release, err := s.readPhoto(w, r)
	if err != nil {
		return nil, result, nil, err
	}
	if p, result, err = s.look(r.Context(), photo); err != nil {
		release()
	}
	return p, result, release, err
}

func (s *Server) postClassify(w http.ResponseWriter, r *http.Request) error {
	p, result, release, err := s.lookAtBody(w, r)
	if err != nil {
		return err
	}
	defer release()
	return s.answerJSON(w, http.StatusOK, newResult(p, result))
}

func (s *Server) postFrame(w http.ResponseWriter, r *http.Request) error {
	if s.options.Source != nil {
		return refused{http.StatusConflict, fmt.Errorf("the server has a camera of its own, %v", s.options.Source), "POST /v1/classify takes other photos"}
	}
	photo, release, err := s.readPhoto(w, r)
	if err != nil {
		return err
	}
	defer release()
	reply := make(chan answer, 1)
	p := &picture{Frame: Frame{Captured: time.Now(), Photo: photo, Name: photoName}, reply: reply}
	if _, err := p.open(); err != nil {
		return err
	}
	s.accept(p)
	select {
	case a := <-reply:
		return ok(s, w, a.result, a.err)
	case <-s.stopped:
		return errStopping
	case <-r.Context().Done():
		return r.Context().Err()
	}
}

func (s *Server) getHealth(w http.ResponseWriter, r *http.Request) error {
	h := s.Health()
	if h.Status == "down" {
		return s.answerJSON(w, http.StatusServiceUnavailable, h)
	}
	return s.answerJSON(w, http.StatusOK, h)
}

func (s *Server) getMetrics(w http.ResponseWriter, r *http.Request) error {
	http.NewResponseController(w).SetWriteDeadline(time.Now().Add(s.times.write))
	promhttp.HandlerFor(s.metrics.registry, promhttp.HandlerOpts{}).ServeHTTP(w, r)
	return nil
}

func (s *Server) getOpenAPI(w http.ResponseWriter, r *http.Request) error {
	return s.answerBytes(w, http.StatusOK, "application/json", openAPI)
}

func (s *Server) getResult(w http.ResponseWriter, r *http.Request) error {
	after, err := number(r, "after", 1<<63-1)
	if err != nil {
		return err
	}
	wait, err := number(r, "wait", uint64(longestPoll.Milliseconds()))
	if err != nil {
		return err
	}
	end := time.NewTimer(time.Duration(wait) * time.Millisecond)
	defer end.Stop()
	for {
		v, changed := s.result.get()
		if v != nil && v.Frame > after {
			return s.answerJSON(w, http.StatusOK, v)
		}
		select {
		case <-changed:
			continue
		case <-end.C:
		case <-s.stopped:
		case <-r.Context().Done():
		}
		w.WriteHeader(http.StatusNoContent)
		return nil
	}
}

// number reads a parameter of the query; 0 if it is not there.
func number(r *http.Request, name string, most uint64) (uint64, error) {
	text := r.URL.Query().Get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil || n > most {
		return 0, refusef(http.StatusBadRequest, "%s=%.40q: it must be a number up to %d", name, text, most)
	}
	return n, nil
}

func (s *Server) getClasses(w http.ResponseWriter, r *http.Request) error {
	c, err := s.Classes(r.Context())
	return ok(s, w, c, err)
}

// changeContext is for a change that goes on when the client goes away.
func changeContext(r *http.Request) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(r.Context()), changeTime)
}

func (s *Server) deleteClass(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Remove(ctx, r.PathValue("label"))
	return ok(s, w, c, err)
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
	return ok(s, w, c, err)
}

func (s *Server) postExample(w http.ResponseWriter, r *http.Request) error {
	label := r.URL.Query().Get("label")
	if err := imprint.CheckLabel(label); err != nil {
		return fmt.Errorf("the label of the query: %w", err)
	}
	p, result, release, err := s.lookAtBody(w, r)
	if err != nil {
		return err
	}
	defer release()
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.do(ctx, "teach", label, func(k *imprint.Workspace) (string, error) {
		start := time.Now()
		learned, err := s.add(ctx, k, label, []observed{{p, result.Embedding}})
		if err != nil {
			return "", err
		}
		return learnedSentence(label, "photo", learned, time.Since(start)), nil
	})
	return ok(s, w, c, err)
}

func (s *Server) deleteExample(w http.ResponseWriter, r *http.Request) error {
	sha256, err := sha256Of(r)
	if err != nil {
		return err
	}
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.RemovePhoto(ctx, sha256)
	if errors.Is(err, imprint.ErrNoPhotos) {
		return refused{http.StatusNotFound, err, "GET /v1/classes lists the photos"}
	}
	return ok(s, w, c, err)
}

func sha256Of(r *http.Request) (string, error) {
	s := r.PathValue("sha256")
	if len(s) != 64 || strings.Trim(s, "0123456789abcdef") != "" {
		return "", refusef(http.StatusBadRequest, "%.80q is no SHA-256 of 64 hexadecimal digits", s)
	}
	return s, nil
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
		err = refusef(http.StatusBadRequest, "action %.40q: it must be start, stop or cancel", q.Action)
	}
	return ok(s, w, t, err)
}

func (s *Server) postUndo(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Undo(ctx)
	return ok(s, w, c, err)
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
	return ok(s, w, c, err)
}

func (s *Server) postReload(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := changeContext(r)
	defer cancel()
	c, err := s.Reload(ctx)
	return ok(s, w, c, err)
}

// kinds reads which events a client wants to hear of.
func kinds(r *http.Request) ([]string, error) {
	known := []string{"result", "classes", "teach", "generation", "state", "notice"}
	var list []string
	for _, text := range r.URL.Query()["kinds"] {
		for _, k := range strings.Split(text, ",") {
			if !slices.Contains(known, k) {
				return nil, refusef(http.StatusBadRequest, "there are no events of kind %.40q: there are %s", k, strings.Join(known, ", "))
			}
			list = append(list, k)
		}
	}
	return list, nil
}
