package doubtful

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/crashtest"
)

// TestPowerLoss opens the folders that power loss leaves behind while pictures are added and removed. None
// of the files is synced, so any may be old, torn or missing. A queue must open, return only
// undamaged pictures, and keep damaged ones again when they come again.
func TestPowerLoss(t *testing.T) {
	dir := t.TempDir()
	rec, err := crashtest.NewRecorder(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer rec.Close()
	q := reopen(t, dir)
	names := []string{"a1", "b1", "c1"}
	step := func() {
		t.Helper()
		if err := rec.Acknowledge(); err != nil {
			t.Fatal(err)
		}
	}
	for i, name := range names {
		add(t, q, name, i, "x", about(i, 0))
		step()
	}
	if err := q.Remove(q.Groups()[0].Pictures); err != nil {
		t.Fatal(err)
	}
	step()
	h, err := rec.History()
	if err != nil {
		t.Fatal(err)
	}
	states, kept, damaged := 0, 0, 0
	for state := range h.States(5) {
		states++
		at := filepath.Join(t.TempDir(), "doubtful")
		if err := errors.Join(os.Mkdir(at, 0o700), state.Write(at)); err != nil {
			t.Fatal(err)
		}
		q := reopen(t, at)
		damaged += q.Damaged()
		for _, g := range q.Groups() {
			for _, p := range g.Pictures {
				switch content, err := q.Read(p.SHA256); {
				case err == nil && string(content[:1]) == p.Label:
					kept++
				case errors.Is(err, ErrGone):
					damaged++
				default:
					t.Errorf("%s: got picture %q of %s, error %v", state.Name, content, p.Label, err)
				}
			}
		}
		for i, name := range names {
			add(t, q, name, i, "x", about(i, 0))
		}
		if got := reopen(t, at); len(got.Groups()) != len(names) {
			t.Errorf("%s: got groups %s after the pictures came again", state.Name, shape(got))
		}
	}
	t.Logf("%d states with %d pictures, %d of them damaged", states, kept+damaged, damaged)
	if kept == 0 || damaged == 0 {
		t.Errorf("%d states had %d undamaged and %d damaged pictures, want both", states, kept, damaged)
	}
}
