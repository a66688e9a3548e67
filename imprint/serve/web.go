package serve

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

// web contains the page's files, which need no build step.
//
//go:embed web
var web embed.FS

//go:embed signin.html
var signIn string

//go:embed openapi.json
var openAPI []byte

// pageFile returns the name of the embedded file for a URL path.
func pageFile(path string) (name string, ok bool) {
	name = "web" + path
	if strings.HasSuffix(path, "/") {
		name += "index.html"
	}
	info, err := fs.Stat(web, name)
	return name, err == nil && info.Mode().IsRegular()
}

// asksToSignIn reports whether a request without the right token should get the page to enter it.
func asksToSignIn(r *http.Request) bool {
	return r.URL.Path == "/" && r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// sendSignIn sends the page to enter the token. Its form sends the token to "/".
func (s *Server) sendSignIn(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	page := signIn
	if r.URL.Query().Has("token") {
		page = strings.Replace(page, `<p id="why">Enter`, `<p id="why" role="alert">That token is wrong. Enter`, 1)
	}
	s.respondBytes(w, http.StatusUnauthorized, "text/html; charset=utf-8", []byte(page))
}

// sendPage sends an embedded file. Browsers must revalidate it each time, so that a new version of
// the program takes effect immediately.
func sendPage(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, web, name)
}
