package dataset

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

// relative returns items with paths relative to dir.
func relative(t *testing.T, dir string, items []Item) []Item {
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
		{"labeled folders", "", []string{"set"}, []Item{
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
			if got := relative(t, dir, items); !reflect.DeepEqual(got, tt.want) {
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

func symlink(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Skipf("cannot make a symbolic link: %v", err)
	}
}

// TestWalkSkipsSystemFolders checks that folders that computers make are neither classes nor parts of
// one.
func TestWalkSkipsSystemFolders(t *testing.T) {
	x := []byte("x")
	dir := write(t, map[string][]byte{"set/cat/a.jpg": x, "set/cat/@eaDir/a.jpg": x, "set/__MACOSX/cat/b.jpg": x, "set/dog/c.jpg": x})
	set := filepath.Join(dir, "set")
	items, skipped, err := Walk([]string{set}, "")
	want := []Item{{Path: "set/cat/a.jpg", Label: "cat"}, {Path: "set/dog/c.jpg", Label: "dog"}}
	if got := relative(t, dir, items); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if len(skipped) != 2 || skipped[0].Path != filepath.Join(set, "__MACOSX") || skipped[1].Path != filepath.Join(set, "cat", "@eaDir") {
		t.Errorf("got skipped %v, want __MACOSX and @eaDir", skipped)
	}
	if names, err := Subfolders(t.Context(), set); err != nil || !reflect.DeepEqual(names, []string{"cat", "dog"}) {
		t.Errorf("Subfolders: got %q, %v, want cat and dog", names, err)
	}
}

func TestWalkSymlinks(t *testing.T) {
	dir := write(t, map[string][]byte{"set/cat/a.jpg": nil, "other/dog/b.jpg": nil, "other/dog/deep/c.jpg": nil})
	for name, target := range map[string]string{
		"set/cat/link.jpg": "../../other/dog/b.jpg", "set/cat/gone.jpg": "nowhere.jpg", "set/cat/gone": "nowhere", "set/cat/loop": "..", "set/cat/self": "self",
		"set/dog": "../other/dog", "other/dog/deep/up": "..", "other/dog/again": "deep", "all": "set", "one": "set/cat/a.jpg",
	} {
		symlink(t, target, filepath.Join(dir, name))
	}
	items, skipped, err := Walk([]string{filepath.Join(dir, "all")}, "")
	if err != nil {
		t.Fatal(err)
	}
	want := []Item{{Path: "all/cat/a.jpg", Label: "cat"}, {Path: "all/cat/link.jpg", Label: "cat"}, {Path: "all/dog/again/c.jpg", Label: "dog"}, {Path: "all/dog/b.jpg", Label: "dog"}}
	if got := relative(t, dir, items); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	reasons := make(map[string]error)
	for _, s := range skipped {
		reasons[filepath.Base(s.Path)] = s.Err
	}
	if want := map[string]error{"gone.jpg": errBrokenLink, "loop": errLinkUp}; !reflect.DeepEqual(reasons, want) {
		t.Errorf("got skipped %v, want %v", reasons, want)
	}
	items, _, err = Walk([]string{filepath.Join(dir, "one")}, "x")
	if err != nil || len(items) != 1 {
		t.Errorf("a link as a path: got %v, error %v, want one item", items, err)
	}
}

func TestWalkLabelsAreNormalized(t *testing.T) {
	composed, decomposed := "caf\u00e9", "cafe\u0301"
	dir := write(t, map[string][]byte{composed + "/a.jpg": nil, decomposed + "/b.jpg": nil})
	items, _, err := Walk([]string{dir}, "")
	if err != nil || len(items) == 0 {
		t.Fatal(items, err)
	}
	single, _, err := Walk([]string{dir}, decomposed)
	if err != nil {
		t.Fatal(err)
	}
	for _, item := range append(items, single...) {
		if item.Label != composed {
			t.Errorf("%q has the label %q, want %q", item.Path, item.Label, composed)
		}
	}
}

// TestWalkNoExtension checks that Walk finds photos without an extension by their first bytes.
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
	if got, want := relative(t, dir, items), []Item{{Path: "set/hat/phone", Label: "hat"}, {Path: "set/hat/photo", Label: "hat"}}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if _, _, err := Walk([]string{filepath.Join(dir, "flat")}, ""); !errors.Is(err, ErrNoLabel) {
		t.Errorf("a photo directly in a folder: got %v, want ErrNoLabel", err)
	}
}

func TestSubfolders(t *testing.T) {
	dir := write(t, map[string][]byte{"hat/a.jpg": nil, "shoes/deep/b.jpg": nil, "notes/c.txt": nil, ".git/d.jpg": nil, "e.jpg": nil})
	symlink(t, "shoes", filepath.Join(dir, "boots"))
	got, err := Subfolders(t.Context(), dir)
	if want := []string{"boots", "hat", "shoes"}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
}

// TestWalkContext checks that an interrupted search ends with an error, not with part of the photos.
func TestWalkContext(t *testing.T) {
	dir := write(t, map[string][]byte{"hat/a.jpg": nil})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, label := range []string{"", "hat"} {
		if items, _, err := WalkContext(ctx, []string{dir}, label); !errors.Is(err, context.Canceled) || items != nil {
			t.Errorf("label %q: got %v, error %v, want %v", label, items, err, context.Canceled)
		}
	}
	if names, err := Subfolders(ctx, dir); !errors.Is(err, context.Canceled) {
		t.Errorf("got subfolders %q, error %v, want %v", names, err, context.Canceled)
	}
}
