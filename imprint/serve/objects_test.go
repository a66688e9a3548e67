package serve

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
)

// withDetector returns options for a workspace with a detector that finds objects with at least the
// score min.
func withDetector(t testing.TB, min float64) imprint.Options {
	t.Helper()
	path := filepath.Join(t.TempDir(), "detector.tflite")
	if err := os.WriteFile(path, backbonetest.Detector(2), 0o644); err != nil {
		t.Fatal(err)
	}
	return imprint.Options{Detector: &predict.DetectorChoice{Model: path, Min: min}}
}

// TestObjects trains and classifies what a detector finds.
func TestObjects(t *testing.T) {
	s := start(t, testConfig{workspace: withDetector(t, 1e-6)})
	if r := s.await(0, anyResult); len(r.Boxes) == 0 || !r.Unknown || r.Boxes[0].Object == "" {
		t.Errorf("before training: got %+v, want boxes", r)
	}
	for i, label := range []string{"tom", "felix"} {
		s.camera.show(uint64(i + 1))
		s.awaitNext(3)
		if done := s.teach(label, 3); done.State != "done" || done.Frames < 3 {
			t.Errorf("training %s: got %+v", label, done)
		}
	}
	var r Result
	s.do("POST", "/v1/classify", string(backbonetest.Photo(1, 7)), 200, &r)
	if len(r.Boxes) == 0 || r.Label == "" {
		t.Fatalf("got %+v, want boxes with labels", r)
	}
	for _, b := range r.Boxes {
		if b.Label == "" || len(b.Top) == 0 || b.Box.Check() != nil || b.Box == (dataset.Box{}) {
			t.Errorf("got box %+v", b)
		}
	}
	// A photo is cropped like a frame, and its thumbnail shows the crop.
	s.do("POST", "/v1/examples?label=tom", string(backbonetest.Photo(1, 8)), 200, nil)
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	for _, c := range list.Classes {
		for _, p := range c.Photos {
			if p.Box == nil {
				t.Fatalf("%s has a whole photo", c.Label)
			}
			s.do("GET", "/v1/examples/"+p.SHA256+"/thumbnail.jpg", "", 200, nil)
		}
	}
	photos := len(list.Classes[1].Photos)
	s.do("DELETE", "/v1/examples/"+list.Classes[1].Photos[0].SHA256, "", 200, nil)
	s.do("GET", "/v1/classes", "", 200, &list)
	if got := len(list.Classes[1].Photos); got != photos-1 {
		t.Errorf("got %d photos after one was removed, want %d", got, photos-1)
	}
	s.do("POST", "/v1/teach", `{"label":"tom","action":"start","at":[0.5,1.5]}`, 400, nil)
	s.do("POST", "/v1/teach", `{"label":"tom","action":"start","at":[0.1,0.1]}`, 200, nil)
	s.awaitHeld(3)
	s.do("POST", "/v1/teach", `{"label":"tom","action":"stop"}`, 200, nil)
}

// TestNoObjects checks the answers and errors for pictures in which a detector finds nothing.
func TestNoObjects(t *testing.T) {
	s := start(t, testConfig{workspace: withDetector(t, 1)})
	if r := s.await(0, anyResult); r.Boxes == nil || len(r.Boxes) > 0 || !r.Unknown || r.Label != "" || r.Voted != "" {
		t.Errorf("got %+v, want an empty list of boxes", r)
	}
	s.do("POST", "/v1/teach", `{"label":"tom","action":"start"}`, 200, nil)
	s.awaitHeld(2)
	var problem struct{ Error string }
	s.do("POST", "/v1/teach", `{"label":"tom","action":"stop"}`, 422, &problem)
	if !strings.Contains(problem.Error, "the detector finds nothing in") {
		t.Errorf("got %+v", problem)
	}
	s.do("POST", "/v1/examples?label=tom", string(backbonetest.Photo(1, 8)), 422, nil)
}

func TestChoose(t *testing.T) {
	box := func(edges ...uint16) predict.Boxed {
		b := dataset.Box(edges)
		return predict.Boxed{Box: b, Embedding: []byte{byte(b[0] / 100)}}
	}
	left, right := box(0, 0, 4000, 10000), box(5000, 2500, 7500, 5000)
	for _, test := range []struct {
		at    point
		boxes []predict.Boxed
		want  predict.Boxed
		moved point
	}{
		{point{0.2, 0.4}, []predict.Boxed{left, right}, left, point{0.2, 0.5}},
		{point{0.9, 0.4}, []predict.Boxed{left, right}, right, point{0.625, 0.375}},
		{point{0.9, 0.4}, []predict.Boxed{left}, left, point{0.2, 0.5}},
		{point{0.9, 0.4}, []predict.Boxed{}, predict.Boxed{}, point{0.9, 0.4}},
	} {
		at := test.at
		o := observed{result: predict.Result{Boxes: test.boxes}}.choose(&at)
		if o.result.Box != test.want.Box || string(o.result.Embedding) != string(test.want.Embedding) || at != test.moved || o.chosen != (len(test.boxes) > 0) {
			t.Errorf("at %v: got %v, moved to %v, want %v, moved to %v", test.at, o.result.Box, at, test.want.Box, test.moved)
		}
	}
}

// TestPageBoxes checks that the page draws the boxes where they are in the picture, and that a tap
// chooses the object to train.
func TestPageBoxes(t *testing.T) {
	ctx := browser(t)
	camera := &fakeCamera{fixed: [][]byte{backbonetest.Photo(1, 1)}, period: 20 * time.Millisecond}
	s := start(t, testConfig{options: Options{Source: camera}, workspace: withDetector(t, 1e-6)})
	r := s.await(0, anyResult)
	v := visitor{t, ctx}
	v.run(chromedp.Navigate(s.url), chromedp.WaitVisible("#picture"))
	v.sees("#boxes .box span", r.Boxes[0].Object)
	var drawn [][4]float64
	v.run(chromedp.Evaluate(`(() => { const p = document.querySelector("#picture").getBoundingClientRect(), i = document.querySelector("#picture");
		const scale = Math.min(p.width / i.naturalWidth, p.height / i.naturalHeight), w = scale * i.naturalWidth, h = scale * i.naturalHeight;
		const x = p.x + (p.width - w) / 2, y = p.y + (p.height - h) / 2;
		return [...document.querySelectorAll(".box")].map((b) => b.getBoundingClientRect()).map((b) =>
			[(b.left - x) / w, (b.top - y) / h, (b.right - x) / w, (b.bottom - y) / h]) })()`, &drawn))
	if len(drawn) != len(r.Boxes) {
		t.Fatalf("got %d boxes, want %d", len(drawn), len(r.Boxes))
	}
	for i, b := range r.Boxes {
		for k, want := range b.Box.Edges() {
			if got := drawn[i][k]; got < want-0.01 || got > want+0.01 {
				t.Errorf("box %d is drawn at %.3f, want %.3f", i, drawn[i], b.Box.Edges())
				break
			}
		}
	}
	v.screenshot("boxes")

	// The smallest object is not the one that is trained by default.
	smallest := 0
	for i, b := range r.Boxes {
		if b.Box.Area() < r.Boxes[smallest].Box.Area() {
			smallest = i
		}
	}
	want := r.Boxes[smallest].Box
	v.evaluates(`document.querySelectorAll(".box")[`+string(rune('0'+smallest))+`].click()`, nil)
	v.awaits(`document.querySelectorAll(".box")[` + string(rune('0'+smallest)) + `].getAttribute("aria-pressed") === "true"`)
	v.run(chromedp.SendKeys("#name", "tom"))
	v.holds("#teach-new")
	v.sees("#classes h3", "tom")
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if p := list.Classes[0].Photos; len(p) != 1 || p[0].Box == nil || *p[0].Box != want {
		t.Errorf("trained %+v, want the box %v", p, want)
	}
	v.sees("#boxes .box span", "tom 100 %")
	v.seesNames()
}
