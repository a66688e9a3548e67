package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	cdpbrowser "github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// openWithoutCamera opens the page of a server without a camera, in a browser that has a
// fake one. The page must finish loading although there is no picture.
func openWithoutCamera(t *testing.T) (*testServer, visitor) {
	t.Helper()
	ctx := browser(t, chromedp.Flag("use-fake-device-for-media-stream", true))
	s := start(t, testConfig{noCamera: true, workspace: builtinBackbone(t, t.TempDir())})
	v := visitor{t, ctx}
	v.run(network.Enable(), chromedp.Navigate(s.url)) // waits for the event load
	v.sees("#blank", "No camera yet")
	v.sees("#accuracy", "No classes yet")
	return s, v
}

// allowCamera sets what the browser answers when the page asks for the camera.
func (v visitor) allowCamera(setting cdpbrowser.PermissionSetting) {
	v.t.Helper()
	v.run(cdpbrowser.SetPermission(&cdpbrowser.PermissionDescriptor{Name: "camera"}, setting))
}

// evaluates runs JavaScript, and awaits its result.
func (v visitor) evaluates(script string, result any) {
	v.t.Helper()
	v.run(chromedp.Evaluate(script, result, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
}

// awaits waits until JavaScript returns true.
func (v visitor) awaits(script string) {
	v.t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		var is bool
		if v.evaluates(script, &is); is {
			return
		}
	}
	v.screenshot("failed")
	v.t.Fatalf("timed out waiting for %s", script)
}

// seesNewestFrame waits until the picture is the newest frame of the server.
func (v visitor) seesNewestFrame() {
	v.t.Helper()
	v.awaits(`(async () => {
		const pixels = (image) => {
			const c = new OffscreenCanvas(32, 24).getContext("2d");
			c.drawImage(image, 0, 0, 32, 24);
			return c.getImageData(0, 0, 32, 24).data;
		};
		const picture = document.getElementById("picture");
		if (picture.hidden) return false;
		const want = pixels(await createImageBitmap(await (await fetch("/v1/frame.jpg")).blob())), got = pixels(picture);
		return want.reduce((sum, v, i) => sum + Math.abs(v - got[i]), 0) / want.length < 6;
	})()`)
}

// TestPageCamera uses the camera of the browser's device: it is refused, shows a result,
// trains a class, and stops by its button and when the page is hidden.
func TestPageCamera(t *testing.T) {
	_, v := openWithoutCamera(t)
	v.awaits(`document.getElementById("trouble").hidden && !document.getElementById("camera").hidden && !document.getElementById("choose").hidden`)
	v.seesNames()
	v.screenshot("without-camera")

	v.allowCamera(cdpbrowser.PermissionSettingDenied)
	v.run(chromedp.Click("#camera"))
	v.sees("#way", "The browser refused the camera")
	v.sees("#camera", "Use this device's camera")

	// Remember the stream, to see that it ends.
	v.allowCamera(cdpbrowser.PermissionSettingGranted)
	v.evaluates(`const real = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
		navigator.mediaDevices.getUserMedia = async (c) => globalThis.media = await real(c); true`, nil)
	const stopped = `media.getTracks().every((track) => track.readyState === "ended")`
	v.run(chromedp.Focus("#camera"), chromedp.KeyEvent("\r"))
	v.sees("#camera", "Stop the camera")
	v.sees("#label", "no classes yet")
	v.sees("#rate", "fps")
	v.awaits(`!document.getElementById("picture").hidden`)
	v.run(chromedp.SendKeys("#name", "test pattern"))
	v.holds("#teach-new")
	v.sees("#notice", "learned test pattern from")
	v.sees("#label", "test pattern")
	v.screenshot("browser-camera")
	v.run(chromedp.Click("#camera"))
	v.sees("#camera", "Use this device's camera")
	v.awaits(stopped)
	v.seesNewestFrame()

	v.run(chromedp.Click("#camera"))
	v.awaits("media.active")
	v.evaluates(`Object.defineProperty(document, "hidden", { value: true, configurable: true }); document.dispatchEvent(new Event("visibilitychange"))`, nil)
	v.sees("#way", "the page was hidden")
	v.awaits(stopped)
}

// TestPageCameraErrors checks what the page says when the browser gives no camera.
func TestPageCameraErrors(t *testing.T) {
	_, v := openWithoutCamera(t)
	fails := func(name string) string {
		return fmt.Sprintf(`navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("details", %q) }; true`, name)
	}
	for _, c := range []struct{ name, script, want string }{
		{"no camera", fails("NotFoundError"), "This device has no camera: connect one, or choose photos."},
		{"busy camera", fails("NotReadableError"), "The camera can't be used; another program may be using it: close that, then try again."},
		{"other error", fails("InvalidStateError"), "The camera can't be used: details. Try again, or choose photos."},
		{"plain HTTP", `Object.defineProperty(window, "isSecureContext", { value: false }); true`, "Over plain HTTP, browsers allow the camera only to pages on localhost: start imprint serve with --tls self-signed, or choose photos; phones then offer to take one."},
	} {
		v.evaluates(`document.getElementById("way").textContent = ""; `+c.script, nil)
		v.run(chromedp.Click("#camera"))
		v.sees("#way", c.want)
		v.sees("#camera", "Use this device's camera")
	}
}

// photoFiles returns the paths of a folder's photos.
func photoFiles(t *testing.T, dir string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.jpg"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no photos in %s: %v", dir, err)
	}
	return paths
}

// drops drops a file on an element.
func (v visitor) drops(selector, name, kind, content string) {
	v.t.Helper()
	v.evaluates(fmt.Sprintf(`(async () => {
		const files = new DataTransfer();
		files.items.add(new File([await (%s)], %q, { type: %q }));
		for (const type of ["dragover", "drop"]) document.querySelector(%q).dispatchEvent(new DragEvent(type, { dataTransfer: files, bubbles: true, cancelable: true }));
		return true;
	})()`, content, name, kind, selector), nil)
}

// noise is JavaScript that makes a PNG of random pixels with the given width.
func noise(width int) string {
	return fmt.Sprintf(`(() => {
		const c = new OffscreenCanvas(%d, 600), g = c.getContext("2d"), d = g.createImageData(c.width, c.height);
		for (let i = 0; i < d.data.length; i += 65536) crypto.getRandomValues(d.data.subarray(i, i + 65536));
		for (let i = 3; i < d.data.length; i += 4) d.data[i] = 255;
		g.putImageData(d, 0, 0);
		return c.convertToBlob();
	})()`, width)
}

// TestPagePhotos chooses and drops photos: they are classified, shown and added to classes.
func TestPagePhotos(t *testing.T) {
	s, v := openWithoutCamera(t)
	dir := t.TempDir()
	renderPhotos(t, dir, 5, 1)
	cones, balls := photoFiles(t, filepath.Join(dir, "cone")), photoFiles(t, filepath.Join(dir, "ball"))
	bad := filepath.Join(dir, "bad.jpg")
	if err := os.WriteFile(bad, []byte("not a photo"), 0o644); err != nil {
		t.Fatal(err)
	}
	answered := func(n int) {
		t.Helper()
		v.awaits(fmt.Sprintf(`(() => { const all = [...document.querySelectorAll("#photos li > span:last-child")]; return all.length === %d && all.every((e) => e.textContent !== "…") })()`, n))
	}

	// Before there is a class.
	v.run(chromedp.SetUploadFiles("#files", cones[:4], chromedp.ByQuery))
	answered(4)
	v.sees("#photos", "no classes yet")
	v.sees("#tray-title", "4 photos")
	v.seesNewestFrame()
	v.screenshot("photos")

	// All photos of a request are one change.
	v.run(chromedp.Click("#add-new"))
	v.sees("#notice", "Name the class first")
	v.run(chromedp.SendKeys("#name", "cone"), chromedp.Click("#add-new"))
	v.sees("#notice", "learned cone from 4 photos")
	v.awaits(`document.getElementById("tray").hidden && document.getElementById("add-new").hidden && document.getElementById("name").value === ""`)
	v.run(chromedp.SetUploadFiles("#files", balls[:4], chromedp.ByQuery))
	answered(4)
	v.run(chromedp.SendKeys("#name", "ball"), chromedp.Focus("#add-new"), chromedp.KeyEvent("\r"))
	v.sees("#notice", "learned ball from 4 photos")
	if got := s.live.Generation(); got != 2 {
		t.Errorf("two changes made generation %d", got)
	}
	v.sees("#accuracy", "photos left out")

	// New photos get their labels, and a bad one the reason.
	v.run(chromedp.SetUploadFiles("#files", []string{cones[4], balls[4], bad}, chromedp.ByQuery))
	answered(3)
	v.sees("#photos li:nth-child(1)", "cone")
	v.sees("#photos li:nth-child(2)", "ball")
	v.sees("#photos li.bad", "not a JPEG")
	v.sees(`[data-label="cone"] .add`, "Add 3 photos")
	v.seesNames()
	v.run(chromedp.Click("#clear"))
	v.awaits(`document.getElementById("tray").hidden && document.querySelector('[data-label="cone"] .add').hidden`)

	// Dropped on a class, on the new one, and elsewhere. Large photos are scaled down.
	v.drops(`[data-label="ball"] h3`, "new.png", "image/png", noise(800))
	v.sees("#notice", "learned ball from 1 photo in")
	v.drops("#new", "new.png", "image/png", noise(100))
	v.sees("#notice", "Name the class first")
	v.run(chromedp.SendKeys("#name", "noise"))
	v.drops("#name", "new.png", "image/png", noise(100))
	v.sees("#notice", "learned noise from 1 photo in")
	v.drops("body", "new.png", "image/png", noise(4000))
	answered(1)
	v.awaits(`document.querySelector("#photos li:not(.bad)") !== null`)
	v.seesNewestFrame()
	if p, _ := s.intake.newest.get(); len(p.Photo) > 1<<20 {
		t.Errorf("the large photo was posted with %d bytes", len(p.Photo))
	}
	v.drops("figure", "notes.txt", "text/plain", `"hello"`)
	v.sees("#notice", "Only photos can be added.")
	answered(1)
}

// TestPagePhotosNextToCamera classifies photos while the server's own camera stays in the
// picture.
func TestPagePhotosNextToCamera(t *testing.T) {
	ctx := browser(t)
	s := start(t, testConfig{period: 50 * time.Millisecond, workspace: builtinBackbone(t, t.TempDir())})
	v := visitor{t, ctx}
	dir := t.TempDir()
	renderPhotos(t, dir, 1, 1)
	v.run(network.Enable(), chromedp.Navigate(s.url), chromedp.WaitVisible("#picture"))
	v.awaits(`document.getElementById("camera").hidden`)
	v.run(chromedp.SetUploadFiles("#files", photoFiles(t, filepath.Join(dir, "cone")), chromedp.ByQuery))
	v.sees("#photos", "no classes yet")
	if p, _ := s.intake.newest.get(); p.Name != "fake" {
		t.Errorf("the newest frame is %q, not one of the camera", p.Name)
	}
}
