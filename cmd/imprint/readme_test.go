package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/imprintkit/imprint/tools/race"
)

// These tests run the transcripts in documents and compare the output with the text.
//
// A transcript is a block, indented by four spaces or fenced by ```, whose first line begins with
// "$ imprint". In README.md, the tests run only the blocks that follow a line
//
//	<!-- transcript -->
//
// with only blank lines in between. Lines that begin with "$ " are commands for sh and may continue
// on the next line after a backslash. The lines below a command are its exact output, standard
// output and standard error together, except for times: "62 ms" and "0.4 s" count as equal.
// Commands may fail.
//
// All transcripts of a document run in order in one new folder, which is also their $HOME and
// contains their cache. It contains photos that tools/photos renders with the commands in
// README.md: 20 of each of four classes and one more of each, the same on every computer:
//
//	photos/arrow/01.jpg … photos/arrow/20.jpg, and the same for ball, box and cone
//	new/arrow/01.jpg, and the same for ball, box and cone
//
// testdata/transcript.md is a small example of such a document.

const transcriptMarker = "<!-- transcript -->"

// A transcript is a block of commands and their output in a document.
type transcript struct {
	line   int // number of its first line in the document
	marked bool
	steps  []step
}

// A step is a command and its output.
type step struct {
	command, output string
}

func TestReadme(t *testing.T) {
	skipWithRaceDetector(t)
	document, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	all := slices.DeleteFunc(transcripts(string(document)), func(tr transcript) bool { return !tr.marked })
	if len(all) == 0 {
		t.Fatal("README.md has no transcript")
	}
	dir := photoFolder(t)
	runTranscripts(t, dir, all)
	testProgram(t, dir, document)
}

func skipWithRaceDetector(t *testing.T) {
	if race.Enabled {
		t.Skip("the scripts run the same commands")
	}
}

// testProgram builds and runs the Go program in README.md and compares its output with the text.
func testProgram(t *testing.T, dir string, document []byte) {
	t.Helper()
	program := regexp.MustCompile("(?s)```go\n(package main.*?)```\n\nIt prints `(.*?)`").FindSubmatch(document)
	if program == nil {
		t.Fatal("README.md has no Go program followed by its output")
	}
	source, built := filepath.Join(dir, "main.go"), filepath.Join(dir, "program")
	if err := os.WriteFile(source, program[1], 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", built, source).CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	if got, want := printedBy(t, dir, built), string(program[2])+"\n"; got != want {
		t.Errorf("the program printed %q, want %q", got, want)
	}
}

func TestTranscripts(t *testing.T) {
	skipWithRaceDetector(t)
	document, err := os.ReadFile("testdata/transcript.md")
	if err != nil {
		t.Fatal(err)
	}
	all := transcripts(string(document))
	if len(all) != 3 {
		t.Fatalf("got %d transcripts, want 3: %+v", len(all), all)
	}
	for i, marked := range []bool{true, true, false} {
		if all[i].marked != marked {
			t.Errorf("line %d: got marked %v, want %v", all[i].line, all[i].marked, marked)
		}
	}
	runTranscripts(t, photoFolder(t), all)
}

// runTranscripts runs transcripts in dir, which has the photos.
func runTranscripts(t *testing.T, dir string, all []transcript) {
	t.Helper()
	for _, tr := range all {
		for _, s := range tr.steps {
			got := printedBy(t, dir, s.command)
			if withoutTimes(got) != withoutTimes(s.output) {
				t.Errorf("line %d: $ %s\ngot\n%swant\n%s", tr.line, s.command, got, s.output)
			}
		}
	}
}

// photoFolder returns a new folder with the photos that transcripts use.
func photoFolder(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	render := func(to string, n, seed int) {
		out, err := exec.Command("go", "run", "../../tools/photos", "-out", filepath.Join(dir, to), "-n", fmt.Sprint(n), "-seed", fmt.Sprint(seed)).CombinedOutput()
		if err != nil {
			t.Fatalf("render photos: %v\n%s", err, out)
		}
	}
	render("photos", 20, 1)
	render("new", 1, 2)
	return dir
}

// printedBy runs a command line in dir and returns its output. TestMain adds imprint to $PATH.
func printedBy(t *testing.T, dir, command string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "sh", "-c", command)
	cmd.Dir = dir
	for _, v := range os.Environ() {
		if !strings.HasPrefix(v, "IMPRINT_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	cmd.Env = append(cmd.Env, "HOME="+dir, "XDG_CACHE_HOME="+filepath.Join(dir, ".cache"))
	out, err := cmd.CombinedOutput()
	if _, exited := err.(*exec.ExitError); err != nil && !exited {
		t.Fatalf("$ %s: %v", command, err)
	}
	return string(out)
}

var times = regexp.MustCompile(`\b\d+(\.\d+)? (µs|ms|s)\b`)

func withoutTimes(text string) string { return times.ReplaceAllString(text, "TIME") }

// transcripts returns the transcripts in a document.
func transcripts(document string) []transcript {
	var found []transcript
	lines := strings.Split(document, "\n")
	marked := false
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		var block []string
		first := i
		switch {
		case strings.HasPrefix(line, "```"):
			for i++; i < len(lines) && !strings.HasPrefix(lines[i], "```"); i++ {
				block = append(block, lines[i])
			}
			first++
		case strings.HasPrefix(line, "    "):
			for ; i < len(lines) && strings.HasPrefix(lines[i], "    "); i++ {
				block = append(block, lines[i][4:])
			}
			i--
		}
		if len(block) > 0 && strings.HasPrefix(block[0], "$ imprint") {
			found = append(found, transcript{first + 1, marked, steps(block)})
		}
		if strings.TrimSpace(line) != "" {
			marked = strings.TrimSpace(line) == transcriptMarker
		}
	}
	return found
}

// steps divides a transcript into commands with their output.
func steps(block []string) []step {
	var all []step
	for i := 0; i < len(block); i++ {
		command, ok := strings.CutPrefix(block[i], "$ ")
		if !ok {
			all[len(all)-1].output += block[i] + "\n"
			continue
		}
		for strings.HasSuffix(command, `\`) && i+1 < len(block) {
			i++
			command += "\n" + block[i]
		}
		all = append(all, step{command: command})
	}
	return all
}

func TestTranscriptParts(t *testing.T) {
	got := transcripts("text\n\n    $ imprint a \\\n      b\n    one\n\n    $ ls\n\n<!-- transcript -->\n\n```sh\n$ imprint c\n$ imprint d\ntwo\n\nthree\n```\n\n    $ imprint e\n")
	want := []transcript{
		{3, false, []step{{"imprint a \\\n  b", "one\n"}}},
		{12, true, []step{{"imprint c", ""}, {"imprint d", "two\n\nthree\n"}}},
		{19, false, []step{{"imprint e", ""}}},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if a, b := withoutTimes("added 20 photos in 0.4 s"), withoutTimes("added 20 photos in 62 ms"); a != b {
		t.Errorf("%q and %q differ, but only in their times", a, b)
	}
	if a, b := withoutTimes("added 20 photos in 0.4 s"), withoutTimes("added 21 photos in 0.4 s"); a == b {
		t.Errorf("both are %q", a)
	}
}
