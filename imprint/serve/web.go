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

// sendPage sends an embedded file. Browsers must revalidate it each time, so that a new version of
// the program takes effect immediately.
func sendPage(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, web, name)
}
