package models

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestDetectors(t *testing.T) {
	id := regexp.MustCompile(`^[0-9a-f]{40}$`)
	list := Detectors()
	if len(list) == 0 {
		t.Fatal("no detectors")
	}
	for i, p := range list {
		other, err := Find(p.Counterpart)
		if err != nil || other.Counterpart != p.Name || other.Compiled() == p.Compiled() || other.Input != p.Input || !other.Detector() {
			t.Errorf("%s has the counterpart %+v, %v", p.Name, other, err)
		}
		if p.Compiled() && list[i-1].Name != p.Counterpart {
			t.Errorf("%s does not follow its uncompiled model", p.Name)
		}
		labels, ok := p.labelFile()
		if !id.MatchString(p.GitBlob) || p.Input <= 0 || p.Embedding != 0 || !strings.HasSuffix(p.About, ".") || !ok || labels.Size == 0 {
			t.Errorf("%s is incomplete: %+v", p.Name, p)
		}
		for _, q := range append(List(), list[:i]...) {
			if p.Name == q.Name || p.GitBlob == q.GitBlob || q.Detector() != (q.labels != "") {
				t.Errorf("%s and %s share a name or an id, or one is in both lists", p.Name, q.Name)
			}
		}
	}
}

// TestPullLabels checks that the labels of a model, compiled or not, come to a file next to it.
func TestPullLabels(t *testing.T) {
	_, b := fixture()
	missing := false
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch name := r.URL.Path; {
		case name == "/face_labels.txt" && !missing:
			w.Write([]byte("face\n"))
		case name == "/fixture_edgetpu.tflite":
			content(w, r, b, "")
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	p, _ := unlisted()
	p.Name, p.labels = "fixture"+compiledSuffix, "face_labels.txt"
	s := Store{Dir: t.TempDir(), BaseURL: srv.URL}
	for range 2 {
		path, err := s.pullLabeled(t.Context(), p, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := os.ReadFile(filepath.Join(filepath.Dir(path), "fixture.txt")); err != nil || string(got) != "face\n" {
			t.Errorf("labels: got %q, %v", got, err)
		}
	}
	missing, s.Dir = true, t.TempDir()
	if _, err := s.pullLabeled(t.Context(), p, nil); err == nil || !strings.Contains(err.Error(), "face_labels.txt: 404") {
		t.Errorf("without labels: got error %v, want 404", err)
	}
	if err := os.WriteFile(filepath.Join(s.Dir, "fixture.txt"), []byte("fice\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	missing = false
	if _, err := s.pullLabeled(t.Context(), p, nil); err != nil {
		t.Errorf("over other labels: %v", err)
	}
	labels, _ := p.labelFile()
	if _, err := s.path(labels); errors.Is(err, ErrContent) {
		t.Errorf("other labels stay: %v", err)
	}
}
