package serve

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	chromeinput "github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// TestPageMove chooses and drops a folder, moves a photo to another class and removes one, and looks at
// the links and bars.
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

	// A folder, with another one in it, is chosen and dropped.
	dir := t.TempDir()
	for i, name := range []string{"a.png", "notes.txt", "in/b.png", "in/in/c.png"} {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, backbonetest.Photo(3, uint64(i)), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	v.run(chromedp.SetUploadFiles("#folder", []string{dir}, chromedp.ByQuery))
	v.sees("#tray-title", "3 photos")
	v.run(chromedp.Click("#clear"), chromedp.WaitNotVisible("#tray"))
	for _, kind := range []chromeinput.DispatchDragEventType{chromeinput.DragEnter, chromeinput.DragOver, chromeinput.Drop} {
		v.run(chromeinput.DispatchDragEvent(kind, 200, 100, &chromeinput.DragData{Items: []*chromeinput.DragDataItem{}, Files: []string{dir}, DragOperationsMask: 1}))
	}
	v.sees("#tray-title", "3 photos")
	v.run(chromedp.Click("#clear"), chromedp.WaitNotVisible("#tray"))

	const photo = `[data-label="a"] .photos button`
	var loaded bool
	v.run(chromedp.WaitVisible(photo), chromedp.Click(photo), chromedp.WaitVisible("#ask-photo"),
		chromedp.Poll(`document.getElementById("ask-photo").naturalWidth === 160`, &loaded, chromedp.WithPollingTimeout(patience)))
	v.screenshot("photo")
	v.run(chromedp.Click("#ask-other"))
	v.sees("#question", "To which class")
	v.run(chromedp.WaitNotVisible("#ask-text"), chromedp.SetValue("#ask-class", "b"), chromedp.Click("#ask-yes"))
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

// TestPageAdvice trains two classes with photos of one kind. The page says which of them more photos
// should help most.
func TestPageAdvice(t *testing.T) {
	ctx := browser(t)
	s := start(t, testConfig{noCamera: true})
	for i, label := range []string{"a", "b"} {
		var photos []string
		for j := range 6 {
			photos = append(photos, fmt.Sprintf("%d.png", j), string(backbonetest.Photo(1, uint64(10*i+j))))
		}
		kind, body := photoForm(t, photos...)
		if status, answer := s.sendForm("/v1/examples?label="+label, kind, body); status != 200 {
			t.Fatalf("got status %d: %s", status, answer)
		}
	}
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	advice := list.Advice
	if advice == nil || advice.Label != "a" && advice.Label != "b" || advice.Photos < 1 || advice.ExpectedRecall <= advice.Recall {
		t.Fatalf("got advice %+v", advice)
	}
	v := visitor{t, ctx}
	v.run(network.Enable(), chromedp.Navigate(s.url))
	v.sees(fmt.Sprintf(`[data-label="%s"] .hint`, advice.Label), fmt.Sprintf("%d more photos should help most (%.0f → %.0f %% correct)", advice.Photos, 100*advice.Recall, 100*advice.ExpectedRecall))
	v.screenshot("advice")
	s.do("DELETE", "/v1/classes/"+advice.Label, "", 200, nil)
	v.run(chromedp.WaitNotVisible("#classes .hint"))
}
