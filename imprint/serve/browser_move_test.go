package serve

import (
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// TestPageMove moves a photo to another class and removes one, and looks at the links.
func TestPageMove(t *testing.T) {
	ctx := browser(t)
	s := start(t, testConfig{noCamera: true})
	v := visitor{t, ctx}
	v.run(network.Enable(), colorScheme("light"), chromedp.Navigate(s.url), chromedp.WaitVisible("#accuracy"), chromedp.WaitNotVisible("#downloads"))
	for seed := range uint64(2) {
		s.example("a", 1, seed, 200, nil)
		s.example("b", 2, seed, 200, nil)
	}
	v.run(chromedp.WaitVisible(`#downloads a[href="/v1/model"][download="model.tflite"]`), chromedp.WaitVisible(`#downloads a[href="/v1/labels"]`))

	const photo = `[data-label="a"] .photos button`
	var loaded bool
	v.run(chromedp.WaitVisible(photo), chromedp.Click(photo), chromedp.WaitVisible("#ask-photo"),
		chromedp.Poll(`document.getElementById("ask-photo").naturalWidth === 160`, &loaded, chromedp.WithPollingTimeout(patience)))
	v.screenshot("photo")
	v.run(chromedp.Click("#ask-other"))
	v.sees("#question", "To which class")
	v.run(chromedp.SetValue("#ask-text", "b"), chromedp.Click("#ask-yes"))
	v.sees("#notice", "moved a photo to b")
	s.checkExamples(map[string]int{"a": 1, "b": 3}, 0)
	v.run(chromedp.Click(`[data-label="b"] .photos button`), chromedp.WaitVisible("#ask-photo"), chromedp.Click("#ask-yes"))
	v.sees("#notice", "removed a photo of b")
	s.checkExamples(map[string]int{"a": 1, "b": 2}, 0)
	v.run(chromedp.Click(`[aria-label="Remove b"]`), chromedp.WaitVisible("#ask"), chromedp.WaitNotVisible("#ask-photo"), chromedp.WaitNotVisible("#ask-other"),
		chromedp.Click(`#ask button[value="no"]`))

	// The bars show the scores of a frame.
	s.do("POST", "/v1/frames", string(backbonetest.Photo(1, 9)), 200, nil)
	v.sees("#top", "a ")
	v.screenshot("bars")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true), colorScheme("dark"))
	v.screenshot("bars-phone")
	v.seesNames()
}
