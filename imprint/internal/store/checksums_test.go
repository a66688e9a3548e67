package store

import (
	"hash/crc32"
	"os"
	"testing"
)

// TestLoadComparesCRC damages the older state file. Load must not notice this if and only if the newest
// state has the CRC-32C of the damaged file.
func TestLoadComparesCRC(t *testing.T) {
	s := Store{Dir: t.TempDir()}
	older := oddState()
	older.Generation = 6
	damaged := encoded(t, older)
	intact := older.file.crc
	damaged[len(damaged)-40]++
	if err := os.WriteFile(s.Path(SlotFile(6)), damaged, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name    string
		before  uint32
		damaged int
	}{
		{"the damaged file", crc32.Checksum(damaged, castagnoli()), 0},
		{"the intact file", intact, 1},
		{"unknown", 0, 1},
	} {
		newest := oddState()
		newest.Generation, newest.Before = 7, tt.before
		if err := os.WriteFile(s.Path(SlotFile(7)), encoded(t, newest), 0o644); err != nil {
			t.Fatal(err)
		}
		if got, damaged, err := s.Load(); err != nil || got.Generation != 7 || len(damaged) != tt.damaged {
			t.Errorf("%s: got %d damaged files, %v, want %d", tt.name, len(damaged), err, tt.damaged)
		}
	}
}

func TestNext(t *testing.T) {
	s := oddState()
	was := s.Generation
	encoded(t, s)
	s.Next()
	if s.Generation != was+1 || s.Before == 0 || s.Before != s.file.crc {
		t.Errorf("got generation %d and CRC %x, want %d and %x", s.Generation, s.Before, was+1, s.file.crc)
	}
}
