package crashtest_test

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/imprint/internal/crashtest"
	"github.com/imprintkit/imprint/imprint/internal/store"
)

// TestStates checks which contents of a file named a, which had the content "old", a crash can
// leave behind.
func TestStates(t *testing.T) {
	const none = "none"
	long := strings.Repeat("x", 600)
	write := func(content string) func(store.Disk, string) error {
		return func(d store.Disk, path string) error {
			if err := d.Before("write", path); err != nil {
				return err
			}
			return os.WriteFile(path, []byte(content), 0o644)
		}
	}
	tests := []struct {
		name         string
		change       func(d store.Disk, path string) error
		during       []string // contents before the acknowledgment, on a disk as of ext4
		duringTorn   []string // on a disk as of FAT
		acknowledged []string
	}{
		{"replace", func(d store.Disk, path string) error {
			return d.Replace(store.Replacement{Path: path, Content: []byte("new")})
		},
			[]string{"new", "old"}, []string{"", "new", "none", "old"}, []string{"new"}},
		{"remove", func(d store.Disk, path string) error { return d.Replace(store.Replacement{Path: path}) },
			[]string{none, "old"}, []string{none, "old"}, []string{none}},
		{"write in place", write(long),
			[]string{"", "old", long, long[:512], "old" + strings.Repeat("\x00", 509), strings.Repeat("\x00", 512)}, nil, []string{long, "old"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "a")
			if err := os.WriteFile(path, []byte("old"), 0o644); err != nil {
				t.Fatal(err)
			}
			rec, err := crashtest.NewRecorder(dir)
			if err != nil {
				t.Fatal(err)
			}
			defer rec.Close()
			if err := test.change(store.Disk{Before: rec.Before}, path); err != nil {
				t.Fatal(err)
			}
			if err := rec.Acknowledge(); err != nil {
				t.Fatal(err)
			}
			h, err := rec.History()
			if err != nil {
				t.Fatal(err)
			}
			got := make(map[string]map[string]bool)
			for s := range h.States(0) {
				key := "during"
				if s.Acknowledged == 1 {
					key = "acknowledged"
				} else if s.Torn {
					key = "torn"
				}
				content := none
				if f, ok := s.Files["a"]; ok {
					content = f.Content
				}
				if got[key] == nil {
					got[key] = make(map[string]bool)
				}
				got[key][content] = true
			}
			for key, want := range map[string][]string{"during": test.during, "torn": test.duringTorn, "acknowledged": test.acknowledged} {
				all := slices.Sorted(maps.Keys(got[key]))
				missing := slices.DeleteFunc(slices.Clone(want), func(s string) bool { return got[key][s] })
				exact := test.name != "write in place" // whose other blocks may be torn in more ways
				if len(missing) > 0 || exact && len(all) != len(want) {
					t.Errorf("%s: got contents %.40q, want %.40q", key, all, want)
				}
			}
		})
	}
}
