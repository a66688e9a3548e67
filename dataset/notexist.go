package dataset

import (
	"cmp"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode"
)

// A NotExistError means that a file or folder does not exist. It wraps fs.ErrNotExist.
type NotExistError struct {
	Path string // the path that the caller passed
	// Similar lists the paths of up to three existing files or folders with similar names, the
	// closest first. Open leaves it empty.
	Similar []string
}

// Error says that the path does not exist and suggests the similar paths, if any.
func (e *NotExistError) Error() string {
	text := e.Path + " does not exist"
	if len(e.Similar) > 0 {
		text += "; did you mean " + strings.Join(e.Similar, " or ") + "?"
	}
	return text
}

// Unwrap returns fs.ErrNotExist.
func (e *NotExistError) Unwrap() error { return fs.ErrNotExist }

const (
	maxSimilar  = 3
	maxSiblings = 10000 // maximum number of names to compare in one folder
)

// notExist returns the error for a path that does not exist. It looks for names that are
// similar to the first missing element of the path.
func notExist(path string) *NotExistError {
	e := &NotExistError{Path: path}
	dir, name, rest := filepath.Dir(path), filepath.Base(path), ""
	for !isDir(dir) {
		if dir == filepath.Dir(dir) {
			return e
		}
		rest = filepath.Join(name, rest)
		dir, name = filepath.Dir(dir), filepath.Base(dir)
	}
	for _, sibling := range similarNames(dir, name) {
		found := filepath.Join(dir, sibling)
		if full := filepath.Join(found, rest); exists(full) {
			found = full
		}
		e.Similar = append(e.Similar, found)
	}
	return e
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// similarNames returns up to maxSimilar names in dir that are similar to name, the closest
// first.
func similarNames(dir, name string) []string {
	f, err := os.Open(dir)
	if err != nil {
		return nil
	}
	defer f.Close()
	siblings, _ := f.Readdirnames(maxSiblings)
	// Allow one edit per three letters of the name without its extension, rounded up. Allow at
	// most three edits, and fewer edits than letters.
	letters := len([]rune(strings.TrimSuffix(name, filepath.Ext(name))))
	limit := min((letters+2)/3, letters-1, 3)
	type candidate struct {
		name  string
		edits int
	}
	var found []candidate
	for _, sibling := range siblings {
		if !strings.ContainsFunc(sibling, func(r rune) bool { return !unicode.IsPrint(r) }) && hidden(sibling) == hidden(name) {
			if n := edits(strings.ToLower(name), strings.ToLower(sibling)); n <= limit {
				found = append(found, candidate{sibling, n})
			}
		}
	}
	slices.SortFunc(found, func(a, b candidate) int { return cmp.Or(a.edits-b.edits, cmp.Compare(a.name, b.name)) })
	var names []string
	for _, c := range found[:min(len(found), maxSimilar)] {
		names = append(names, c.name)
	}
	return names
}

// edits returns the minimum number of insertions, deletions, substitutions and swaps of adjacent
// letters that turn a into b (the optimal string alignment distance).
func edits(a, b string) int {
	s, t := []rune(a), []rune(b)
	before, last, row := make([]int, len(t)+1), make([]int, len(t)+1), make([]int, len(t)+1)
	for j := range row {
		row[j] = j
	}
	for i := range s {
		before, last, row = last, row, before
		row[0] = i + 1
		for j := range t {
			substitution := last[j]
			if s[i] != t[j] {
				substitution++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, substitution)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
	}
	return row[len(t)]
}
