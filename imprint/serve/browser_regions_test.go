package serve

import (
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	chromeinput "github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/imprint/serve/region"
)

// awaitBox waits until a region has a box that satisfies wanted.
func (s *testServer) awaitBox(name string, wanted func(b region.Box) bool) {
	s.t.Helper()
	s.awaitRegion(name, func(r RegionStatus) bool { return r.Name == name && wanted(r.Box) })
}

// TestPageRegions adds a region, moves it by key and by mouse, trains with it and removes it.
func TestPageRegions(t *testing.T) {
	const name = `<b>"door"/+#`
	ctx := browser(t)
	dir := t.TempDir()
	renderPhotos(t, dir, 30, 1)
	camera := newSlideshow(t, filepath.Join(dir, "cone"), filepath.Join(dir, "ball"))
	s := start(t, testConfig{options: Options{Source: camera}, workspace: builtinBackbone(t, dir)})
	v := visitor{t, ctx}
	v.run(network.Enable(), colorScheme("light"), chromedp.Navigate(s.url), chromedp.WaitVisible("#add-region"))
	v.run(chromedp.Click("#add-region"), chromedp.WaitVisible("#ask"), chromedp.SendKeys("#ask-text", name), chromedp.Click("#ask-yes"))
	v.sees("#regions strong", name)
	s.awaitBox(name, func(b region.Box) bool { return b == region.Box{0.3, 0.3, 0.7, 0.7} })

	shiftDown := chromeinput.DispatchKeyEvent(chromeinput.KeyDown).WithKey("ArrowDown").WithCode("ArrowDown").WithModifiers(chromeinput.ModifierShift)
	v.run(chromedp.Focus(".part"), keyDown("ArrowLeft", "ArrowLeft"), shiftDown)
	s.awaitBox(name, func(b region.Box) bool { return b == region.Box{0.29, 0.3, 0.69, 0.71} })
	var at [2]float64
	v.run(chromedp.ScrollIntoView("#picture"), chromedp.Evaluate(`(() => {
		const b = document.querySelector(".part").getBoundingClientRect();
		return [b.x + b.width / 3, b.y + b.height / 3] })()`, &at))
	v.run(chromedp.MouseEvent(chromeinput.MousePressed, at[0], at[1], chromedp.ButtonLeft),
		chromedp.MouseEvent(chromeinput.MouseMoved, at[0]-10, at[1], chromedp.ButtonLeft),
		chromedp.MouseEvent(chromeinput.MouseMoved, 2, at[1], chromedp.ButtonLeft),
		chromedp.MouseEvent(chromeinput.MouseReleased, 2, at[1], chromedp.ButtonLeft))
	s.awaitBox(name, func(b region.Box) bool { return b[0] == 0 && b[2] == 0.4 }) // it stays in the picture

	// Train with the region.
	v.run(chromedp.SetValue("#area", name), chromedp.SendKeys("#name", "cone"))
	v.holds("#teach-new")
	v.sees("#notice", "learned cone from")
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if got, want := list.Classes[0].Photos[0].Source, "slideshow#"+name; got != want {
		t.Errorf("got source %q, want %q", got, want)
	}
	v.sees("#regions", "cone")
	v.seesNames()
	v.screenshot("regions")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true), colorScheme("dark"))
	v.screenshot("regions-phone")
	v.run(emulation.ClearDeviceMetricsOverride())

	v.run(chromedp.Click("#regions .quiet"), chromedp.WaitVisible("#ask"), chromedp.Click("#ask-yes"), chromedp.WaitNotVisible("#states"))
	if regions, _ := s.Regions(); len(regions.Regions) > 0 {
		t.Errorf("got regions %+v", regions)
	}
}
