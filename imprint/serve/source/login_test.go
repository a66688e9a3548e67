package source

import (
	"crypto/md5"
	"crypto/sha256"
	"fmt"
	"hash"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

// fields returns the fields of a Digest Authorization header.
func fields(header string) map[string]string {
	all := make(map[string]string)
	list, _ := strings.CutPrefix(header, "Digest ")
	for _, f := range strings.Split(list, ", ") {
		name, value, _ := strings.Cut(f, "=")
		all[name] = strings.Trim(value, `"`)
	}
	return all
}

// digestResponse computes the response that RFC 7616 section 3.4.1 asks for.
func digestResponse(h func() hash.Hash, user, password string, f map[string]string) string {
	sum := func(parts ...string) string {
		w := h()
		w.Write([]byte(strings.Join(parts, ":")))
		return fmt.Sprintf("%x", w.Sum(nil))
	}
	return sum(sum(user, f["realm"], password), f["nonce"], f["nc"], f["cnonce"], f["qop"], sum("GET", f["uri"]))
}

func TestLogin(t *testing.T) {
	digestOf := func(challenge string, h func() hash.Hash) (string, func(r *http.Request) bool) {
		return challenge, func(r *http.Request) bool {
			f := fields(r.Header.Get("Authorization"))
			return f["username"] == "admin" && f["uri"] == "/video?channel=1" && f["response"] == digestResponse(h, "admin", "secret", f)
		}
	}
	md5Challenge, md5Right := digestOf(`Digest realm="IP Camera", qop="auth", nonce="6a3f"`, md5.New)
	shaChallenge, shaRight := digestOf(`Digest realm="IP Camera", algorithm=SHA-256, qop="auth", nonce="6a3f"`, sha256.New)
	basicRight := func(r *http.Request) bool {
		user, password, ok := r.BasicAuth()
		return ok && user == "admin" && password == "secret"
	}
	for _, c := range []struct {
		name       string
		user       *url.Userinfo
		challenges []string
		right      func(*http.Request) bool
		want       int // status
		requests   int
	}{
		{"digest with MD5", url.UserPassword("admin", "secret"), []string{md5Challenge}, md5Right, 200, 2},
		{"digest with SHA-256", url.UserPassword("admin", "secret"), []string{shaChallenge}, shaRight, 200, 2},
		{"basic", url.UserPassword("admin", "secret"), []string{`Basic realm="x"`}, basicRight, 200, 2},
		{"digest rather than basic", url.UserPassword("admin", "secret"), []string{`Basic realm="x"`, md5Challenge}, md5Right, 200, 2},
		{"wrong password", url.UserPassword("admin", "guess"), []string{md5Challenge}, md5Right, 401, 2},
		{"no password", nil, []string{md5Challenge}, md5Right, 401, 1},
		{"an unknown scheme", url.UserPassword("admin", "secret"), []string{"Negotiate"}, basicRight, 401, 1},
		{"no login needed", url.UserPassword("admin", "secret"), nil, func(r *http.Request) bool { return r.Header.Get("Authorization") == "" }, 200, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			requests := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if requests++; requests == 1 && r.Header.Get("Authorization") != "" {
					t.Error("the password was sent before the camera asked for it")
				}
				if !c.right(r) {
					for _, challenge := range c.challenges {
						w.Header().Add("WWW-Authenticate", challenge)
					}
					w.WriteHeader(401)
				}
			}))
			defer server.Close()
			transport := new(http.Transport)
			defer transport.CloseIdleConnections()
			camera, err := url.Parse(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			camera.User = c.user
			response, err := (&http.Client{Transport: login{transport, camera}}).Get(server.URL + "/video?channel=1")
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != c.want || requests != c.requests {
				t.Errorf("got status %d after %d requests, want %d after %d", response.StatusCode, requests, c.want, c.requests)
			}
		})
	}
}

// TestLoginElsewhere checks that the password does not reach a server to which the camera
// redirects.
func TestLoginElsewhere(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := r.Header.Get("Authorization"); got != "" {
			t.Errorf("another server got %q", got)
		}
		w.Header().Set("WWW-Authenticate", `Basic realm="x"`)
		w.WriteHeader(401)
	}))
	defer other.Close()
	server := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer server.Close()
	s, err := newMJPEG(strings.Replace(server.URL, "http://", "http://admin:secret@", 1) + "/video")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if _, err := s.Next(t.Context()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("got error %v, want status 401", err)
	}
}

// TestParseHidesPassword checks that errors do not repeat a password.
func TestParseHidesPassword(t *testing.T) {
	for _, spec := range []string{"mjpeg:http://user:SeCrEt@ho st/v", "mjpeg:rtsp://user:SeCrEt@host/v", "mjpeg:http://user:SeC#rEt@host/v", "http://user:SeCrEt@[/v", "mjpg:http://user:SeCrEt@host"} {
		if _, err := Parse(spec, Options{}); err == nil || strings.Contains(err.Error(), "SeC") || strings.Contains(err.Error(), "rEt") {
			t.Errorf("%s: got error %v", spec, err)
		}
	}
}

// TestLoginToStream logs in with the user and password in the URLs of a stream and of a snapshot.
func TestLoginToStream(t *testing.T) {
	video := donkeyVideo("picture")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f := fields(r.Header.Get("Authorization"))
		if f["response"] != digestResponse(md5.New, "admin", "secret", f) {
			w.Header().Set("WWW-Authenticate", `Digest realm="x", qop="auth", nonce="1"`)
			w.WriteHeader(401)
			return
		}
		if r.URL.Path == "/shot.jpg" {
			w.Write([]byte("picture"))
			return
		}
		video(w, r)
	}))
	defer server.Close()
	camera := strings.Replace(server.URL, "http://", "http://admin:secret@", 1)
	for _, spec := range []string{"mjpeg:" + camera + "/video", camera + "/shot.jpg"} {
		s := parse(t, spec, Options{})
		defer s.Close()
		f, err := s.Next(t.Context())
		if err != nil || string(f.Photo) != "picture" {
			t.Errorf("%s: got %q, %v, want a picture", s, f.Photo, err)
		}
	}
}
