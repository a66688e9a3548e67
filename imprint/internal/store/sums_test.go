package store

import (
	"bytes"
	"os"
	"reflect"
	"testing"
)

func TestSums(t *testing.T) {
	s, state := Store{Dir: t.TempDir()}, Digest{1, 2}
	for _, content := range []string{"", "some sums", "other sums"} {
		if err := s.WriteSums(state, []byte(content)); err != nil {
			t.Fatal(err)
		}
		if got := s.ReadSums(state); got == nil || string(got) != content {
			t.Errorf("got %q, want %q", got, content)
		}
		if got := s.ReadSums(Digest{1, 3}); got != nil {
			t.Errorf("got %q for another state", got)
		}
	}
	path := s.Path(SumsFile)
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range whole {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 4
		for _, b := range [][]byte{damaged, whole[:i]} {
			if err := os.WriteFile(path, b, 0o644); err != nil {
				t.Fatal(err)
			}
			if got := s.ReadSums(state); got != nil {
				t.Errorf("got %q from a file that is damaged at %d", got, i)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got := s.ReadSums(state); got != nil {
		t.Errorf("got %q from a missing file", got)
	}
	if err := (Store{Dir: path}).WriteSums(state, nil); err == nil {
		t.Error("wrote to a folder that does not exist")
	}
	if entries, err := os.ReadDir(s.Dir); err != nil || len(entries) != 0 {
		t.Errorf("left behind %v, %v", entries, err)
	}
}

// TestReload reloads a state whose file stays the same, is replaced by another process, or is damaged.
func TestReload(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	write := func(generation uint64, change func([]byte)) {
		t.Helper()
		state := oddState()
		state.Generation = generation
		b := encoded(t, state)
		change(b)
		if err := os.WriteFile(s.Path(SlotFile(generation)), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	keep, damage := func([]byte) {}, func(b []byte) { b[len(b)-40]++ }
	write(6, keep)
	write(7, keep)
	last, _, err := s.Load()
	if err != nil {
		t.Fatal(err)
	}
	changes := len(last.History)
	for _, tt := range []struct {
		name       string
		change     func()
		generation uint64
		damaged    int
		same       bool // whether the state is last
	}{
		{"unchanged", func() {}, 7, 0, true},
		{"older state damaged", func() { write(6, damage) }, 7, 1, true},
		{"next generation", func() { write(8, keep) }, 8, 0, false},
		{"next generation damaged", func() { write(8, damage) }, 7, 1, true},
		{"damaged", func() { write(6, keep); write(7, damage) }, 6, 1, false},
		{"gone", func() { os.Remove(s.Path(SlotFile(7))) }, 6, 0, false},
	} {
		tt.change()
		got, damaged, err := s.Reload(last)
		if err != nil || got.Generation != tt.generation || len(damaged) != tt.damaged {
			t.Errorf("%s: got %d damaged files, %v, want generation %d and %d damaged files", tt.name, len(damaged), err, tt.generation, tt.damaged)
			continue
		}
		want, wantDamaged, err := s.Load()
		if err != nil || !reflect.DeepEqual(got, want) || len(wantDamaged) != tt.damaged {
			t.Errorf("%s: got another state than Load, or %d damaged files, %v", tt.name, len(wantDamaged), err)
		}
		if same := &got.Examples[0].Raw[0] == &last.Examples[0].Raw[0]; same != tt.same || got == last {
			t.Errorf("%s: got the embeddings of the last state: %v, want %v", tt.name, same, tt.same)
		}
		got.Examples[0].Label, got.History = "changed", append(got.History, Change{Verb: "add"})
		if last.Examples[0].Label == "changed" || len(last.History) != changes {
			t.Errorf("%s: changing the copy changed the last state", tt.name)
		}
	}
}
