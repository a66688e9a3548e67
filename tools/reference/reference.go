// Package reference finds the reference files that tests compare with: published models, photos, outputs of the real
// TensorFlow Lite library, and recordings of the real Edge TPU driver. These files are not part of the project.
//
// Call [Path] or [Read] from a test: they skip the test if the file is missing. "make testdata" downloads the public
// files.
package reference

import (
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// Download is the folder into which "make testdata" downloads files, relative to the project's root.
const Download = "testdata/reference"

// Folder returns the folder of the reference files, and false if there is none. It is the first of these:
//
//   - $IMPRINT_REFERENCE, or its older name $IMPRINT_SHARED; a relative path starts at the project's root
//   - the folder "shared" next to the checkout, if it contains models
//   - [Download]
func Folder() (string, bool) {
	for _, name := range []string{"IMPRINT_REFERENCE", "IMPRINT_SHARED"} {
		if dir := os.Getenv(name); filepath.IsAbs(dir) {
			return dir, true
		} else if dir != "" {
			return filepath.Join(root(), dir), true
		}
	}
	if root() == "" {
		return "", false
	}
	if dir := filepath.Join(root(), "..", "shared"); exists(filepath.Join(dir, "models")) {
		return dir, true
	}
	dir := filepath.Join(root(), filepath.FromSlash(Download))
	return dir, exists(dir)
}

// Path returns the path of a reference file or folder, and skips the test if it does not exist. The elements of the
// name are joined; each may contain slashes.
func Path(tb testing.TB, name ...string) string {
	tb.Helper()
	folder, ok := Folder()
	path := filepath.Join(slices.Concat([]string{folder}, name)...)
	if !ok || !exists(path) {
		skip(tb, filepath.Join(name...))
	}
	return path
}

// Read returns the content of a reference file, and skips the test if it does not exist.
func Read(tb testing.TB, name ...string) []byte {
	tb.Helper()
	b, err := os.ReadFile(Path(tb, name...))
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

// Glob returns the paths of the reference files that match a pattern of [filepath.Match], sorted, and skips the test if
// there are none.
func Glob(tb testing.TB, pattern string) []string {
	tb.Helper()
	folder, _ := Folder()
	paths, err := filepath.Glob(filepath.Join(folder, pattern))
	if err != nil {
		tb.Fatal(err)
	}
	if folder == "" || len(paths) == 0 {
		skip(tb, pattern)
	}
	return paths
}

func skip(tb testing.TB, name string) {
	tb.Helper()
	tb.Skipf("no reference file %s: get the reference files with \"make testdata\", or set IMPRINT_REFERENCE to a folder that has them", filepath.ToSlash(name))
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// root returns the project's root folder, or "" for a test that runs outside the checkout. Tests start in the folder of
// their package.
var root = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	if err != nil {
		return ""
	}
	for {
		if exists(filepath.Join(dir, "go.mod")) && exists(filepath.Join(dir, "imprint")) {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		dir = parent
	}
})
