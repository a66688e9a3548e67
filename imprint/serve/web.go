package serve

import (
	"embed"
	"io/fs"
	"net/http"
	"strings"
)

// web holds the page. It needs no build step.
//
//go:embed web
var web embed.FS

//go:embed openapi.json
var openAPI []byte

// pageFile returns the embedded file for a URL path.
func pageFile(path string) (name string, ok bool) {
	name = "web" + path
	if strings.HasSuffix(path, "/") {
		name += "index.html"
	}
	info, err := fs.Stat(web, name)
	return name, err == nil && info.Mode().IsRegular()
}

// sendPage sends an embedded file. Browsers revalidate it each time, so that a new version
// of the program shows at once.
func sendPage(w http.ResponseWriter, r *http.Request, name string) {
	w.Header().Set("Cache-Control", "no-cache")
	http.ServeFileFS(w, r, web, name)
}
