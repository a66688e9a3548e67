package main

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone/builtin"
	"github.com/imprintkit/imprint/backbone/models"
	"github.com/imprintkit/imprint/imprint"
	"github.com/imprintkit/imprint/imprint/modelfile"
)

// didYouMean returns a question with the name that the user probably meant, or "" if no name is
// similar to given.
func didYouMean(given string, names []string) string {
	if near := nearest(given, names); near != "" {
		return "Did you mean " + near + "?"
	}
	return ""
}

// sentence appends a question to an error text, unless question is "".
func sentence(text, question string) string {
	if question == "" {
		return text
	}
	return text + ". " + question
}

func unknownFlag(flags []cli.Flag, given string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(given, "-"), "=")
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	if near := nearest(name, names); near != "" {
		return usagef("unknown flag %s. Did you mean --%s?", given, near)
	}
	return hinted{usagef("unknown flag %s", given), "put -- before names that begin with a dash; imprint help COMMAND shows the flags"}
}

func unknownCommand(commands []*cli.Command, given string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.Names()...)
	}
	return hinted{usagef("%s", sentence(fmt.Sprintf("unknown command %q", given), didYouMean(given, names))), "imprint --help lists the commands"}
}

// missingFile means that a file named by the user does not exist.
type missingFile struct{ path string }

func (e missingFile) Error() string {
	if near := nearestPath(e.path); near != "" {
		return fmt.Sprintf("%s does not exist. Did you mean %s?", e.path, near)
	}
	return e.path + " does not exist"
}

func (e missingFile) Unwrap() error { return fs.ErrNotExist }

// mustExist returns a missingFile error for the first of paths that does not exist.
func mustExist(paths ...string) error {
	for _, path := range paths {
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return missingFile{path}
		}
	}
	return nil
}

// nearestPath returns the existing path that the user probably meant, or "". It replaces the first
// part of path that does not exist with a similar name.
func nearestPath(path string) string {
	folder, rest := "", path
	for rest != "" {
		i := strings.Index(rest+"/", "/") + 1
		name := rest[:min(i, len(rest))]
		rest = rest[len(name):]
		if mustExist(folder+name) == nil {
			folder += name
			continue
		}
		near := nearest(strings.TrimSuffix(name, "/"), namesIn(folder))
		if near == "" {
			return ""
		}
		if strings.HasSuffix(name, "/") {
			near += "/"
		}
		if near = folder + near + rest; mustExist(near) != nil {
			return ""
		}
		return near
	}
	return ""
}

// namesIn returns the names of the files in a folder; "" is the current folder.
func namesIn(folder string) []string {
	entries, err := os.ReadDir(cmp.Or(folder, "."))
	if err != nil {
		return nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// mustBeModel returns an error if name is neither a file, nor a known model, nor "".
func mustBeModel(name string) error {
	if name == "" || name == builtin.Name {
		return nil
	}
	if strings.Contains(name, "/") {
		return mustExist(name)
	}
	if _, err := modelfile.Locate(name); !errors.Is(err, models.ErrUnknown) {
		return nil // opening the model reports any other error
	}
	names := namesIn("")
	for _, m := range models.List() {
		names = append(names, m.Name)
	}
	text := sentence(fmt.Sprintf("%q is neither a file nor a known model", name), didYouMean(name, names))
	hint := "see imprint models list"
	switch name {
	case autoBackbone, allBackbones:
		hint = "imprint add and imprint retrain take --backbone auto, and imprint eval DIR takes --backbone all; imprint models list shows names"
	case "built-in", "builtin":
		hint = "the built-in backbone is called " + builtin.Name
	}
	return hinted{errors.New(text), hint}
}

// unknownLabel adds the most similar label as a hint to the error that the workspace has no such
// label.
func unknownLabel(err error, given string, classes []imprint.Class) error {
	if !errors.Is(err, imprint.ErrUnknownLabel) {
		return err
	}
	var labels []string
	for _, class := range classes {
		labels = append(labels, class.Label)
	}
	if near := nearest(given, labels); near != "" {
		return hinted{err, fmt.Sprintf("did you mean %q? imprint list shows the classes", near)}
	}
	return err
}

// otherCase adds a hint to the error that a label differs from an existing one only in case.
func otherCase(err error, given string, classes []imprint.Class) error {
	if !errors.Is(err, imprint.ErrLabel) {
		return err
	}
	for _, class := range classes {
		if class.Label != given && strings.EqualFold(class.Label, given) {
			return hinted{err, fmt.Sprintf("use %s; to change it: imprint rename %[1]s %s", shellQuote(class.Label), shellQuote(given))}
		}
	}
	return err
}

// typo reports whether label a is probably a misspelling of b, or b of a. They must differ only in
// case, by one extra letter, by two swapped neighbors or, in longer labels, by one letter. Labels
// that differ only in leading or trailing digits are not typos.
func typo(a, b string) bool {
	digits := func(r rune) bool { return unicode.IsDigit(r) }
	if strings.TrimFunc(a, digits) == strings.TrimFunc(b, digits) {
		return false
	}
	a, b = strings.ToLower(a), strings.ToLower(b)
	n := min(len([]rune(a)), len([]rune(b)))
	if n < 3 || edits(a, b) > 1 {
		return a == b
	}
	return len([]rune(a)) != len([]rune(b)) || n > 4 || sorted(a) == sorted(b)
}

// sorted returns the letters of a word in alphabetical order.
func sorted(word string) string {
	letters := []rune(word)
	slices.Sort(letters)
	return string(letters)
}

// shellQuote quotes a word for a shell if it needs that.
func shellQuote(word string) string {
	safe := func(r rune) bool {
		return unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("_-./,:+@%", r)
	}
	if word != "" && !strings.ContainsFunc(word, func(r rune) bool { return !safe(r) }) {
		return word
	}
	return "'" + strings.ReplaceAll(plain(word), "'", `'\''`) + "'"
}

// nearest returns the first name that begins with given, or else the most similar one, or "" if
// more than about a third of the letters differ.
func nearest(given string, names []string) string {
	best, least := "", max(len(given)/3, 1)+1
	for _, name := range names {
		if len(name) < 2 || len(given) < 2 {
			continue
		}
		if strings.HasPrefix(name, given) {
			return name
		}
		if n := edits(given, name); n < least {
			best, least = name, n
		}
	}
	return best
}

// edits counts the letters that must be inserted, deleted, replaced or swapped with
// their neighbor to turn first into second (optimal string alignment distance).
func edits(first, second string) int {
	a, b := []rune(first), []rune(second)
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			replaced := 1
			if a[i-1] == b[j-1] {
				replaced = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+replaced)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
