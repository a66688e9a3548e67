package serve

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	chromeinput "github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// patience is how long a test waits for the page; a busy machine is slow.
const patience = time.Minute

var readmePicture = flag.String("readme-picture", "", "the WebP `file` for TestReadmePicture to write")

// A slideshow is a source that replays one of several folders.
type slideshow struct {
	folders []source.Source
	current atomic.Int32
}

func newSlideshow(t *testing.T, folders ...string) *slideshow {
	t.Helper()
	s := new(slideshow)
	for _, dir := range folders {
		f, err := source.Parse("folder:"+dir, source.Options{Loop: true})
		if err != nil {
			t.Fatal(err)
		}
		s.folders = append(s.folders, f)
	}
	return s
}

// show switches the slideshow to folder i.
func (s *slideshow) show(i int32) { s.current.Store(i) }

func (s *slideshow) Next(ctx context.Context) (source.Frame, error) {
	return s.folders[s.current.Load()].Next(ctx)
}
func (s *slideshow) Close() error   { return nil }
func (s *slideshow) String() string { return "slideshow" }

// renderPhotos renders n photos of cones, balls, boxes and arrows into folders of dir.
func renderPhotos(t *testing.T, dir string, n, seed int) {
	t.Helper()
	cmd := exec.Command("go", "run", "../../tools/photos", "-out", dir, "-n", fmt.Sprint(n), "-seed", fmt.Sprint(seed))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("render photos: %v: %s", err, out)
	}
}

// builtinBackbone returns options for a workspace with the built-in backbone.
func builtinBackbone(t *testing.T, dir string) imprint.Options {
	t.Helper()
	path := filepath.Join(dir, "backbone.tflite")
	if err := os.WriteFile(path, builtin.Model(), 0o644); err != nil {
		t.Fatal(err)
	}
	return imprint.Options{Backbone: path}
}

// browser starts a headless Chromium with flags. Exceptions, log messages and requests to
// other servers fail the test.
func browser(t *testing.T, flags ...chromedp.ExecAllocatorOption) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser is slow, and the race detector can't inspect it")
	}
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("Chromium is not installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))
	options = append(options, flags...)
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	// chromedp logs an error for each event that it does not know from a newer browser. Ignore
	// these errors.
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*patience)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("exception in the page: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source != log.SourceNetwork { // refused requests are expected
				t.Errorf("log message from the browser: %s", e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "http://127.0.0.1:") {
				t.Errorf("the page requested %s", e.Request.URL)
			}
		}
	})
	return ctx
}

// A visitor uses the page in a browser, as a person would.
type visitor struct {
	t   *testing.T
	ctx context.Context
}

func (v visitor) run(actions ...chromedp.Action) {
	v.t.Helper()
	if err := chromedp.Run(v.ctx, actions...); err != nil {
		v.t.Fatal(err)
	}
}

// sees waits until a selected element has a text that contains words.
func (v visitor) sees(selector, words string) {
	v.t.Helper()
	var text string
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		v.run(chromedp.Evaluate(fmt.Sprintf(`[...document.querySelectorAll(%q)].filter((e) => !e.hidden).map((e) => e.innerText).join("\n")`, selector), &text))
		if strings.Contains(text, words) {
			return
		}
	}
	v.screenshot("failed")
	v.t.Fatalf("%s: got %q, want %q", selector, text, words)
}

// seesRecording waits until the text of a held button says that at least four frames have been
// recorded.
func (v visitor) seesRecording(selector string) {
	v.t.Helper()
	v.run(chromedp.Poll(fmt.Sprintf(`parseInt(document.querySelector(%q).textContent.split("Recording: ")[1]) >= 4`, selector), nil,
		chromedp.WithPollingTimeout(patience), chromedp.WithPollingInterval(20*time.Millisecond)))
}

// holds presses the mouse on a button and holds it until at least four frames have been recorded.
func (v visitor) holds(selector string) {
	v.t.Helper()
	var at [2]float64
	v.run(chromedp.ScrollIntoView(selector), chromedp.Evaluate(fmt.Sprintf(
		`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`, selector), &at))
	v.run(chromedp.MouseEvent(chromeinput.MousePressed, at[0], at[1], chromedp.ButtonLeft))
	v.seesRecording(selector)
	v.run(chromedp.MouseEvent(chromeinput.MouseReleased, at[0], at[1], chromedp.ButtonLeft))
	v.sees(selector, "Hold to train")
}

// seesNames checks that all controls that are shown have an accessible name. If IMPRINT_AXE names the script of axe-core,
// it also runs that on the page.
func (v visitor) seesNames() {
	v.t.Helper()
	var nameless []string
	v.run(chromedp.Evaluate(`[...document.querySelectorAll("button, input")].filter((e) => !e.hidden && !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)`, &nameless))
	if len(nameless) > 0 {
		v.t.Errorf("without an accessible name: %q", nameless)
	}
	if path := os.Getenv("IMPRINT_AXE"); path != "" {
		axe, err := os.ReadFile(path)
		if err != nil {
			v.t.Fatal(err)
		}
		var violations []string
		v.run(chromedp.Evaluate(string(axe)+"; null", nil))
		v.evaluates(`axe.run().then((r) => r.violations.flatMap((v) => v.nodes.map((n) => v.id + ": " + n.html + " " + n.failureSummary)))`, &violations)
		for _, violation := range violations {
			v.t.Errorf("axe: %s", violation)
		}
	}
}

// screenshot saves a picture of the page in the folder IMPRINT_ARTEFACTS, if that is set.
func (v visitor) screenshot(name string) {
	v.t.Helper()
	dir := os.Getenv("IMPRINT_ARTEFACTS")
	if dir == "" {
		return
	}
	var png []byte
	v.run(chromedp.CaptureScreenshot(&png))
	if err := os.WriteFile(filepath.Join(dir, name+".png"), png, 0o644); err != nil {
		v.t.Fatal(err)
	}
}

func keyDown(key, code string) chromedp.Action {
	return chromeinput.DispatchKeyEvent(chromeinput.KeyDown).WithKey(key).WithCode(code)
}

func keyUp(key, code string) chromedp.Action {
	return chromeinput.DispatchKeyEvent(chromeinput.KeyUp).WithKey(key).WithCode(code)
}

// colorScheme selects the theme: light or dark.
func colorScheme(value string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}})
}

// TestPage trains two classes in a browser, one by mouse and one by keyboard, and checks the label.
// It removes a class, undoes the removal, and finally stops the server.
func TestPage(t *testing.T) {
	ctx := browser(t)
	dir := t.TempDir()
	renderPhotos(t, dir, 30, 1)
	other := filepath.Join(dir, "other")
	renderPhotos(t, other, 30, 3)
	camera := newSlideshow(t, filepath.Join(dir, "cone"), filepath.Join(dir, "ball"), filepath.Join(other, "cone"))
	s := start(t, testConfig{options: Options{Source: camera, Vote: 5}, workspace: builtinBackbone(t, dir)})
	v := visitor{t, ctx}

	v.run(network.Enable(), colorScheme("light"), chromedp.Navigate(s.url), chromedp.WaitVisible("#picture"))
	v.sees("#label", "no classes yet")
	v.sees("#accuracy", "No classes yet")
	v.screenshot("empty")

	// Train one class with the mouse and one with the keyboard.
	v.run(chromedp.SendKeys("#name", "cone"))
	v.holds("#teach-new")
	v.sees("#notice", "learned cone from")
	v.sees("#classes h3", "cone")
	v.sees("#label", "cone")
	camera.show(1)
	v.run(chromedp.SendKeys("#name", "ball"), chromedp.Focus("#teach-new"), keyDown(" ", "Space"))
	v.seesRecording("#teach-new")
	v.run(keyUp(" ", "Space"))
	v.sees("#notice", "learned ball from")
	v.sees("#label", "ball")
	camera.show(0)
	v.sees("#label", "cone")

	// Accuracy needs a class recorded at two different times. Recordings count as one if they were
	// made in the same second or share a photo.
	camera.show(2)
	time.Sleep(time.Second)
	v.sees("#label", "cone")
	v.holds("#classes .card:nth-child(2) .hold")
	v.sees("#accuracy", "photos left out")
	v.sees("#spoken", "cone")
	v.screenshot("light")
	v.run(colorScheme("dark"))
	v.screenshot("dark")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true))
	v.screenshot("phone")
	v.run(colorScheme("light"), emulation.ClearDeviceMetricsOverride())

	// Escape cancels a recording.
	v.run(chromedp.Focus("#classes .hold"), keyDown("Enter", "Enter"))
	v.seesRecording("#classes .hold")
	v.run(keyDown("Escape", "Escape"), keyUp("Enter", "Enter"))
	v.sees("#classes .hold", "Hold to train")
	v.sees("#notice", "canceled ball")

	// Remove a class, first canceling the dialog and then confirming it. Then undo.
	v.run(chromedp.Click(`[aria-label="Remove cone"]`), chromedp.WaitVisible("#ask"))
	v.screenshot("question")
	v.run(chromedp.Click(`#ask button[value="no"]`), chromedp.WaitNotVisible("#ask"))
	v.sees("#classes h3", "cone")
	v.run(chromedp.Click(`[aria-label="Remove cone"]`), chromedp.WaitVisible("#ask"), chromedp.Click("#ask-yes"))
	v.sees("#notice", "removed cone")
	camera.show(1) // a cone may be unknown now
	v.sees("#label", "ball")
	v.run(chromedp.Click("#undo"))
	v.sees("#classes h3", "cone")
	camera.show(2)
	v.sees("#label", "cone")

	// The page shows errors.
	v.run(chromedp.Click("#teach-new"))
	v.sees("#notice", "Name the class first")
	if err := s.stop(); err != nil {
		t.Error(err)
	}
	v.sees("#trouble", "Can't reach the server")
	v.screenshot("offline")

	v.seesNames()
}

// TestReadmePicture writes the README's picture of the page:
//
//	go test ./imprint/serve -run TestReadmePicture -readme-picture ../../docs/img/page.webp
func TestReadmePicture(t *testing.T) {
	if *readmePicture == "" {
		t.Skip("runs only with -readme-picture FILE")
	}
	const width, height, maxBytes = 1000, 725, 60 << 10
	ctx := browser(t)
	dir := t.TempDir()
	// Accuracy needs two recordings of each class. At the end, the camera shows a cone that is not
	// a training photo.
	classes := []struct{ folder, label string }{{"ball", "football"}, {"box", "crate"}, {"cone", "cone"}}
	var folders []string
	for _, seed := range []int{1, 3} {
		photos := filepath.Join(dir, fmt.Sprint(seed))
		renderPhotos(t, photos, 12, seed)
		for _, c := range classes {
			folders = append(folders, filepath.Join(photos, c.folder))
		}
	}
	renderPhotos(t, filepath.Join(dir, "2"), 7, 2)
	last := filepath.Join(dir, "last")
	if err := os.Mkdir(last, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(dir, "2", "cone", "07.jpg"), filepath.Join(last, "07.jpg")); err != nil {
		t.Fatal(err)
	}
	camera := newSlideshow(t, append(folders, last)...)
	s := start(t, testConfig{options: Options{Source: camera, Vote: 5}, workspace: builtinBackbone(t, dir)})
	s.await(0, anyResult)
	v := visitor{t, ctx}
	v.run(colorScheme("light"), emulation.SetDeviceMetricsOverride(width, height, 1, false), chromedp.Navigate(s.url), chromedp.WaitVisible("#picture"))
	for i := range folders {
		camera.show(int32(i))
		s.awaitNext(3)
		s.teach(classes[i%len(classes)].label, 6)
		v.run(chromedp.Sleep(2 * time.Second))
	}
	camera.show(int32(len(folders)))
	v.sees("#label", "cone")
	v.sees("#accuracy", "photos left out")
	v.run(chromedp.Sleep(2 * time.Second)) // until the frame rate and the thumbnails have appeared
	var picture []byte
	v.run(chromedp.ActionFunc(func(ctx context.Context) (err error) {
		picture, err = page.CaptureScreenshot().WithFormat(page.CaptureScreenshotFormatWebp).WithQuality(85).Do(ctx)
		return err
	}))
	if len(picture) > maxBytes {
		t.Fatalf("the picture has %d bytes, want at most %d", len(picture), maxBytes)
	}
	if err := os.WriteFile(*readmePicture, picture, 0o644); err != nil {
		t.Fatal(err)
	}
}
