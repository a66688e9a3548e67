package serve

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/builtin"
)

// A reel replays one of several folders, whichever is shown.
type reel struct {
	folders []Source
	shown   atomic.Int32
}

func newReel(t *testing.T, dir string, kinds ...string) *reel {
	r := new(reel)
	for _, kind := range kinds {
		s, err := ParseSource("folder:"+filepath.Join(dir, kind), SourceOptions{Loop: true})
		if err != nil {
			t.Fatal(err)
		}
		r.folders = append(r.folders, s)
	}
	return r
}

func (r *reel) Next(ctx context.Context) (Frame, error) { return r.folders[r.shown.Load()].Next(ctx) }
func (r *reel) Close() error                            { return nil }
func (r *reel) String() string                          { return "reel" }

// browser starts a headless Chromium, and fails the test for each message that a page
// writes to its console.
func browser(t *testing.T) context.Context {
	t.Helper()
	if testing.Short() {
		t.Skip("a browser takes long, and the race detector sees nothing of it")
	}
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(name); err == nil {
			path = p
			break
		}
	}
	if path == "" {
		t.Skip("no Chromium is installed")
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.NoSandbox, chromedp.WindowSize(1200, 900))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(cancel)
	// It logs each event of newer browsers that it does not know.
	ctx, cancel = chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 2*time.Minute)
	t.Cleanup(cancel)
	chromedp.ListenTarget(ctx, func(e any) {
		switch e := e.(type) {
		case *runtime.EventExceptionThrown:
			t.Errorf("the page throws: %v", e.ExceptionDetails)
		case *log.EventEntryAdded:
			if e.Entry.Source != log.SourceNetwork { // refusals, and a server that is gone
				t.Errorf("the browser complains: %s", e.Entry.Text)
			}
		case *network.EventRequestWillBeSent:
			if !strings.HasPrefix(e.Request.URL, "http://127.0.0.1:") {
				t.Errorf("the page asks for %s", e.Request.URL)
			}
		}
	})
	return ctx
}

// A visitor looks at the page and uses it.
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

// sees waits until an element's text has the words.
func (v visitor) sees(selector, words string) {
	v.t.Helper()
	var text string
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		v.run(chromedp.Evaluate(fmt.Sprintf(`[...document.querySelectorAll(%q)].filter((e) => !e.hidden).map((e) => e.innerText).join("\n")`, selector), &text))
		if strings.Contains(text, words) {
			return
		}
	}
	v.picture("failed")
	v.t.Fatalf("%s has %q, want %q", selector, text, words)
}

// watches waits until a held button has seen some frames.
func (v visitor) watches(selector string) {
	v.t.Helper()
	v.run(chromedp.Poll(fmt.Sprintf(`parseInt(document.querySelector(%q).textContent.split("Watching: ")[1]) >= 4`, selector), nil,
		chromedp.WithPollingTimeout(20*time.Second), chromedp.WithPollingInterval(20*time.Millisecond)))
}

// holds presses the mouse on a button for some frames.
func (v visitor) holds(selector string) {
	v.t.Helper()
	var at [2]float64
	v.run(chromedp.ScrollIntoView(selector), chromedp.Evaluate(fmt.Sprintf(
		`(() => { const r = document.querySelector(%q).getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] })()`, selector), &at))
	v.run(chromedp.MouseEvent(input.MousePressed, at[0], at[1], chromedp.ButtonLeft))
	v.watches(selector)
	v.run(chromedp.MouseEvent(input.MouseReleased, at[0], at[1], chromedp.ButtonLeft))
	v.sees(selector, "Hold to teach")
}

// picture keeps what the page looks like, in the folder IMPRINT_ARTEFACTS.
func (v visitor) picture(name string) {
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

func scheme(value string) chromedp.Action {
	return emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}})
}

// TestPage teaches two classes by buttons of the page in a browser, sees the label
// change, removes one, takes that back, and sees what is said when the server is gone.
func TestPage(t *testing.T) {
	ctx := browser(t)
	dir := t.TempDir()
	if out, err := exec.Command("go", "run", "../../tools/photos", "-out", dir, "-n", "30").CombinedOutput(); err != nil {
		t.Fatalf("render photos: %v: %s", err, out)
	}
	backbone := filepath.Join(dir, "backbone.tflite")
	if err := os.WriteFile(backbone, builtin.Model(), 0o644); err != nil {
		t.Fatal(err)
	}
	source := newReel(t, dir, "cone", "ball")
	c := setting{options: Options{Source: source, Vote: 5}}
	c.kit.Backbone = backbone
	th := perform(t, c)
	v := visitor{t, ctx}

	v.run(network.Enable(), scheme("light"), chromedp.Navigate(th.url), chromedp.WaitVisible("#picture"))
	v.sees("#label", "nothing taught yet")
	v.sees("#accuracy", "Nothing has been taught yet")
	v.picture("empty")

	// By mouse, a new class; and by keys, another.
	v.run(chromedp.SendKeys("#name", "cone"))
	v.holds("#teach-new")
	v.sees("#notice", "learned cone from")
	v.sees("#classes h3", "cone")
	v.sees("#label", "cone")
	source.shown.Store(1)
	v.run(chromedp.SendKeys("#name", "ball"), chromedp.Focus("#teach-new"), input.DispatchKeyEvent(input.KeyDown).WithKey(" ").WithCode("Space"))
	v.watches("#teach-new")
	v.run(input.DispatchKeyEvent(input.KeyUp).WithKey(" ").WithCode("Space"))
	v.sees("#notice", "learned ball from")
	v.sees("#label", "ball")
	source.shown.Store(0)
	v.sees("#label", "cone")
	// Photos of one second say little about another: with those of two it is estimated.
	v.holds("#classes .card:nth-child(2) .hold")
	v.sees("#accuracy", "photos that it had not seen")
	v.sees("#spoken", "cone")
	v.picture("light")
	v.run(scheme("dark"))
	v.picture("dark")
	v.run(emulation.SetDeviceMetricsOverride(390, 844, 2, true))
	v.picture("phone")
	v.run(scheme("light"), emulation.ClearDeviceMetricsOverride())

	// Escape takes a hold back.
	v.run(chromedp.Focus("#classes .hold"), input.DispatchKeyEvent(input.KeyDown).WithKey("Enter").WithCode("Enter"))
	v.watches("#classes .hold")
	v.run(input.DispatchKeyEvent(input.KeyDown).WithKey("Escape").WithCode("Escape"), input.DispatchKeyEvent(input.KeyUp).WithKey("Enter").WithCode("Enter"))
	v.sees("#classes .hold", "Hold to teach")

	// One is removed, after a question that can be answered by no; and taken back.
	v.run(chromedp.Click(`[aria-label="Remove cone"]`), chromedp.WaitVisible("#ask"))
	v.picture("question")
	v.run(chromedp.Click(`#ask button[value="no"]`), chromedp.WaitNotVisible("#ask"))
	v.sees("#classes h3", "cone")
	v.run(chromedp.Click(`[aria-label="Remove cone"]`), chromedp.WaitVisible("#ask"), chromedp.Click("#ask-yes"))
	v.sees("#notice", "cone")
	v.sees("#label", "ball")
	v.run(chromedp.Click("#undo"))
	v.sees("#classes h3", "cone")
	v.sees("#label", "cone")

	// What is wrong is said.
	v.run(chromedp.Click("#teach-new"))
	v.sees("#notice", "Name the class first")
	if err := th.end(); err != nil {
		t.Error(err)
	}
	v.sees("#trouble", "The server does not answer")
	v.picture("offline")

	var names []string
	v.run(chromedp.Evaluate(`[...document.querySelectorAll("button, input")].filter((e) => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).map((e) => e.outerHTML)`, &names))
	if len(names) > 0 {
		t.Errorf("without a name: %q", names)
	}
}
