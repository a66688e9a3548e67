package main

import (
	"os"
	"path/filepath"
	"testing"
)

func TestNearest(t *testing.T) {
	for _, test := range []struct {
		given string
		names []string
		want  string
	}{
		{"clasify", []string{"classify", "compile"}, "classify"},
		{"ad", []string{"add"}, "add"},
		{"recieve", []string{"receive", "relieve"}, "receive"},
		{"x", []string{"xy"}, ""},
		{"bogus", []string{"add", "list"}, ""},
		{"fly", []string{"ls", "rm", "list"}, ""},
		{"lst", []string{"ls", "list"}, "ls"},
		{"new", []string{"new.jpg"}, "new.jpg"},
	} {
		if got := nearest(test.given, test.names); got != test.want {
			t.Errorf("nearest(%q, %q) = %q, want %q", test.given, test.names, got, test.want)
		}
	}
}

func TestMissingFile(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"photos/hat/1.jpg", "photos/hat/2.jpg", "new.jpg"} {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for path, want := range map[string]string{
		"photos/hta":         "photos/hta does not exist. Did you mean photos/hat?",
		"photos/hta/":        "photos/hta/ does not exist. Did you mean photos/hat/?",
		"./photso/hat/1.jpg": "./photso/hat/1.jpg does not exist. Did you mean ./photos/hat/1.jpg?",
		"photso/hta":         "photso/hta does not exist",
		"photos/cone/1.jpg":  "photos/cone/1.jpg does not exist",
		"nwe.jpg":            "nwe.jpg does not exist. Did you mean new.jpg?",
		"something":          "something does not exist",
		"/nowhere/at/all":    "/nowhere/at/all does not exist",
	} {
		err := mustExist("new.jpg", path)
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
	}
	if err := mustExist("photos", "photos/hat/2.jpg"); err != nil {
		t.Errorf("existing files: %v", err)
	}
}

func TestTypo(t *testing.T) {
	for _, test := range []struct {
		a, b string
		want bool
	}{
		{"hatt", "hat", true}, {"hats", "hat", true}, {"ht", "hat", false}, {"aht", "hat", true}, {"shoes", "shoee", true}, {"Grünfläche", "Grunfläche", true},
		{"cat", "hat", false}, {"left", "lift", false}, {"cone1", "cone2", false}, {"class 1", "class 10", false}, {"pants", "shoes", false}, {"a", "ab", false},
	} {
		if got := typo(test.a, test.b); got != test.want {
			t.Errorf("typo(%q, %q) = %v", test.a, test.b, got)
		}
	}
}

func TestShellQuote(t *testing.T) {
	for word, want := range map[string]string{"hat": "hat", "photos/a-b_c.jpg": "photos/a-b_c.jpg", "hot dog": "'hot dog'", "it's": `'it'\''s'`, "": "''", "$(x)": "'$(x)'", "café": "café"} {
		if got := shellQuote(word); got != want {
			t.Errorf("shellQuote(%q) = %s, want %s", word, got, want)
		}
	}
}
