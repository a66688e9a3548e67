package dataset

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestNotExist(t *testing.T) {
	dir := write(t, map[string][]byte{
		"photos/hat/1.jpg": nil, "photos/pants/1.jpg": nil, "photos/shoes/1.jpg": nil, "photos/.hta/1.jpg": nil,
		"photos/ha\x1bt/1.jpg": nil, "photos/a/1.jpg": nil, "photos/hat.txt": nil,
	})
	t.Chdir(dir)
	for path, want := range map[string]string{
		"photos/hta":         "photos/hta does not exist; did you mean photos/hat?",
		"photos/Hat":         "photos/Hat does not exist; did you mean photos/hat?",
		"photos/shoe/":       "photos/shoe/ does not exist; did you mean photos/shoes?",
		"photos/b":           "photos/b does not exist", // no edit is allowed in a name of one letter
		"photos/umbrella":    "photos/umbrella does not exist",
		"photo/hat":          "photo/hat does not exist; did you mean photos/hat?",
		"photo/hat/9.jpg":    "photo/hat/9.jpg does not exist; did you mean photos?",
		"photos/hta/1.jpg":   "photos/hta/1.jpg does not exist; did you mean photos/hat/1.jpg?",
		"photos/hat/01.jpg":  "photos/hat/01.jpg does not exist; did you mean photos/hat/1.jpg?",
		"photos/hat/11.jpeg": "photos/hat/11.jpeg does not exist", // would be two edits in a name of two letters
		"photos/hat.tx":      "photos/hat.tx does not exist; did you mean photos/hat.txt?",
	} {
		if path == "photos/Hat" && exists(path) {
			continue // the file system ignores case
		}
		_, _, err := Walk([]string{path}, "x")
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %q, want %q", path, err, want)
		}
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v does not wrap fs.ErrNotExist", path, err)
		}
	}
	var e *NotExistError
	if _, err := OpenTub("photo"); !errors.As(err, &e) || e.Path != "photo" || !slices.Equal(e.Similar, []string{"photos"}) {
		t.Errorf("OpenTub: got %v, want a NotExistError that suggests photos", err)
	}
	if _, err := ReadFile("photos/hat/2.jpg", DefaultLimits()); !errors.As(err, &e) || err.Error() != "photos/hat/2.jpg does not exist" {
		t.Errorf("ReadFile: got %v, want a NotExistError", err)
	}
}

// TestNotExistMany checks that the error suggests the three closest of many similar names.
func TestNotExistMany(t *testing.T) {
	files := map[string][]byte{}
	for _, name := range []string{"IMG_1005.jpg", "IMG_1055.jpg", "IMG_1002.jpg", "IMG_1001.jpg", "IMG_10033.jpg"} {
		files[name] = nil
	}
	dir := write(t, files)
	err := notExist(filepath.Join(dir, "IMG_1003.jpg"))
	want := "IMG_1001.jpg or IMG_1002.jpg or IMG_10033.jpg?"
	if got := strings.ReplaceAll(err.Error(), dir+string(os.PathSeparator), ""); !strings.HasSuffix(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestEdits(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"hat", "hat", 0}, {"hta", "hat", 1}, {"hat", "chat", 1}, {"hats", "hat", 1},
		{"hut", "hat", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}, {"größe", "grösse", 2},
	} {
		if got := edits(tt.a, tt.b); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.a, tt.b, got, tt.want)
		}
		if got := edits(tt.b, tt.a); got != tt.want {
			t.Errorf("edits(%q, %q) = %d, want %d", tt.b, tt.a, got, tt.want)
		}
	}
}
