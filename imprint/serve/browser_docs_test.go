package serve

import (
	"io/fs"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestPageSize checks the bytes of all files of the pages.
func TestPageSize(t *testing.T) {
	const limit = 100_000
	size := len(signIn)
	if err := fs.WalkDir(web, ".", func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := web.ReadFile(path)
		size += len(b)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if size > limit {
		t.Errorf("got %d bytes, want at most %d", size, limit)
	}
}

// TestPageDocs checks that /v1/docs shows every request of openapi.json.
func TestPageDocs(t *testing.T) {
	ctx := browser(t)
	s := start(t, testConfig{noCamera: true})
	v := visitor{t, ctx}
	v.run(network.Enable(), colorScheme("light"), chromedp.Navigate(s.url+"/v1/docs"), chromedp.WaitVisible("details"))
	v.sees("#requests", "GET /v1/metrics")
	for _, r := range s.routes() {
		v.sees("#requests", r.method+" "+r.path)
	}
	var shown int
	v.run(chromedp.Evaluate(`document.querySelectorAll("details").length`, &shown))
	if shown != len(s.routes()) {
		t.Errorf("got %d requests, want %d", shown, len(s.routes()))
	}
	v.run(chromedp.Evaluate(`for (const d of document.querySelectorAll("details")) d.open = true`, nil))
	v.sees("#requests", `{"generation": integer, "sentence": string}`)
	v.sees("#requests", `"label" | "negative" | "drop"`)
	v.screenshot("docs")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true), colorScheme("dark"))
	v.screenshot("docs-phone")
	var wide bool
	v.run(chromedp.Evaluate(`document.documentElement.scrollWidth > innerWidth`, &wide))
	if wide {
		t.Error("on a phone, the page is wider than the screen")
	}
}
