package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

func description(t *testing.T) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil // any
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// Every route is described, and nothing is described that is not there.
func TestOpenAPINamesTheRoutes(t *testing.T) {
	doc, _ := description(t)
	var described, served []string
	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			described = append(described, method+" "+path)
		}
	}
	for _, r := range new(Server).routes() {
		served = append(served, r.method+" "+r.path)
	}
	slices.Sort(described)
	slices.Sort(served)
	if !slices.Equal(described, served) {
		t.Errorf("described %q\nserved %q", described, served)
	}
}

// speaker makes requests and holds the answers, and the requests that are meant to
// succeed, against the description.
type speaker struct {
	*theatre
	router routers.Router
	spoken map[string]bool
}

func (s *speaker) say(method, path, kind, body string, status int) []byte {
	s.t.Helper()
	request := func() *http.Request {
		r, err := http.NewRequest(method, "http://imprint"+path, strings.NewReader(body))
		if err != nil {
			s.t.Fatal(err)
		}
		if body == "" {
			r.Body = nil
		}
		if kind != "" {
			r.Header.Set("Content-Type", kind)
		}
		return r
	}
	route, params, err := s.router.FindRoute(request())
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, path, err)
	}
	s.spoken[method+" "+route.Path] = true
	input := &openapi3filter.RequestValidationInput{Request: request(), PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil && status < 400 {
		s.t.Errorf("%s %s: the request is not as described: %v", method, path, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	resp, err := s.http.Do(request().WithContext(ctx))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b []byte
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/x-mixed-replace") || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		b = make([]byte, 2000) // it does not end
		_, err = io.ReadFull(resp.Body, b)
	} else {
		b, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	if resp.StatusCode != status {
		s.t.Fatalf("%s %s: status %d, want %d: %s", method, path, resp.StatusCode, status, b)
	}
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(b)), Options: input.Options}
	if err := openapi3filter.ValidateResponse(context.Background(), output); err != nil {
		s.t.Errorf("%s %s: the answer is not as described: %v", method, path, err)
	}
	return b
}

// TestOpenAPIHolds has every route answer, well and with an error, as described.
func TestOpenAPIHolds(t *testing.T) {
	doc, router := description(t)
	for _, kind := range []string{"image/*", "image/jpeg", "image/png", "multipart/x-mixed-replace", "text/event-stream", "application/octet-stream"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
		defer openapi3filter.UnregisterBodyDecoder(kind)
	}
	s := &speaker{perform(t, setting{}), router, make(map[string]bool)}
	none := &speaker{perform(t, setting{none: true}), router, s.spoken}
	const jsonKind, png = "application/json", "image/png"
	photo := string(backbonetest.Photo(7, 1))

	none.say("GET", "/v1/result?wait=1", "", "", 204)
	none.say("GET", "/v1/frame.jpg", "", "", 404)
	none.say("GET", "/v1/model", "", "", 404)
	none.say("POST", "/v1/teach", jsonKind, `{"label":"a","action":"stop"}`, 409)
	none.say("POST", "/v1/frames", png, photo, 200)
	none.say("GET", "/v1/result", "", "", 200)
	none.say("GET", "/v1/health", "", "", 200)

	s.next(0, func(Result) bool { return true })
	s.say("POST", "/v1/frames", png, photo, 409)
	s.say("POST", "/v1/undo", "", "", 409)
	s.say("POST", "/v1/retrain", "", "", 409)
	s.say("GET", "/v1/classes", "", "", 200)
	s.stage.show(1)
	s.say("POST", "/v1/teach", jsonKind, `{"label":"a","action":"start"}`, 200)
	s.say("POST", "/v1/teach", jsonKind, `{"label":"b","action":"start"}`, 409)
	s.say("POST", "/v1/teach", jsonKind, `{"action":"cancel"}`, 200)
	s.hold("a", 2)
	s.say("POST", "/v1/examples?label=b", png, photo, 200)
	s.say("POST", "/v1/examples", png, photo, 400)
	s.say("POST", "/v1/classify", png, photo, 200)
	s.say("POST", "/v1/classify", png, "no photo", 415)
	s.say("GET", "/v1/result?after=1&wait=5000", "", "", 200)
	s.say("GET", "/v1/result?wait=1000000", "", "", 400)
	s.say("GET", "/v1/frame.jpg", "", "", 200)
	s.say("GET", "/v1/stream.mjpg", "", "", 200)
	s.say("GET", "/v1/events", "", "", 200)
	s.say("GET", "/v1/events?kinds=result,teach", "", "", 200)
	s.say("GET", "/v1/events?kinds=weather", "", "", 400)
	s.say("GET", "/v1/health", "", "", 200)
	s.say("GET", "/v1/metrics", "", "", 200)
	s.say("GET", "/v1/openapi.json", "", "", 200)
	s.say("GET", "/v1/model", "", "", 200)
	s.say("GET", "/v1/labels", "", "", 200)
	var list Classes
	if err := json.Unmarshal(s.say("GET", "/v1/classes", "", "", 200), &list); err != nil {
		t.Fatal(err)
	}
	sha := list.Classes[0].Photos[0].SHA256
	s.say("GET", "/v1/examples/"+sha+"/thumbnail.jpg", "", "", 200)
	s.say("GET", "/v1/examples/"+strings.Repeat("0", 64)+"/thumbnail.jpg", "", "", 404)
	s.say("DELETE", "/v1/examples/"+sha, "", "", 200)
	s.say("DELETE", "/v1/examples/"+sha, "", "", 404)
	s.say("DELETE", "/v1/examples/x", "", "", 400)
	s.say("PATCH", "/v1/classes/b", jsonKind, `{"label":"c%d"}`, 200)
	s.say("PATCH", "/v1/classes/b", jsonKind, `{"label":"d"}`, 404)
	s.say("DELETE", "/v1/classes/c%25d", "", "", 200)
	s.say("POST", "/v1/undo", "", "", 200)
	s.say("POST", "/v1/retrain", jsonKind, `{"head":"mean"}`, 200)
	s.say("POST", "/v1/retrain", jsonKind, `{"head":"best"}`, 400)
	s.say("POST", "/v1/reload", "", "", 200)

	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !s.spoken[method+" "+path] {
				t.Errorf("%s %s was not tried", method, path)
			}
		}
	}
}

// The events are of the types that the description says.
func TestOpenAPIDescribesEvents(t *testing.T) {
	doc, _ := description(t)
	th := perform(t, setting{})
	l := th.server.hub.listen(nil)
	defer th.server.hub.leave(l)
	th.next(0, func(Result) bool { return true })
	th.hold("a", 2)
	th.stage.breakDown(io.ErrUnexpectedEOF)
	schema := map[string]string{"result": "Result", "classes": "Classes", "teach": "Teaching", "generation": "Generation", "state": "Health", "notice": "Notice"}
	seen := make(map[string]bool)
	for len(seen) < len(schema) {
		<-l.ready
		for _, e := range l.take() {
			var v any
			if err := json.Unmarshal(e.data, &v); err != nil {
				t.Fatal(err)
			}
			s := doc.Components.Schemas[schema[e.kind]]
			if s == nil {
				t.Fatalf("no schema for %s", e.kind)
			}
			if err := s.Value.VisitJSON(v); err != nil {
				t.Errorf("%s %s: %v", e.kind, e.data, err)
			}
			seen[e.kind] = true
		}
	}
}
