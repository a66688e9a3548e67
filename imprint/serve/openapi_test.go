package serve

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// loadOpenAPI loads and validates openapi.json.
func loadOpenAPI(t *testing.T) (*openapi3.T, routers.Router) {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(openAPI)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(context.Background()); err != nil {
		t.Fatal(err)
	}
	doc.Servers = nil // match any host
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return doc, router
}

// TestOpenAPIRoutes checks that openapi.json describes exactly the routes that exist.
func TestOpenAPIRoutes(t *testing.T) {
	doc, _ := loadOpenAPI(t)
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
		t.Errorf("got routes %q in openapi.json\nwant %q", described, served)
	}
}

// A checkedClient checks all responses against openapi.json, and the requests that should succeed.
type checkedClient struct {
	*testServer
	router routers.Router
	called map[string]bool
}

func (c *checkedClient) call(method, path, contentType, body string, status int) []byte {
	c.t.Helper()
	request := func() *http.Request {
		r, err := http.NewRequest(method, "http://imprint"+path, strings.NewReader(body))
		if err != nil {
			c.t.Fatal(err)
		}
		if body == "" {
			r.Body = nil
		}
		if contentType != "" {
			r.Header.Set("Content-Type", contentType)
		}
		return r
	}
	route, params, err := c.router.FindRoute(request())
	if err != nil {
		c.t.Fatalf("%s %s: %v", method, path, err)
	}
	c.called[method+" "+route.Path] = true
	input := &openapi3filter.RequestValidationInput{Request: request(), PathParams: params, Route: route,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if err := openapi3filter.ValidateRequest(context.Background(), input); err != nil && status < 400 {
		c.t.Errorf("%s %s: the request does not match openapi.json: %v", method, path, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	resp, err := c.client.Do(request().WithContext(ctx))
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	var b []byte
	if strings.HasPrefix(resp.Header.Get("Content-Type"), "multipart/x-mixed-replace") || strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		b = make([]byte, 2000) // a stream never ends
		_, err = io.ReadFull(resp.Body, b)
	} else {
		b, err = io.ReadAll(resp.Body)
	}
	if err != nil {
		c.t.Fatal(err)
	}
	if resp.StatusCode != status {
		c.t.Fatalf("%s %s: got status %d, want %d: %s", method, path, resp.StatusCode, status, b)
	}
	output := &openapi3filter.ResponseValidationInput{RequestValidationInput: input, Status: status, Header: resp.Header, Body: io.NopCloser(bytes.NewReader(b)), Options: input.Options}
	if err := openapi3filter.ValidateResponse(context.Background(), output); err != nil {
		c.t.Errorf("%s %s: the response does not match openapi.json: %v", method, path, err)
	}
	return b
}

// TestOpenAPI checks a successful and a failing request to every route against openapi.json.
func TestOpenAPI(t *testing.T) {
	doc, router := loadOpenAPI(t)
	for _, kind := range []string{"image/*", "image/jpeg", "image/png", "multipart/x-mixed-replace", "multipart/form-data", "text/event-stream", "text/html", "application/octet-stream"} {
		openapi3filter.RegisterBodyDecoder(kind, openapi3filter.FileBodyDecoder)
		defer openapi3filter.UnregisterBodyDecoder(kind)
	}
	c := &checkedClient{start(t, testConfig{options: Options{KeepDoubtful: t.TempDir()}}), router, make(map[string]bool)}
	bare := &checkedClient{start(t, testConfig{noCamera: true}), router, c.called}
	const jsonType, png = "application/json", "image/png"
	photo := string(backbonetest.Photo(7, 1))

	bare.call("GET", "/v1/result?wait=1", "", "", 204)
	bare.call("GET", "/v1/frame.jpg", "", "", 404)
	bare.call("GET", "/v1/model", "", "", 404)
	bare.call("GET", "/v1/review", "", "", 409)
	bare.call("GET", "/v1/report", "", "", 409)
	bare.call("GET", "/v1/workspace", "", "", 404)
	bare.call("POST", "/v1/teach", jsonType, `{"label":"a","action":"stop"}`, 409)
	bare.call("POST", "/v1/frames", png, photo, 200)
	bare.call("GET", "/v1/result", "", "", 200)
	bare.call("GET", "/v1/health", "", "", 200)

	c.await(0, anyResult)
	c.call("POST", "/v1/frames", png, photo, 409)
	c.call("POST", "/v1/undo", "", "", 409)
	c.call("POST", "/v1/retrain", "", "", 409)
	c.call("GET", "/v1/classes", "", "", 200)
	c.camera.show(1)
	c.call("POST", "/v1/teach", jsonType, `{"label":"a","action":"start"}`, 200)
	c.call("POST", "/v1/teach", jsonType, `{"label":"b","action":"start"}`, 409)
	c.call("POST", "/v1/teach", jsonType, `{"action":"cancel"}`, 200)
	c.teach("a", 2)
	c.call("PUT", "/v1/regions/left%20half", jsonType, `{"box":[0,0,0.5,1],"answers":2}`, 200)
	c.call("PUT", "/v1/regions/out", jsonType, `{"box":[0,0,1.5,1]}`, 400)
	c.call("POST", "/v1/teach", jsonType, `{"label":"a","action":"start","region":"out"}`, 404)
	c.awaitState("left half", "a")
	c.call("GET", "/v1/regions", "", "", 200)
	c.call("GET", "/v1/events?kinds=regions", "", "", 200)
	c.call("DELETE", "/v1/regions/left%20half", "", "", 200)
	c.call("DELETE", "/v1/regions/left%20half", "", "", 404)
	group := strconv.FormatUint(c.offerDoubt(5).Number, 10)
	sum := c.Doubtful(0, 1).List[0].Pictures[0].SHA256
	c.call("GET", "/v1/doubtful?limit=5", "", "", 200)
	c.call("GET", "/v1/doubtful?offset=-1", "", "", 400)
	c.call("GET", "/v1/doubtful/"+sum+"/thumbnail.jpg", "", "", 200)
	c.call("GET", "/v1/doubtful/"+strings.Repeat("0", 64)+"/thumbnail.jpg", "", "", 404)
	c.call("POST", "/v1/doubtful/"+group, jsonType, `{"action":"explode"}`, 400)
	c.call("POST", "/v1/doubtful/"+group, jsonType, `{"action":"drop","label":"a"}`, 400)
	c.call("POST", "/v1/doubtful/999", jsonType, `{"action":"drop"}`, 404)
	c.call("POST", "/v1/doubtful/"+group, jsonType, `{"action":"drop"}`, 200)
	bare.call("POST", "/v1/doubtful/"+group, jsonType, `{"action":"drop"}`, 404)
	c.call("POST", "/v1/examples?label=b", png, photo, 200)
	c.call("POST", "/v1/examples", png, photo, 400)
	kind, form := photoForm(t, "a.png", string(backbonetest.Photo(7, 2)), "b.png", string(backbonetest.Photo(7, 3)))
	c.call("POST", "/v1/examples?label=b", kind, form, 200)
	c.call("POST", "/v1/examples?label=b", "multipart/form-data", form, 400)
	c.call("POST", "/v1/classify", png, photo, 200)
	c.call("POST", "/v1/classify", png, "no photo", 415)
	c.call("GET", "/v1/result?after=1&wait=5000", "", "", 200)
	c.call("GET", "/v1/result?wait=1000000", "", "", 400)
	c.call("GET", "/v1/frame.jpg", "", "", 200)
	c.call("GET", "/v1/stream.mjpg", "", "", 200)
	c.call("GET", "/v1/events", "", "", 200)
	c.call("GET", "/v1/events?kinds=result,teach", "", "", 200)
	c.call("GET", "/v1/events?kinds=weather", "", "", 400)
	c.call("GET", "/v1/health", "", "", 200)
	c.call("GET", "/v1/metrics", "", "", 200)
	c.call("GET", "/v1/openapi.json", "", "", 200)
	c.call("GET", "/v1/docs", "", "", 200)
	c.call("GET", "/v1/model", "", "", 200)
	c.call("GET", "/v1/labels", "", "", 200)
	c.call("GET", "/v1/workspace", "", "", 200)
	c.call("GET", "/v1/workspace/backbone.tflite", "", "", 200)
	c.call("GET", "/v1/workspace/lock", "", "", 404)
	var list Classes
	if err := json.Unmarshal(c.call("GET", "/v1/classes", "", "", 200), &list); err != nil {
		t.Fatal(err)
	}
	c.call("GET", "/v1/classes?offset=1&limit=1", "", "", 200)
	c.call("GET", "/v1/classes?limit=-1", "", "", 400)
	c.call("GET", "/v1/review", "", "", 200)
	c.call("GET", "/v1/report", "", "", 200)
	sha := list.Classes[0].Photos[0].SHA256
	c.call("GET", "/v1/examples/"+sha+"/thumbnail.jpg", "", "", 200)
	c.call("GET", "/v1/examples/"+strings.Repeat("0", 64)+"/thumbnail.jpg", "", "", 404)
	c.call("PATCH", "/v1/examples/"+sha, jsonType, `{"label":"b"}`, 200)
	c.call("PATCH", "/v1/examples/"+sha, jsonType, `{"label":""}`, 400)
	c.call("PATCH", "/v1/examples/"+strings.Repeat("0", 64), jsonType, `{"label":"b"}`, 404)
	c.call("DELETE", "/v1/examples/"+sha, "", "", 200)
	c.call("DELETE", "/v1/examples/"+sha, "", "", 404)
	c.call("DELETE", "/v1/examples/x", "", "", 400)
	c.call("PATCH", "/v1/classes/b", jsonType, `{"label":"c%d"}`, 200)
	c.call("PATCH", "/v1/classes/b", jsonType, `{"label":"d"}`, 404)
	c.call("DELETE", "/v1/classes/c%25d", "", "", 200)
	c.call("POST", "/v1/undo", "", "", 200)
	c.call("POST", "/v1/retrain", jsonType, `{"head":"mean"}`, 200)
	c.call("POST", "/v1/retrain", jsonType, `{"head":"best"}`, 400)
	c.call("POST", "/v1/retrain", jsonType, `{"unknown":0.1}`, 200)
	c.call("POST", "/v1/retrain", jsonType, `{"unknown":0.6}`, 400)
	c.call("POST", "/v1/reload", "", "", 200)

	for path, item := range doc.Paths.Map() {
		for method := range item.Operations() {
			if !c.called[method+" "+path] {
				t.Errorf("%s %s was not called", method, path)
			}
		}
	}
}

// TestOpenAPIEvents checks the data of each kind of event against openapi.json.
func TestOpenAPIEvents(t *testing.T) {
	doc, _ := loadOpenAPI(t)
	s := start(t, testConfig{})
	l := s.events.listen(nil)
	defer s.events.leave(l)
	s.await(0, anyResult)
	s.teach("a", 2)
	s.do("PUT", "/v1/regions/all", `{"box":[0,0,1,1]}`, 200, nil)
	s.doubts.publish()
	s.camera.fail(io.ErrUnexpectedEOF)
	schemas := map[string]string{"result": "Result", "classes": "Classes", "teach": "Teaching", "generation": "Generation", "state": "Health", "notice": "Notice", "regions": "Regions", "doubtful": "Doubts"}
	seen := make(map[string]bool)
	for len(seen) < len(schemas) {
		select {
		case <-l.ready:
		case <-time.After(time.Minute):
			t.Fatalf("got only events %v", slices.Collect(maps.Keys(seen)))
		}
		for _, e := range l.take() {
			var v any
			if err := json.Unmarshal(e.data, &v); err != nil {
				t.Fatal(err)
			}
			schema := doc.Components.Schemas[schemas[e.kind]]
			if schema == nil {
				t.Fatalf("openapi.json has no schema for %s", e.kind)
			}
			if err := schema.Value.VisitJSON(v); err != nil {
				t.Errorf("%s %s: %v", e.kind, e.data, err)
			}
			seen[e.kind] = true
		}
	}
}
