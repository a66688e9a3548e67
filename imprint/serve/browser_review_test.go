package serve

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// TestPageReview looks at the verdicts on classes, and keeps, moves and deletes photos that are likely
// mislabeled. One of the labels is hostile.
func TestPageReview(t *testing.T) {
	const hostile = `<img src=x onerror=alert(1)> "'/שלום`
	ctx := browser(t)
	s := start(t, testConfig{noCamera: true, workspace: builtinBackbone(t, t.TempDir())})
	v := visitor{t, ctx}
	s.addPhotosOf(4, hostile, 12)
	s.addPhotosOf(3, "b", 12)
	s.addPhotosOf(0, "c", 2)
	s.addPhotosOf(3, hostile, 3)
	v.run(network.Enable(), colorScheme("light"), chromedp.Navigate(s.url), chromedp.WaitVisible("#suspects"))
	v.sees("#suspects-title", "3 photos may be in the wrong class")
	v.sees("#suspect-photos", "Labeled "+hostile+", looks like b")
	v.sees(`[data-label="b"] .verdict`, "enough photos (12 of 12")
	v.sees(`[data-label="c"] .verdict`, "too few to tell: add 3")
	v.run(chromedp.WaitVisible(`#downloads a[href="/v1/report"][download="report.html"]`), chromedp.ScrollIntoView("#suspects"))
	v.awaits(`[...document.querySelectorAll("#suspects img")].every((e) => e.naturalWidth === 160)`)
	v.screenshot("review")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true), colorScheme("dark"), chromedp.ScrollIntoView("#suspects"))
	v.screenshot("review-phone")
	v.run(emulation.ClearDeviceMetricsOverride(), colorScheme("light"))
	v.seesNames()

	// What is kept stays away, also after the page is opened again.
	button := func(n int) string { return fmt.Sprintf(`#suspect-photos li:first-child button:nth-child(%d)`, n) }
	v.run(chromedp.Click(button(2)))
	v.sees("#suspects-title", "2 photos")
	v.awaits(`document.activeElement.textContent === "Move to b"`)
	v.run(chromedp.Reload(), chromedp.WaitVisible("#suspects"))
	v.sees("#suspects-title", "2 photos")
	v.run(chromedp.Click(button(1)))
	v.sees("#notice", "moved a photo to b")
	v.sees("#suspects-title", "1 photo ")
	v.run(chromedp.Focus(button(3)), chromedp.KeyEvent("\r"), chromedp.WaitNotVisible("#suspects"))
	v.sees("#notice", "removed a photo of "+hostile)
	v.sees(`[data-label="b"] .verdict`, "enough photos (13 of 13")
	s.checkExamples(map[string]int{hostile: 13, "b": 13, "c": 2}, 0)

	// A photo moves to a class of the list, or to a new one.
	for _, to := range []struct{ class, name, label string }{{hostile, "", hostile}, {"", "<b>new", "<b>new"}} {
		v.run(chromedp.Click(`[data-label="c"] .photos button`), chromedp.WaitVisible("#ask-photo"), chromedp.Click("#ask-other"), chromedp.WaitVisible("#ask-class"), chromedp.WaitNotVisible("#ask-text"))
		v.evaluates(fmt.Sprintf(`(() => { const list = document.getElementById("ask-class"); list.value = %q; list.dispatchEvent(new Event("change")); return list.value === %[1]q })()`, to.class), nil)
		if to.name != "" {
			v.run(chromedp.SendKeys("#ask-text", to.name))
		}
		v.run(chromedp.Click("#ask-yes"))
		v.sees("#notice", "moved a photo to "+to.label)
	}
	s.checkExamples(map[string]int{hostile: 14, "b": 13, "<b>new": 1}, 0)

	// There is a bar for each class, up to 20.
	frame := string(phototest.Picture(3, 9))
	s.do("POST", "/v1/frames", frame, 200, nil)
	v.sees("#top li:first-child", "b ")
	v.awaits(`document.querySelectorAll("#top li").length === 4 && document.getElementById("top").textContent.includes("unknown")`)
	for i := range 20 {
		s.example(fmt.Sprint("z", i), uint64(i), 1, 200, nil)
	}
	s.do("POST", "/v1/frames", frame, 200, nil)
	v.sees("#top li:last-child", "4 other classes")
	v.screenshot("many-bars")
}
