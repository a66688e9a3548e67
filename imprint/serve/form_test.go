package serve

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// photoForm returns a form with files, given as names and contents in turn, and its
// Content-Type.
func photoForm(t testing.TB, files ...string) (contentType, body string) {
	t.Helper()
	var b bytes.Buffer
	form := multipart.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		w, err := form.CreateFormFile("photo", files[i])
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(w, files[i+1])
	}
	if err := form.Close(); err != nil {
		t.Fatal(err)
	}
	return form.FormDataContentType(), b.String()
}

// sendForm posts a form over the socket and returns the status and the response.
func (s *testServer) sendForm(path, contentType, body string) (int, string) {
	s.t.Helper()
	resp, err := s.client.Post("http://imprint"+path, contentType, strings.NewReader(body))
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// TestForm adds the photos of forms. Each form is one change or none, and gives its memory
// back.
func TestForm(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	photo := func(seed uint64) string { return string(backbonetest.Photo(1, seed)) }
	many := func(n int) (files []string) {
		for range n {
			files = append(files, "x.png", photo(0))
		}
		return files
	}
	of := func(files ...string) [2]string {
		kind, body := photoForm(t, files...)
		return [2]string{kind, body}
	}
	whole := of("a.png", photo(1))
	for _, c := range []struct {
		name    string
		form    [2]string
		status  int
		want    string
		changes uint64
	}{
		{"two photos", of("a.png", photo(1), "b.png", photo(2)), 200, `"learned cone from 2 photos in `, 1},
		{"one known, one damaged, one new", of("a.png", photo(1), "b.png", "no photo", "c.png", photo(3)), 200, `"learned cone from 1 photo (2 skipped) in `, 1},
		{"only known", whole, 200, `learned nothing new about cone: already in`, 0},
		{"none can be read", of("a.jpg", "no photo", "b.jpg", ""), 400, "b.jpg: ", 0},
		{"too many", of(many(maxFormPhotos + 1)...), 413, "more than 100 photos", 0},
		{"too large", of("a.png", strings.Repeat("x", int(photoLimits.MaxBytes))), 413, "exceeds", 0},
		{"empty", of(), 400, "invalid form", 0},
		{"truncated", [2]string{whole[0], whole[1][:len(whole[1])/2]}, 400, "invalid form", 0},
		{"without boundary", [2]string{"multipart/form-data", whole[1]}, 400, "invalid form", 0},
	} {
		before := s.live.Generation()
		status, body := s.sendForm("/v1/examples?label=cone", c.form[0], c.form[1])
		if status != c.status || !strings.Contains(body, c.want) {
			t.Errorf("%s: got %d %s, want %d with %q", c.name, status, body, c.status, c.want)
		}
		if got := s.live.Generation() - before; got != c.changes {
			t.Errorf("%s: %d changes, want %d", c.name, got, c.changes)
		}
	}
	s.awaitFreeMemory(maxBodies)
}

// TestStreamRepeatsFrame checks that a frame without a successor is sent twice, and no more.
func TestStreamRepeatsFrame(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	post := func(n uint64) { s.do("POST", "/v1/frames", string(backbonetest.Photo(1, n)), 200, nil) }
	post(1)
	resp, err := s.client.Get("http://imprint/v1/stream.mjpg")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	parts := multipart.NewReader(resp.Body, boundary)
	var numbers []string
	for n := range 2 {
		if n > 0 {
			post(2)
		}
		for range 2 {
			part, err := parts.NextPart()
			if err != nil {
				t.Fatal(err)
			}
			numbers = append(numbers, part.Header.Get("X-Imprint-Frame"))
		}
	}
	if got := fmt.Sprint(numbers); got != "[1 1 2 2]" {
		t.Errorf("got frames %s, want [1 1 2 2]", got)
	}
}
