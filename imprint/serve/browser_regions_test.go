package serve

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	chromeinput "github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

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
	v.dragsLeft(".part")
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

	v.run(chromedp.Click("#regions .row > .quiet"), chromedp.Click("#regions form .quiet"), chromedp.WaitVisible("#ask"), chromedp.Click("#ask-yes"), chromedp.WaitNotVisible("#states"))
	if regions, _ := s.Regions(); len(regions.Regions) > 0 {
		t.Errorf("got regions %+v", regions)
	}
}

// dragsLeft drags an element with the mouse until it is at the left edge. It tries again if the page
// moved meanwhile, as on a busy machine.
func (v visitor) dragsLeft(selector string) {
	v.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); {
		var at [2]float64
		var left string
		v.run(chromedp.ScrollIntoView("#picture"), chromedp.Evaluate(fmt.Sprintf(`(() => {
			const b = document.querySelector(%q).getBoundingClientRect();
			return [b.x + b.width / 3, b.y + b.height / 3] })()`, selector), &at))
		v.run(chromedp.MouseEvent(chromeinput.MousePressed, at[0], at[1], chromedp.ButtonLeft),
			chromedp.MouseEvent(chromeinput.MouseMoved, at[0]-10, at[1], chromedp.ButtonLeft),
			chromedp.MouseEvent(chromeinput.MouseMoved, 2, at[1], chromedp.ButtonLeft),
			chromedp.MouseEvent(chromeinput.MouseReleased, 2, at[1], chromedp.ButtonLeft),
			chromedp.Evaluate(fmt.Sprintf(`document.querySelector(%q).style.left`, selector), &left))
		if left == "0%" {
			return
		}
	}
	v.t.Fatal("the region can't be dragged")
}

// removesRegion removes a region and waits until it is gone.
func (v visitor) removesRegion(name string) {
	v.t.Helper()
	button := fmt.Sprintf(`[aria-label="Settings of region %s"]`, name)
	v.run(chromedp.Click("button"+button), chromedp.Click("form"+button+" .quiet"), chromedp.WaitVisible("#ask"), chromedp.Click("#ask-yes"), chromedp.WaitNotPresent("button"+button))
}

// TestPageRegionSettings changes the settings of a region by keyboard, gives it the name of another one
// and then a free name, and removes both.
func TestPageRegionSettings(t *testing.T) {
	v := visitor{t, browser(t)}
	s := start(t, testConfig{period: time.Second / 5})
	s.do("PUT", "/v1/regions/all", `{"box":[0,0,1,1]}`, 200, nil)
	s.do("PUT", "/v1/regions/gate", `{"box":[0,0,0.1,0.1]}`, 200, nil)
	v.run(network.Enable(), chromedp.Navigate(s.url), chromedp.WaitVisible("#add-region"))
	v.sees("#regions", "gate")
	form := `#regions li:first-child form`
	v.run(chromedp.Focus("#regions li:first-child .quiet"), chromedp.KeyEvent(kb.Enter), chromedp.WaitVisible(form))
	var focused string
	v.run(chromedp.Evaluate("document.activeElement.labels[0].textContent", &focused))
	if focused != "Name" {
		t.Errorf("got focus on %q, want the name", focused)
	}
	v.seesNames()
	v.run(chromedp.ScrollIntoView(form + " .strong"))
	v.screenshot("region-settings")
	v.run(chromedp.SetValue(form+" input", "gate"), chromedp.KeyEvent(kb.Enter))
	v.sees(form+" .bad", `two regions are named "gate"`)
	for i, value := range []string{"door", "5", "80", "20", "0.5"} {
		v.run(chromedp.SetValue(fmt.Sprintf("%s label:nth-child(%d) input", form, i+1), value))
	}
	v.run(chromedp.Click(form + " .strong"))
	r := s.awaitRegion("door", func(r RegionStatus) bool { return r.Name == "door" })
	if r.Answers != 5 || r.MinScore != 0.8 || r.Hysteresis != 0.2 || r.Motion != 0.005 || r.Box != (region.Box{0, 0, 1, 1}) {
		t.Errorf("got region %+v", r.Region)
	}
	if old, _ := s.region("all"); old.Name != "" {
		t.Errorf("the region is still there under its old name: %+v", old)
	}
	v.run(chromedp.Click("#add-region"), chromedp.WaitVisible("#ask"), chromedp.SendKeys("#ask-text", "gate"), chromedp.Click("#ask-yes"))
	v.sees("#notice", "There is a region gate already.")
	v.removesRegion("door")
	v.removesRegion("gate")
	v.run(chromedp.WaitNotVisible("#states"))
	if regions, _ := s.Regions(); len(regions.Regions) > 0 {
		t.Errorf("got regions %+v", regions)
	}
}
