package serve

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// A deadEnd is a problem of a user: what the page says, and the button that helps.
type deadEnd struct {
	name           string
	happens        func()
	text, sentence string // selector of the sentence, and its words
	button, says   string // selector of the button, and its words
	helped         string // JavaScript that is true once the button has helped
}

func (v visitor) leaves(d deadEnd) {
	v.t.Helper()
	d.happens()
	v.sees(d.text, d.sentence)
	v.sees(d.button, d.says)
	v.screenshot("deadend-" + d.name)
	v.run(chromedp.Click(d.button))
	v.awaits(d.helped)
}

// does returns a function that runs JavaScript.
func (v visitor) does(script string) func() {
	return func() { v.t.Helper(); v.evaluates(script+"; true", nil) }
}

// rememberStreams lets later pages remember their event streams, so that lost can end the newest.
func rememberStreams(ctx context.Context) error {
	_, err := page.AddScriptToEvaluateOnNewDocument(`globalThis.streams = []; globalThis.EventSource = class extends EventSource {
		constructor(...a) { super(...a); streams.push(this); }
	}`).Do(ctx)
	return err
}

const lost = `streams.at(-1).dispatchEvent(new Event("error"))`

// TestPageDeadEnds checks that each problem is told with a button that helps.
func TestPageDeadEnds(t *testing.T) {
	s, v := openWithoutCamera(t)
	v.run(chromedp.ActionFunc(rememberStreams), chromedp.Reload())
	v.does(`document.getElementById("files").addEventListener("click", (e) => { e.preventDefault(); globalThis.chose = true; })`)()
	const chose = `globalThis.chose === true && (globalThis.chose = false, true)`
	const naming = `document.activeElement.id === "name" && (document.activeElement.blur(), true)`
	camera := func(name string) func() {
		return v.does(fmt.Sprintf(`navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("details", %q) }; document.getElementById("camera").click()`, name))
	}
	const asked = `globalThis.asked === true`
	away := filepath.Join(t.TempDir(), "away")
	move := func(from, to string) {
		if err := os.Rename(from, to); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range []deadEnd{
		{"no-class", func() {}, "#accuracy", "No classes yet. Name one", "#first", "Name a class", naming},
		{"one-class", func() { s.example("a", 1, 0, 200, nil) }, "#accuracy", "Other things are unknown", "#first", "Name a class", naming},
		{"no-camera", camera("NotFoundError"), "#way", "This device has no camera: connect one, or choose photos.", "#way-help", "Choose photos instead", chose},
		{"refused", func() {
			camera("NotAllowedError")()
			v.does(`navigator.mediaDevices.getUserMedia = async () => { globalThis.asked = true; throw new DOMException("", "NotFoundError") }`)()
		}, "#way", "allow it in the settings of this page, then try again", "#way-help", "Try again", asked},
		{"plain-http", v.does(`Object.defineProperty(window, "isSecureContext", { value: false }); document.getElementById("camera").click()`), "#way", "Over plain HTTP", "#way-help", "Choose photos instead", chose},
		{"full-disk", v.does(`const real = fetch; globalThis.fetch = async () => {
				globalThis.fetch = real;
				return new Response(JSON.stringify({ error: "write state: no space left on device", hint: "free space on the workspace's disk, then try again" }), { status: 507 });
			}; document.getElementById("undo").click()`), "#notice", "no space left on device; free space on the workspace's disk, then try again", "#again", "Try again",
			`document.getElementById("notice").textContent === "undid: add" && document.getElementById("again").hidden`},
		{"workspace-gone", func() {
			s.example("a", 1, 0, 200, nil)
			v.awaits(`document.querySelector('[data-label="a"]') !== null`)
			move(s.workspace.dir, away)
			v.run(chromedp.Click("#undo"))
			v.sees("#notice", "the workspace is gone")
			v.sees("#again", "Try again")
			move(away, s.workspace.dir)
		}, "#notice", "put the folder back", "#again", "Try again", `document.getElementById("notice").textContent === "undid: add"`},
		{"server-gone", func() {
			v.does(`const later = setTimeout; globalThis.setTimeout = (f, ms) => (ms === 1500 ? 0 : later(f, ms))`)() // the page doesn't reconnect by itself
			v.does(`globalThis.fetch = async () => { throw new TypeError() }; ` + lost)()
		}, "#trouble-text", "Can't reach the server: check that imprint serve runs", "#trouble-help", "Try now", `document.getElementById("trouble").hidden`},
	} {
		v.leaves(d)
	}
	v.seesNames()
}

// TestPageDeviceGone unplugs the device. The button tries it at once, and the server tries it until it is
// back.
func TestPageDeviceGone(t *testing.T) {
	ctx := browser(t)
	workspace, device := withEdgeTPU(t, smallModel)
	s := start(t, testConfig{workspace: workspace, noCamera: true})
	v := visitor{t, ctx}
	v.run(network.Enable(), chromedp.Navigate(s.url), chromedp.WaitVisible("#first"))
	device.Unplug()
	s.do("POST", "/v1/classify", string(backbonetest.Photo(1, 1)), 503, nil)
	v.leaves(deadEnd{"no-device", func() {}, "#trouble-text", "Plug it in again or, to diagnose it, run imprint doctor", "#trouble-help", "Try now", `document.getElementById("notice").textContent !== ""`})
	device.Plug()
	v.awaits(`document.getElementById("trouble").hidden`)
}

// TestPageSignIn signs in with a wrong and with the right token. The token is asked for again when the
// cookie is gone.
func TestPageSignIn(t *testing.T) {
	const token = "a-token-of-24-characters"
	ctx := browser(t)
	s := start(t, testConfig{noCamera: true, token: token})
	v := visitor{t, ctx}
	v.run(network.Enable(), chromedp.ActionFunc(rememberStreams), chromedp.Navigate(s.url))
	v.sees("#why", "Enter the token that imprint serve printed")
	v.screenshot("sign-in")
	v.run(chromedp.SendKeys("#token", "wrong\r"))
	v.sees("#why", "That token is wrong. Enter the token")
	v.run(chromedp.SendKeys("#token", token+"\r"))
	v.sees("#accuracy", "No classes yet")
	v.run(network.ClearBrowserCookies())
	v.leaves(deadEnd{"no-token", v.does(lost), "#trouble-text", "sign in with the one that imprint serve printed", "#trouble-help", "Sign in", `document.getElementById("token") !== null`})
}
