package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	linkTarget = regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	goFile     = regexp.MustCompile("`([a-z0-9_/.-]+\\.go)`")
)

// TestDocumentPaths checks that every file that a document links to exists, and every Go file that
// it names.
func TestDocumentPaths(t *testing.T) {
	root := filepath.Join("..", "..")
	var documents []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && (d.Name() == ".git" || d.Name() == "reference") {
			return fs.SkipDir
		}
		if strings.HasSuffix(path, ".md") {
			documents = append(documents, path)
		}
		return err
	})
	if err != nil || len(documents) < 10 {
		t.Fatalf("%d documents, %v", len(documents), err)
	}
	for _, document := range documents {
		b, err := os.ReadFile(document)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range linkTarget.FindAllStringSubmatch(string(b), -1) {
			if strings.Contains(m[1], ":") { // a URL
				continue
			}
			if _, err := os.Stat(filepath.Join(filepath.Dir(document), m[1])); err != nil {
				t.Errorf("%s links to %s, which does not exist", document, m[1])
			}
		}
		for _, m := range goFile.FindAllStringSubmatch(string(b), -1) {
			if !strings.Contains(m[1], "/") { // the folder of a bare name is clear only from its context
				continue
			}
			if _, err := os.Stat(filepath.Join(root, m[1])); err != nil {
				t.Errorf("%s names %s, which does not exist", document, m[1])
			}
		}
	}
}
