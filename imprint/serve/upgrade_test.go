package serve

import (
	"os"
	"testing"

	"github.com/imprintkit/imprint/backbone/backbonetest"
)

// TestUpgrade serves a workspace that an older version stored, and trains in it.
func TestUpgrade(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS("../testdata/upgrade")); err != nil {
		t.Fatal(err)
	}
	s := start(t, testConfig{dir: dir, anyBackbone: true, noCamera: true})
	var r struct{ Top []struct{ Label string } }
	s.do("POST", "/v1/classify", string(backbonetest.Photo(2, 9)), 200, &r)
	if len(r.Top) != 2 || r.Top[0].Label != "cone" {
		t.Errorf("got %+v, want cone first of two classes", r)
	}
	s.do("PATCH", "/v1/classes/cone", `{"label":"traffic cone"}`, 200, nil)
	var list Classes
	s.do("GET", "/v1/classes", "", 200, &list)
	if len(list.Classes) != 2 || list.Classes[1].Label != "traffic cone" || len(list.Classes[1].Photos) != 3 {
		t.Errorf("got %+v, want ball and traffic cone", list.Classes)
	}
}
