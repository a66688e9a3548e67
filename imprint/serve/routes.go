package serve

import (
	"net/http"
	"strings"
)

// A route is one operation of the HTTP interface.
type route struct {
	method, path string
	handle       func(w http.ResponseWriter, r *http.Request) error
}

// routes returns all operations. openapi.json describes the same operations.
func (s *Server) routes() []route {
	return []route{
		{"GET", "/v1/health", s.getHealth},
		{"GET", "/v1/metrics", s.getMetrics},
		{"GET", "/v1/openapi.json", s.getOpenAPI},
		{"GET", "/v1/docs", s.getDocs},
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
		{"PATCH", "/v1/examples/{sha256}", s.patchExample},
		{"GET", "/v1/examples/{sha256}/thumbnail.jpg", s.getThumbnail},
		{"POST", "/v1/teach", s.postTeach},
		{"GET", "/v1/regions", s.getRegions},
		{"PUT", "/v1/regions/{name}", s.putRegion},
		{"DELETE", "/v1/regions/{name}", s.deleteRegion},
		{"GET", "/v1/doubtful", s.getDoubtful},
		{"POST", "/v1/doubtful/{group}", s.postDoubtful},
		{"GET", "/v1/doubtful/{sha256}/thumbnail.jpg", s.getDoubtfulThumbnail},
		{"GET", "/v1/review", s.getReview},
		{"GET", "/v1/report", s.getReport},
		{"POST", "/v1/undo", s.postUndo},
		{"POST", "/v1/retrain", s.postRetrain},
		{"POST", "/v1/reload", s.postReload},
		{"GET", "/v1/model", s.getModel},
		{"GET", "/v1/labels", s.getLabels},
		{"GET", "/v1/workspace", s.getWorkspace},
		{"GET", "/v1/workspace/{file}", s.getWorkspaceFile},
	}
}

// mux returns the handler for requests that the guard admits.
func (s *Server) mux() http.Handler {
	mux := http.NewServeMux()
	for _, r := range s.routes() {
		mux.HandleFunc(r.method+" "+r.path, func(w http.ResponseWriter, q *http.Request) {
			if err := r.handle(w, q); err != nil {
				s.fail(w, q, err)
			}
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		name, found := pageFile(r.URL.Path)
		if found && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			sendPage(w, r, name)
			return
		}
		allowed := allowedMethods(mux, r)
		if found {
			allowed = append([]string{"GET"}, allowed...)
		}
		if allowed == nil {
			s.fail(w, r, refusef(http.StatusNotFound, "no such path: %.80q", r.URL.Path))
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, refusef(http.StatusMethodNotAllowed, "%s does not allow %s", r.URL.Path, r.Method))
	})
	return mux
}

// allowedMethods returns the methods with which a request would match a route.
func allowedMethods(mux *http.ServeMux, r *http.Request) (allowed []string) {
	for _, m := range []string{"GET", "POST", "PUT", "PATCH", "DELETE"} {
		try := r.Clone(r.Context())
		try.Method = m
		if _, pattern := mux.Handler(try); pattern != "/" {
			allowed = append(allowed, m)
		}
	}
	return allowed
}
