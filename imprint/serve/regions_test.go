package serve

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/imprint/serve/region"
)

// region returns the status of a region, and a channel that is closed when any region changes.
func (s *testServer) region(name string) (RegionStatus, <-chan struct{}) {
	list, changed := s.Regions()
	for _, r := range list.Regions {
		if r.Name == name {
			return r, changed
		}
	}
	return RegionStatus{}, changed
}

// awaitRegion waits until a region satisfies wanted.
func (s *testServer) awaitRegion(name string, wanted func(RegionStatus) bool) RegionStatus {
	s.t.Helper()
	timeout := time.After(time.Minute)
	for {
		r, changed := s.region(name)
		if wanted(r) {
			return r
		}
		select {
		case <-changed:
		case <-timeout:
			s.t.Fatalf("timed out waiting for region %s; the last was %+v, answer %+v", name, r, r.Answer)
		}
	}
}

// awaitState waits until a region has the state label.
func (s *testServer) awaitState(name, label string) RegionStatus {
	s.t.Helper()
	return s.awaitRegion(name, func(r RegionStatus) bool { return r.State.Changes > 0 && r.State.Label == label })
}

// pairPhoto returns a photo with one object in its left half and another in its right half.
func pairPhoto(t testing.TB, left, right, seed uint64) []byte {
	t.Helper()
	out := image.NewRGBA(image.Rect(0, 0, 0, 0))
	for i, kind := range []uint64{left, right} {
		img, err := png.Decode(bytes.NewReader(backbonetest.Photo(kind, seed)))
		if err != nil {
			t.Fatal(err)
		}
		w, h := img.Bounds().Dx(), img.Bounds().Dy()
		if i == 0 {
			out = image.NewRGBA(image.Rect(0, 0, 2*w, h))
		}
		for y := range h {
			for x := range w {
				out.Set(i*w+x, y, img.At(x, y))
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, out); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// showPair makes the camera show a picture of two objects.
func (s *testServer) showPair(left, right uint64) {
	s.camera.mu.Lock()
	defer s.camera.mu.Unlock()
	s.camera.fixed = nil
	for seed := range uint64(8) {
		s.camera.fixed = append(s.camera.fixed, pairPhoto(s.t, left, right, seed))
	}
}

// TestRegions trains two classes with what one region shows. Both regions get states of their own,
// and keep their boxes after a restart.
func TestRegions(t *testing.T) {
	states := make(chan region.State, 100)
	config := testConfig{dir: t.TempDir(), options: Options{RegionRate: 1000, OnState: func(s region.State) { states <- s }}}
	s := start(t, config)
	config.workspace.Backbone = s.workspace.options.Backbone
	s.do("PUT", "/v1/regions/door", `{"box":[0,0,0.5,1]}`, 200, nil)
	s.do("PUT", "/v1/regions/gate", `{"box":[0.5,0,1,1],"motion":0}`, 200, nil)
	s.do("PUT", "/v1/regions/door", `{"answers":2}`, 200, nil)
	for i, label := range []string{"open", `<b>"closed"/+#`} {
		s.showPair(uint64(i+1), 1)
		done, err := Teaching{}, ErrNoFrames
		for errors.Is(err, ErrNoFrames) { // on a busy machine
			done, err = s.TeachRegion(context.Background(), label, "door")
		}
		if err != nil || done.Region != "door" || done.State != "done" {
			t.Fatalf("train %s: got %+v, %v", label, done, err)
		}
	}
	s.awaitState("door", `<b>"closed"/+#`)
	s.awaitState("gate", "open")
	s.showPair(1, 2)
	s.awaitState("door", "open")
	gate := s.awaitState("gate", `<b>"closed"/+#`)
	if gate.State.Known != gate.State.Label || gate.State.Region != "gate" || gate.Frames.Answered == 0 || gate.Frames.Still > 0 {
		t.Errorf("got %+v", gate)
	}
	var text strings.Builder
	s.metrics.write(&text, func() (uint64, bool) { return 0, false })
	if !strings.Contains(text.String(), `imprint_region_frames_total{region="gate",result="answered"}`) {
		t.Errorf("no metrics of the region in %s", &text)
	}
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if got := list.Classes[0].Photos[0].Source; got != "fake#door" {
		t.Errorf("got source %q", got)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	close(states)
	last := make(map[string]string)
	for state := range states {
		last[state.Region] = state.Label
	}
	if want := map[string]string{"door": "open", "gate": gate.State.Label}; !reflect.DeepEqual(last, want) {
		t.Errorf("got last states %q, want %q", last, want)
	}

	config.options = Options{Regions: []region.Region{region.New("door", region.Box{0, 0, 0.25, 1})}}
	s = start(t, config)
	door, _ := s.region("door")
	if gate, _ := s.region("gate"); door.Box[2] != 0.25 || door.Answers != 2 || gate.Box != (region.Box{0.5, 0, 1, 1}) {
		t.Errorf("after a restart: got %+v and %+v", door, gate)
	}
}

// TestRegionStill checks that a still picture repeats the last answer without the device.
func TestRegionStill(t *testing.T) {
	s := start(t, testConfig{options: Options{RegionRate: 1000}})
	s.camera.mu.Lock()
	s.camera.fixed = [][]byte{backbonetest.Photo(1, 1)}
	s.camera.mu.Unlock()
	s.do("PUT", "/v1/regions/all", `{"box":[0,0,1,1],"answers":20}`, 200, nil)
	s.awaitRegion("all", func(r RegionStatus) bool { return r.Frames.Still > 0 && r.State.Changes == 1 })
	s.teach("a", 2)
	s.awaitState("all", "a")
}

// TestRenameRegion renames a region, which keeps its settings and its state.
func TestRenameRegion(t *testing.T) {
	config := testConfig{dir: t.TempDir(), options: Options{RegionRate: 1000}}
	s := start(t, config)
	config.workspace.Backbone = s.workspace.options.Backbone
	s.do("PUT", "/v1/regions/door", `{"box":[0,0,0.5,1],"name":"gate"}`, 404, nil)
	s.do("PUT", "/v1/regions/door", `{"box":[0,0,0.5,1],"min_score":0.5}`, 200, nil)
	s.do("PUT", "/v1/regions/hall", `{"box":[0.5,0,1,1]}`, 200, nil)
	s.teach("a", 2)
	before := s.awaitState("door", "a")
	for _, refused := range []string{`{"name":"hall"}`, `{"name":""}`, `{"name":"a\u0000"}`, `{"name":"gate","box":[0,0,1.01,1]}`} {
		s.do("PUT", "/v1/regions/door", refused, 400, nil)
	}
	s.do("PUT", "/v1/regions/door", `{"name":"gate","answers":1}`, 200, nil)
	s.do("PUT", "/v1/regions/door", `{"answers":2}`, 400, nil) // a new region without a box
	gate := s.awaitRegion("gate", func(r RegionStatus) bool { return r.Frames.Answered > before.Frames.Answered })
	if gate.State.Region != "gate" || gate.State.Label != "a" || gate.State.Changes < before.State.Changes {
		t.Errorf("got state %+v, before %+v", gate.State, before.State)
	}
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, config)
	list, _ := s.Regions()
	if len(list.Regions) != 2 || list.Regions[0].Region != gate.Region || gate.Answers != 1 || gate.MinScore != 0.5 || list.Regions[1].Name != "hall" {
		t.Errorf("after a restart: got %+v", list)
	}
}

// TestRegionsTakeTurns checks the order in which the device gets pictures: nobody comes twice
// before the others have had their turn.
func TestRegionsTakeTurns(t *testing.T) {
	g := &regions{whole: newSlot(), frames: newSlot(), current: newLatestValue[RegionList](), events: new(hub), metrics: newMetrics(), holds: &holds{events: new(hub)}}
	for _, name := range []string{"a", "b", "c"} {
		r := region.New(name, region.Box{0, 0, 1, 1})
		g.list = append(g.list, &watched{name: name, Region: r})
	}
	var order []string
	wait := func(w *watched) {
		g.wait(&picture{part: &regionPicture{w, w.Box, new(region.Gray)}})
	}
	for round := range 4 {
		g.whole.put(&picture{})
		for _, w := range g.list {
			if round != 2 || w.name != "b" { // b has no picture in this round
				wait(w)
			}
			if round == 3 {
				wait(w) // a newer picture does not lose the turn
			}
		}
		for range len(g.list) + 1 {
			if p := g.take(); p != nil {
				order = append(order, "/"+p.area())
			}
		}
	}
	if got, want := strings.Join(order, ""), "//a/b/c//a/b/c//a/c//a/b/c"; got != want {
		t.Errorf("got order %s, want %s", got, want)
	}
	if got := g.list[0].frames.Dropped; got != 1 || g.pending() {
		t.Errorf("got %d dropped, pending %v", got, g.pending())
	}
}

// TestRegionFullResolution checks that a region is cut out of the frame at its full size, and that
// the model sees the same pixels as in a photo of the region alone.
func TestRegionFullResolution(t *testing.T) {
	big := image.NewYCbCr(image.Rect(0, 0, 1600, 1200), image.YCbCrSubsampleRatio420)
	for y := range 1200 {
		for x := range 1600 {
			big.Y[big.YOffset(x, y)] = uint8(x*y>>8 + x*7)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, big, nil); err != nil {
		t.Fatal(err)
	}
	p := &picture{}
	p.Photo = b.Bytes()
	whole, err := p.pixels()
	if err != nil {
		t.Fatal(err)
	}
	box := region.Box{0.25, 0.5, 0.5, 0.75}.Pixels(whole.Bounds())
	if want := image.Rect(400, 600, 800, 900); box != want {
		t.Fatalf("got box %v, want %v", box, want)
	}
	part := subImage(whole, box)
	alone := image.NewRGBA(image.Rect(0, 0, box.Dx(), box.Dy()))
	for y := range box.Dy() {
		for x := range box.Dx() {
			alone.SetRGBA(x, y, color.RGBAModel.Convert(whole.At(box.Min.X+x, box.Min.Y+y)).(color.RGBA))
		}
	}
	s := start(t, testConfig{noCamera: true})
	var got [2]predict.Result
	for i, img := range []image.Image{part, alone} {
		if got[i], err = s.live.Observe(context.Background(), img, 1); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(got[0].Embedding, got[1].Embedding) {
		t.Errorf("got embedding %v, want %v", fmt.Sprint(got[0].Embedding), fmt.Sprint(got[1].Embedding))
	}
}
