package dataset

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// in returns items with paths relative to dir.
func in(t *testing.T, dir string, items []Item) []Item {
	t.Helper()
	var out []Item
	for _, item := range items {
		path, err := filepath.Rel(dir, item.Path)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, Item{Path: filepath.ToSlash(path), Label: item.Label})
	}
	return out
}

func TestWalk(t *testing.T) {
	x := []byte("x")
	dir := write(t, map[string][]byte{
		"set/cat/b.jpg": x, "set/cat/a.PNG": x, "set/cat/notes.txt": x, "set/cat/.hidden.jpg": x,
		"set/cat/more/c.webp": x, "set/cat/.git/d.jpg": x,
		"set/dog/1.heic": x, "set/dog/2.jpeg": x,
		"set/.cache/e.jpg": x, "set/readme.md": x, "set/Ape/z.bmp": x,
		"flat/f.gif": x, "flat/cat/g.jpg": x, "odd/photo": x,
	})
	tests := []struct {
		name, label string
		paths       []string
		want        []Item
	}{
		{"labelled folders", "", []string{"set"}, []Item{
			{Path: "set/Ape/z.bmp", Label: "Ape"},
			{Path: "set/cat/a.PNG", Label: "cat"}, {Path: "set/cat/b.jpg", Label: "cat"}, {Path: "set/cat/more/c.webp", Label: "cat"},
			{Path: "set/dog/1.heic", Label: "dog"}, {Path: "set/dog/2.jpeg", Label: "dog"},
		}},
		{"one label", "pet", []string{"flat", "set/dog"}, []Item{
			{Path: "flat/cat/g.jpg", Label: "pet"}, {Path: "flat/f.gif", Label: "pet"}, {Path: "set/dog/1.heic", Label: "pet"}, {Path: "set/dog/2.jpeg", Label: "pet"},
		}},
		{"files as paths", "it", []string{"odd/photo", "set/cat/.hidden.jpg"}, []Item{
			{Path: "odd/photo", Label: "it"}, {Path: "set/cat/.hidden.jpg", Label: "it"},
		}},
		{"no photos", "it", []string{"odd"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var paths []string
			for _, p := range tt.paths {
				paths = append(paths, filepath.Join(dir, p))
			}
			items, skipped, err := Walk(paths, tt.label)
			if err != nil || len(skipped) != 0 {
				t.Fatalf("got skipped %v, error %v, want none", skipped, err)
			}
			if got := in(t, dir, items); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got  %v\nwant %v", got, tt.want)
			}
		})
	}

	for name, path := range map[string]string{"file": "odd/photo", "photos directly": "flat"} {
		items, _, err := Walk([]string{filepath.Join(dir, path)}, "")
		if !errors.Is(err, ErrNoLabel) || items != nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: got %v, %v, want ErrNoLabel and %s", name, items, err, path)
		}
	}
	if _, _, err := Walk([]string{filepath.Join(dir, "absent")}, "x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent folder: got %v, want ErrNotExist", err)
	}
}

// TestWalkNoExtension finds photos by their first bytes.
func TestWalkNoExtension(t *testing.T) {
	heic := []byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic")
	dir := write(t, map[string][]byte{
		"set/hat/photo": asPNG(t, corners(8, 6)), "set/hat/LICENSE": []byte("A text."), "set/hat/empty": nil,
		"set/hat/phone": heic, "set/hat/.hidden": asPNG(t, corners(8, 6)), "flat/photo": asJPEG(t, corners(8, 6)),
	})
	items, skipped, err := Walk([]string{filepath.Join(dir, "set")}, "")
	if err != nil || len(skipped) != 0 {
		t.Fatalf("got skipped %v, error %v, want none", skipped, err)
	}
	if got, want := in(t, dir, items), []Item{{Path: "set/hat/phone", Label: "hat"}, {Path: "set/hat/photo", Label: "hat"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, _, err := Walk([]string{filepath.Join(dir, "flat")}, ""); !errors.Is(err, ErrNoLabel) {
		t.Errorf("a photo directly in a folder: got %v, want ErrNoLabel", err)
	}
}

func TestWalkSymlinks(t *testing.T) {
	dir := write(t, map[string][]byte{"set/cat/a.jpg": nil, "other/dog/b.jpg": nil})
	for name, target := range map[string]string{
		"set/cat/link.jpg": "../../other/dog/b.jpg", "set/dog": "../other/dog", "set/cat/loop": "..", "all": "set", "one": "set/cat/a.jpg",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Skipf("no symbolic links here: %v", err)
		}
	}
	items, skipped, err := Walk([]string{filepath.Join(dir, "all")}, "")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := in(t, dir, items), []Item{{Path: "all/cat/a.jpg", Label: "cat"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	var names []string
	for _, s := range skipped {
		names = append(names, filepath.Base(s.Path))
		if !errors.Is(s.Err, errSymlink) {
			t.Errorf("%s: %v", s.Path, s.Err)
		}
	}
	if want := []string{"link.jpg", "dog"}; !reflect.DeepEqual(names, want) {
		t.Errorf("skipped %v, want %v", names, want)
	}
	items, _, err = Walk([]string{filepath.Join(dir, "one")}, "x")
	if err != nil || len(items) != 1 {
		t.Errorf("a link as a path: got %v, %v", items, err)
	}
}
