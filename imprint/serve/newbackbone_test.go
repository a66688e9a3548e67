package serve

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/imprint"
)

// TestBackboneChanges changes the backbone of a served workspace while a class is recorded. The
// server must find its photos for the new backbone, must not mix in embeddings of the old one, and
// must go on with the new one.
func TestBackboneChanges(t *testing.T) {
	s := start(t, testConfig{})
	s.await(0, anyResult)
	s.camera.show(1)
	s.awaitNext(3)
	s.teach("cone", 3)
	s.camera.show(2)
	s.awaitNext(3)
	s.do("POST", "/v1/teach", `{"label":"duck","action":"start"}`, 200, nil)
	s.awaitHeld(3)

	path := filepath.Join(t.TempDir(), "efficientnet.tflite")
	if err := os.WriteFile(path, backbonetest.EfficientNet(4), 0o644); err != nil {
		t.Fatal(err)
	}
	w, err := imprint.Open(s.workspace.dir, imprint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if missing, err := w.ChangeBackbone(t.Context(), imprint.Options{Backbone: path}, nil, false, nil); err != nil {
		t.Fatalf("change the backbone: %v, missing %v", err, missing)
	}
	var done Teaching
	s.do("POST", "/v1/teach", `{"label":"duck","action":"stop"}`, 200, &done)
	if done.State != "done" || done.Generation != w.Generation()+1 {
		t.Errorf("got %+v, want done in generation %d", done, w.Generation()+1)
	}
	s.awaitNext(1)
	var now Result
	s.do("GET", fmt.Sprint("/v1/result?wait=30000&after=", s.newest()), "", 200, &now)
	if now.Label != "duck" {
		t.Errorf("got %+v, want duck", now)
	}
	s.camera.show(1)
	s.await(s.newest(), func(r Result) bool { return r.Label == "cone" && r.Generation == done.Generation })
}
