package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/evaluate"
	"github.com/imprintkit/imprint/imprint/evaluate/report"
	"github.com/imprintkit/imprint/imprint/internal/phototest"
)

// addPhotosOf trains a class with n photos of a kind, as files of different times. It returns their SHA-256.
func (s *testServer) addPhotosOf(kind uint64, label string, n int) (sums []string) {
	s.t.Helper()
	var files []string
	for i := range n {
		photo := phototest.Picture(kind, 100*uint64(label[0])+uint64(i))
		files = append(files, fmt.Sprintf("%s%d.png", label, i), string(photo))
		sums = append(sums, fmt.Sprintf("%x", sumOf(photo)))
	}
	contentType, body := photoForm(s.t, files...)
	if status, answer := s.sendForm("/v1/examples?label="+url.QueryEscape(label), contentType, body); status != 200 {
		s.t.Fatalf("got status %d: %s", status, answer)
	}
	return sums
}

// TestReview reviews classes with many photos, with few and with a wrong one, and moves that.
func TestReview(t *testing.T) {
	s := start(t, testConfig{noCamera: true, workspace: builtinBackbone(t, t.TempDir())})
	s.do("GET", "/v1/review", "", 409, nil)
	s.addPhotosOf(1, "a", 12)
	var r Review
	if s.do("GET", "/v1/review", "", 200, &r); r.Generation != 1 || len(r.Classes) != 0 || len(r.Suspects) != 0 {
		t.Errorf("one class: got %+v, want nothing", r)
	}
	s.addPhotosOf(2, "b", 12)
	s.addPhotosOf(3, "c", 2)
	wrong := s.addPhotosOf(2, "a", 1)[0]
	s.do("GET", "/v1/review", "", 200, &r)
	want := Review{4, []evaluate.Sufficiency{
		{Label: "a", Verdict: evaluate.VerdictMore, More: 4, Correct: 12, Total: 13},
		{Label: "b", Verdict: evaluate.VerdictEnough, Correct: 12, Total: 12},
		{Label: "c", Verdict: evaluate.VerdictFew, More: 3, Correct: 2, Total: 2},
	}, []Suspect{{wrong, "a", "b"}}, 1}
	if fmt.Sprint(r) != fmt.Sprint(want) {
		t.Errorf("got %+v\nwant %+v", r, want)
	}
	first, err := s.Review(t.Context())
	if again, err2 := s.Review(t.Context()); err != nil || err2 != nil || first != again {
		t.Errorf("got two reviews of one generation, errors %v, %v", err, err2)
	}
	s.do("PATCH", "/v1/examples/"+wrong, `{"label":"b"}`, 200, nil)
	s.do("GET", "/v1/review", "", 200, &r)
	if r.Generation != 5 || len(r.Suspects) != 0 || r.Total != 0 || r.Classes[0].Verdict != evaluate.VerdictEnough || r.Classes[1].Correct != 13 {
		t.Errorf("after the move: got %+v, want enough of a, 13 correct in b and no suspects", r)
	}
}

// TestReviewCanceled checks that a review waits for another one only as long as its client, and that it ends
// with its client.
func TestReviewCanceled(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	s.addPhotosOf(1, "a", 3)
	s.addPhotosOf(2, "b", 3)
	err := s.reviewer.alone(t.Context(), func(context.Context) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := s.Report(ctx)
		return err
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("during another report: got error %v, want %v", err, context.Canceled)
	}
	set, _, _, _, err := s.reviewer.examples(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := review(ctx, set, classifier.Auto); !errors.Is(err, context.Canceled) {
		t.Errorf("got error %v, want %v", err, context.Canceled)
	}
}

// TestReport compares the report with that of the workspace's evaluation.
func TestReport(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	s.do("GET", "/v1/report", "", 409, nil)
	s.addPhotosOf(1, "a", 3)
	s.addPhotosOf(2, "<b>", 3)
	got := s.body("/v1/report")
	ws, err := imprint.Open(s.workspace.dir, imprint.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer ws.Close()
	set, err := ws.Examples()
	if err != nil {
		t.Fatal(err)
	}
	ev, err := set.LeaveOneOut(t.Context(), []classifier.Method{classifier.Auto}, []int{1, 5, 10, 20}, 10)
	if err != nil {
		t.Fatal(err)
	}
	want, err := report.HTML(t.Context(), ev, ws.Settings().Resize)
	if err != nil || string(got) != string(want) || !strings.Contains(string(got), "data:image/jpeg") || strings.Contains(string(got), "<b>") {
		t.Errorf("got a report of %d bytes, want %d, with photos; error %v", len(got), len(want), err)
	}
}

// TestClassesPages reads the classes page by page.
func TestClassesPages(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	for i, label := range []string{"a", "b", "c"} {
		s.example(label, uint64(i), 0, 200, nil)
	}
	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{"a", "b", "c"}},
		{"?limit=0", []string{"a", "b", "c"}},
		{"?limit=2", []string{"a", "b"}},
		{"?offset=2&limit=2", []string{"c"}},
		{"?offset=1", []string{"b", "c"}},
		{"?offset=2147483647&limit=2147483647", nil},
	} {
		var list Classes
		s.do("GET", "/v1/classes"+c.query, "", 200, &list)
		var got []string
		for _, class := range list.Classes {
			got = append(got, class.Label)
		}
		if !slices.Equal(got, c.want) || list.Total != 3 || list.Generation != 3 {
			t.Errorf("%s: got %q of %d, generation %d, want %q of 3", c.query, got, list.Total, list.Generation, c.want)
		}
	}
	for _, query := range []string{"offset=-1", "limit=x", "limit=2147483648"} {
		s.do("GET", "/v1/classes?"+query, "", 400, nil)
	}
}

// TestFullDisk checks the response for errors of a full disk.
func TestFullDisk(t *testing.T) {
	err := fmt.Errorf("save: %w", &os.PathError{Op: "write", Path: filepath.Join("ws", "state"), Err: syscall.ENOSPC})
	if status, p := problem(err); status != http.StatusInsufficientStorage || !strings.Contains(p.Hint, "free space") {
		t.Errorf("got status %d, %+v, want %d with a hint", status, p, http.StatusInsufficientStorage)
	}
}
