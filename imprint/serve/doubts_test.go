package serve

import (
	"encoding/json"
	"os"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/imprintkit/imprint/backbone/backbonetest"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/predict"
	"github.com/imprintkit/imprint/imprint/serve/doubtful"
	"github.com/imprintkit/imprint/imprint/serve/source"
)

// awaitDoubts waits until n doubtful pictures are kept.
func (s *testServer) awaitDoubts(n int) DoubtList {
	s.t.Helper()
	var list DoubtList
	for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if list = s.Doubtful(0, maxGroups); list.Pictures >= n {
			return list
		}
	}
	s.t.Fatalf("got %+v, want %d doubtful pictures", list, n)
	return list
}

// offerDoubt makes the answer for a photo of a kind doubtful, and its embedding unlike that of other
// kinds. It returns the largest group.
func (s *testServer) offerDoubt(kind uint64) doubtful.Group {
	s.t.Helper()
	content := backbonetest.Photo(kind, 1)
	file, err := dataset.Open(dataset.Item{Content: content}, photoLimits)
	if err != nil {
		s.t.Fatal(err)
	}
	r, err := s.live.ObserveFile(s.t.Context(), file, topClasses)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Unknown = true
	clear(r.Embedding)
	r.Embedding[kind] = 255
	s.doubts.waiting <- doubt{&picture{Frame: source.Frame{Photo: content, Captured: time.Now()}}, r}
	list := s.awaitDoubts(1)
	return list.List[0]
}

func TestIsDoubtful(t *testing.T) {
	top := []predict.Score{{Label: "a", Score: 0.9}}
	for name, c := range map[string]struct {
		result predict.Result
		want   bool
	}{
		"certain":      {predict.Result{Score: 0.9, Top: top, Embedding: []byte{1}}, false},
		"uncertain":    {predict.Result{Score: 0.5, Top: top, Embedding: []byte{1}}, true},
		"unknown":      {predict.Result{Score: 0.9, Top: top, Embedding: []byte{1}, Unknown: true}, true},
		"no embedding": {predict.Result{Score: 0.5, Top: top}, false},
		"no classes":   {predict.Result{Embedding: []byte{1}, Unknown: true}, false},
	} {
		if got := isDoubtful(c.result); got != c.want {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

// TestDoubtful trains two classes with photos of one kind, which the model can't tell apart, and
// labels, rejects and drops the groups of doubtful frames. A restart in between changes nothing.
func TestDoubtful(t *testing.T) {
	dir, doubts := t.TempDir(), t.TempDir()
	config := testConfig{dir: dir, noCamera: true, options: Options{KeepDoubtful: doubts}}
	s := start(t, config)
	l := s.events.listen([]string{"doubtful"})
	defer s.events.leave(l)
	post := func(kind uint64) {
		t.Helper()
		s.do("POST", "/v1/frames", string(backbonetest.Photo(kind, 9)), 200, nil)
	}
	post(1) // no classes yet
	for seed := range uint64(3) {
		s.example("a", 1, seed, 200, nil)
		s.example("b", 1, seed+10, 200, nil)
	}
	if n := s.doubts.counts(); n != (Doubts{Kept: true}) {
		t.Errorf("got %+v before the first doubtful frame", n)
	}
	post(1)
	first := s.awaitDoubts(1)
	<-l.ready
	var told Doubts
	if e := l.take(); json.Unmarshal(e[0].data, &told) != nil || told != first.Doubts {
		t.Errorf("got event %s, want %+v", e[0].data, first.Doubts)
	}
	if p := first.List[0].Pictures[0]; p.Label != "a" && p.Label != "b" || p.Source != "none" || p.Captured.IsZero() {
		t.Errorf("got picture %+v", p)
	}
	s.offerDoubt(3)
	s.awaitDoubts(2)
	s.offerDoubt(4)
	before := s.awaitDoubts(3)
	if err := s.stop(); err != nil {
		t.Fatal(err)
	}
	s = start(t, config)
	var after DoubtList
	s.do("GET", "/v1/doubtful", "", 200, &after)
	same := func(l DoubtList) string { b, _ := json.Marshal(l); return string(b) }
	if same(after) != same(before) {
		t.Errorf("after a restart: got %s, want %s", same(after), same(before))
	}
	for _, body := range []string{`{"action":"label","label":"c"}`, `{"action":"negative"}`, `{"action":"drop"}`} {
		s.do("POST", "/v1/doubtful/0", `{"action":"label","label":"a\n"}`, 400, nil)
		g := s.Doubtful(0, 1).List[0]
		path := "/v1/doubtful/" + strconv.FormatUint(g.Number, 10)
		s.do("POST", path, body, 200, nil)
		s.do("POST", path, body, 404, nil)
	}
	if n := s.doubts.counts(); n != (Doubts{Kept: true}) {
		t.Errorf("got %+v at the end, want none", n)
	}
	s.checkExamples(map[string]int{"a": 3, "b": 3, "c": 1}, 1)
	s.do("POST", "/v1/undo", "", 200, nil)
	s.do("POST", "/v1/undo", "", 200, nil)
	s.checkExamples(map[string]int{"a": 3, "b": 3}, 0)
	var metrics strings.Builder
	s.metrics.write(&metrics, func() (uint64, bool) { return 0, false })
	if !strings.Contains(metrics.String(), "\nimprint_doubtful 0\n") {
		t.Errorf("no metric imprint_doubtful in\n%s", &metrics)
	}
}

// checkExamples checks the numbers of photos of the classes and of the negatives.
func (s *testServer) checkExamples(classes map[string]int, negatives int) {
	s.t.Helper()
	ws, err := s.live.Workspace(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	defer ws.Close()
	got := make(map[string]int)
	for _, c := range ws.Classes() {
		got[c.Label] = len(c.Photos)
	}
	if n := len(ws.Negatives()); n != negatives || !reflect.DeepEqual(got, classes) {
		s.t.Errorf("got classes %v and %d negatives, want %v and %d", got, n, classes, negatives)
	}
}

// TestDoubtfulOff checks that without the option nothing is kept, and that a folder that can't be
// used is an error.
func TestDoubtfulOff(t *testing.T) {
	s := start(t, testConfig{noCamera: true})
	var list DoubtList
	s.do("GET", "/v1/doubtful", "", 200, &list)
	if list.Kept || list.List == nil {
		t.Errorf("got %+v, want an empty list", list)
	}
	s.do("POST", "/v1/doubtful/0", `{"action":"drop"}`, 404, nil)
	file := t.TempDir() + "/file"
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), t.TempDir(), imprint.Options{}, Options{KeepDoubtful: file}); err == nil {
		t.Error("no error for a file in place of the folder")
		s.Close()
	}
}
