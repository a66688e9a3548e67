package serve

import (
	"fmt"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
)

// TestPageDoubtful labels a group of doubtful pictures with its most similar class and one with a new
// class, makes one negatives and drops one.
func TestPageDoubtful(t *testing.T) {
	ctx := browser(t)
	s := start(t, testConfig{noCamera: true, options: Options{KeepDoubtful: t.TempDir()}})
	for seed := range uint64(3) {
		s.example("a", 1, seed, 200, nil)
		s.example("b", 2, seed, 200, nil)
	}
	v := visitor{t, ctx}
	v.run(network.Enable(), colorScheme("light"), chromedp.Navigate(s.url), chromedp.WaitVisible("#classes .card"), chromedp.WaitNotVisible("#doubts"))
	for i := range 4 {
		s.offerDoubt(uint64(3 + i))
		s.awaitDoubts(1 + i)
	}
	v.sees("#doubts-title", "Not sure about 4 pictures")
	v.seesNames()
	v.run(chromedp.ScrollIntoView("#doubts"))
	v.screenshot("doubtful")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true), colorScheme("dark"), chromedp.ScrollIntoView("#doubts"))
	v.screenshot("doubtful-phone")
	v.run(emulation.ClearDeviceMetricsOverride())

	nearest := s.Doubtful(0, 1).List[0].Label
	button := func(text string) chromedp.Action {
		return chromedp.Click(fmt.Sprintf(`//ul[@id="groups"]/li[1]//button[text()=%q]`, text), chromedp.BySearch)
	}
	v.run(chromedp.Click("#groups button"))
	v.sees("#doubts-title", "Not sure about 3 pictures")
	v.sees("#notice", "learned "+nearest+" from 1 photo")
	v.run(button("Other class…"), chromedp.WaitVisible("#ask"))
	v.sees("#question", "Classes: a, b")
	v.run(chromedp.SendKeys("#ask-text", "<i>c"), chromedp.Click("#ask-yes"))
	v.sees("#doubts-title", "Not sure about 2 pictures")
	v.sees("#classes h3", "<i>c")
	v.run(chromedp.WaitVisible(`//ul[@id="groups"]/li[1]//button[text()="<i>c"]`, chromedp.BySearch)) // can be chosen now
	v.run(button("None of the classes"))
	v.sees("#doubts-title", "Not sure about 1 picture")
	v.sees("#notice", "1 photo shows no class")
	v.run(button("Drop"), chromedp.WaitNotVisible("#doubts"))
	counts := map[string]int{"a": 3, "b": 3, "<i>c": 1}
	counts[nearest]++
	s.checkExamples(counts, 1)
}
