package doubtful

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"testing"
	"time"
)

// about returns a vector at an angle from the axis of a kind, in hundredths of a radian.
func about(kind, angle int) []float64 {
	v := make([]float64, 8)
	v[kind] = 100
	v[7] = float64(angle)
	return v
}

// add adds a picture whose file is its name, taken n seconds after the first.
func add(t *testing.T, q *Queue, name string, n int, space string, embedding []float64) bool {
	t.Helper()
	kept, err := q.Add(Picture{Label: name[:1], Captured: time.Unix(int64(n), 0).UTC()}, space, embedding, func() ([]byte, error) { return []byte(name), nil })
	if err != nil {
		t.Fatal(err)
	}
	return kept
}

func reopen(t *testing.T, dir string) *Queue {
	t.Helper()
	q, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// shape returns the labels and the numbers of pictures of the groups.
func shape(q *Queue) (s string) {
	for _, g := range q.Groups() {
		s += fmt.Sprintf("%s%d ", g.Label, len(g.Pictures))
	}
	return s
}

// TestAdd checks which pictures are kept, and how they are grouped, before and after a restart.
func TestAdd(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	q := reopen(t, dir)
	for i, c := range []struct {
		name  string
		space string
		at    []float64
		kept  bool
		want  string
	}{
		{"a1", "x", about(0, 0), true, "a1 "},
		{"a2", "x", about(0, 10), false, "a1 "}, // cos 0.995
		{"a3", "x", about(0, 50), true, "a2 "},  // cos 0.89
		{"b1", "x", about(1, 0), true, "a2 b1 "},
		{"b2", "y", about(1, 0), true, "a2 b1 b1 "}, // of another backbone
		{"b1", "z", about(2, 0), false, "a2 b1 b1 "},
		{"c1", "x", make([]float64, 8), true, "a2 b1 b1 c1 "},
		{"b3", "x", about(1, 60), true, "a2 b2 b1 c1 "},
	} {
		if kept := add(t, q, c.name, i, c.space, c.at); kept != c.kept || shape(q) != c.want {
			t.Errorf("%s: got kept %v and groups %q, want %v and %q", c.name, kept, shape(q), c.kept, c.want)
		}
	}
	again := reopen(t, dir)
	if got, want := again.Groups(), q.Groups(); !reflect.DeepEqual(got, want) {
		t.Errorf("after a restart: got groups %v, want %v", got, want)
	}
	if kept := add(t, again, "a4", 9, "x", about(0, 51)); kept {
		t.Error("after a restart, a near-duplicate was kept")
	}
	failed := errors.New("no memory")
	if kept, err := again.Add(Picture{}, "x", about(5, 0), func() ([]byte, error) { return nil, failed }); kept || err != failed {
		t.Errorf("got %v, %v, want the error of encoded", kept, err)
	}
	for _, name := range []string{".", again.Groups()[0].Pictures[0].SHA256 + ".picture", again.Groups()[0].Pictures[0].SHA256 + ".json"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s: got mode %v, %v: others can read it", name, info.Mode(), err)
		}
	}
}

// TestBounds checks that the oldest pictures make room, that groups stay small enough to train with,
// and that nothing is left of removed ones.
func TestBounds(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "mine.txt"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	most := limits{pictures: 30, bytes: 100, group: 10} // a file has at most 3 bytes
	q, err := open(dir, most)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 40 {
		v := make([]float64, 41)
		v[0], v[i+1] = 2.2, 1 // the cosine of two is 0.83
		if !add(t, q, fmt.Sprintf("a%d", i), i, "x", v) {
			t.Fatalf("picture %d was not kept", i)
		}
	}
	groups := q.Groups()
	if n, _ := q.Len(); n != 30 || len(groups) != 3 || len(groups[0].Pictures) != 10 {
		t.Errorf("got %d pictures in %d groups, the largest with %d", n, len(groups), len(groups[0].Pictures))
	}
	for _, g := range groups {
		for _, p := range g.Pictures {
			if p.Captured.Unix() < 10 {
				t.Errorf("an old picture is kept: %v", p.Captured)
			}
		}
	}
	large := func(n int) func() ([]byte, error) { return func() ([]byte, error) { return make([]byte, n), nil } }
	if kept, err := q.Add(Picture{}, "y", about(0, 0), large(101)); kept || err != nil {
		t.Errorf("got %v, %v for a picture that is too large", kept, err)
	}
	if kept, err := q.Add(Picture{Captured: time.Unix(99, 0)}, "y", about(0, 0), large(90)); !kept || err != nil {
		t.Errorf("got %v, %v for a large picture", kept, err)
	}
	if n, bytes := q.Len(); n != 4 || bytes != 99 {
		t.Errorf("got %d pictures, %d bytes, want 4, 99", n, bytes)
	}
	if again, err := open(dir, limits{pictures: 2, bytes: 100, group: 10}); err != nil || len(again.pictures) != 2 || again.bytes != 93 {
		t.Errorf("with a lower limit: got %d pictures, %d bytes, %v, want 2, 93", len(again.pictures), again.bytes, err)
	}
	q = reopen(t, dir)
	groups = q.Groups()
	last := groups[len(groups)-1]
	if _, err := q.Read(last.Pictures[0].SHA256); err != nil {
		t.Error(err)
	}
	for _, g := range groups {
		q.Remove(g.Pictures)
	}
	q.Remove(last.Pictures)
	if _, err := q.Read(last.Pictures[0].SHA256); !errors.Is(err, ErrGone) {
		t.Errorf("got error %v, want ErrGone", err)
	}
	if _, err := q.Group(last.Number); !errors.Is(err, ErrNoGroup) {
		t.Errorf("got error %v, want ErrNoGroup", err)
	}
	if n, bytes := q.Len(); n != 0 || bytes != 0 {
		t.Errorf("got %d pictures, %d bytes, want none", n, bytes)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("got files %v, %v, want the user's only", files, err)
	}
}

// TestOpenDamaged opens a folder with damaged files.
func TestOpenDamaged(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"no picture":    func(path string) error { return os.Remove(path + ".picture") },
		"no note":       func(path string) error { return os.Remove(path + ".json") },
		"short picture": func(path string) error { return os.Truncate(path+".picture", 1) },
		"short note":    func(path string) error { return os.Truncate(path+".json", 10) },
		"text":          func(path string) error { return os.WriteFile(path+".json", []byte("null"), 0o600) },
		"large note":    func(path string) error { return os.Truncate(path+".json", maxNote+1) },
	} {
		dir := t.TempDir()
		q := reopen(t, dir)
		add(t, q, "a1", 1, "x", about(0, 0))
		add(t, q, "b1", 2, "x", about(1, 0))
		sum := q.Groups()[0].Pictures[0].SHA256
		if err := damage(filepath.Join(dir, sum)); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, unfinished), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		again := reopen(t, dir)
		if files, err := os.ReadDir(dir); err != nil || len(files) != 2 || len(again.Groups()) != 1 || again.Damaged() != 1 {
			t.Errorf("%s: got %d files, groups %s, %d damaged, %v, want 2 files of one picture", name, len(files), shape(again), again.Damaged(), err)
		}
		if !add(t, again, "a1", 3, "x", about(0, 0)) {
			t.Errorf("%s: the picture can't be kept again", name)
		}
	}
	q := reopen(t, t.TempDir())
	add(t, q, "a1", 1, "x", about(0, 0))
	sum := q.Groups()[0].Pictures[0].SHA256
	if err := os.WriteFile(filepath.Join(q.dir, sum+".picture"), []byte("zz"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := q.Read(sum); !errors.Is(err, ErrGone) || len(q.Groups()) > 0 {
		t.Errorf("got error %v and groups %s for a picture whose file was changed, want ErrGone and none", err, shape(q))
	}
}

// TestCannotDelete checks that a picture that can't be deleted stays in the queue. A folder in place of
// the file can't be deleted by anyone.
func TestCannotDelete(t *testing.T) {
	q, err := open(t.TempDir(), limits{pictures: 1, bytes: 100, group: 10})
	if err != nil {
		t.Fatal(err)
	}
	add(t, q, "a1", 1, "x", about(0, 0))
	g := q.Groups()[0]
	file := filepath.Join(q.dir, g.Pictures[0].SHA256+".json")
	if err := errors.Join(os.Remove(file), os.MkdirAll(filepath.Join(file, "folder"), 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := q.Remove(g.Pictures); err == nil || shape(q) != "a1 " {
		t.Errorf("got error %v and groups %s, want an error and the picture", err, shape(q))
	}
	if kept, err := q.Add(Picture{}, "x", about(1, 0), func() ([]byte, error) { return []byte("b"), nil }); kept || err == nil {
		t.Errorf("got %v, %v for a picture that does not fit", kept, err)
	}
	if _, err := Open(q.dir); err == nil {
		t.Error("the folder was opened, though a damaged picture can't be deleted")
	}
}

// TestGroupMean checks that a picture joins the group whose mean is most similar, not that of the most
// similar picture: otherwise a chain of pictures joins two things.
func TestGroupMean(t *testing.T) {
	q := reopen(t, t.TempDir())
	for i, angle := range []float64{0, 35, 70, 105} { // neighbors have a cosine of 0.82
		sin, cos := math.Sincos(angle * math.Pi / 180)
		if !add(t, q, fmt.Sprintf("a%d", i), i, "x", []float64{cos, sin}) {
			t.Fatalf("picture %d was not kept", i)
		}
	}
	if got := shape(q); got != "a2 a2 " {
		t.Errorf("got groups %s, want two pairs", got)
	}
}
