package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/backbone"
	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/tpu"
)

// printed runs the command and returns its output.
func printed(t *testing.T, args ...string) string {
	t.Helper()
	var stdout, stderr bytes.Buffer
	usb := func() (tpu.Bus, error) { return nil, tpu.ErrNoUSB }
	if status := run(t.Context(), append([]string{"imprint"}, args...), strings.NewReader(""), &stdout, &stderr, usb); status != 0 {
		t.Fatalf("imprint %s: status %d: %s", strings.Join(args, " "), status, &stderr)
	}
	return stdout.String()
}

// eachCommand calls f with each command and its path, such as "models", "pull".
func eachCommand(f func(path []string, cmd *cli.Command)) {
	var walk func(path []string, commands []*cli.Command)
	walk = func(path []string, commands []*cli.Command) {
		for _, cmd := range commands {
			path := append(slices.Clone(path), cmd.Name)
			f(path, cmd)
			walk(path, cmd.Subcommands)
		}
	}
	walk(nil, newApp(strings.NewReader(""), io.Discard, io.Discard).Commands)
}

func TestHelpIsNarrow(t *testing.T) {
	check := func(path ...string) {
		limit := helpWidth
		if len(path) > 0 && path[0] == "serve" { // has long examples
			limit = 100
		}
		for _, line := range strings.Split(printed(t, append(path, "--help")...), "\n") {
			if n := utf8.RuneCountInString(line); n > limit {
				t.Errorf("%s --help: %d characters in %q", strings.Join(path, " "), n, line)
			}
		}
	}
	check()
	eachCommand(func(path []string, _ *cli.Command) { check(path...) })
}

// TestHelpOfCommands checks that each command's help begins with one sentence and examples, and
// that imprint --help has one line for each command.
func TestHelpOfCommands(t *testing.T) {
	app := printed(t, "--help")
	eachCommand(func(path []string, cmd *cli.Command) {
		name := strings.Join(path, " ")
		if len(path) == 1 && !strings.Contains(app, "\n   "+name+strings.Repeat(" ", 12-len(name))+cmd.Usage+"\n") {
			t.Errorf("imprint --help has no line for %s", name)
		}
		help := printed(t, append(slices.Clone(path), "--help")...)
		first, rest, _ := strings.Cut(help, "\n\n")
		if cmd.Name != "serve" && (!strings.HasSuffix(first, ".") || strings.Contains(first, ". ")) {
			t.Errorf("%s --help does not begin with one sentence: %q", name, first)
		}
		if name == "help" { // imprint help --help prints the program's help
			return
		}
		if example, usage := strings.Index(rest, "Example"), strings.Index(rest, "Usage: imprint "+name); example < 0 || usage < example {
			t.Errorf("%s --help: no examples before the usage", name)
		}
		if cmd.Category == "" && len(path) == 1 {
			t.Errorf("%s is in no group", name)
		}
	})
}

func TestHelpNamesEachFlagOnce(t *testing.T) {
	eachCommand(func(path []string, cmd *cli.Command) {
		name := strings.Join(path, " ")
		help := printed(t, append(slices.Clone(path), "--help")...)
		_, options, _ := strings.Cut(help, "\nOptions:\n")
		for _, f := range cmd.Flags {
			flag := "--" + f.Names()[0]
			if n := strings.Count(options, "   "+flag+" ") + strings.Count(options, ", "+flag+" "); n != 1 {
				t.Errorf("%s --help lists %s %d times, want once", name, flag, n)
			}
			d := f.(cli.DocGenerationFlag)
			if d.GetDefaultText() == "" && d.GetValue() == "" {
				t.Errorf("%s %s has no default text", name, flag)
			}
			lines := describeFlag(d).usage
			want := 0
			if text := defaultText(d); text != "" {
				want = 1
			}
			if n := strings.Count(lines, "(default: "); n != want {
				t.Errorf("%s %s: got %d defaults in %q, want %d", name, flag, n, lines, want)
			}
		}
	})
}

// TestEverydayFlags checks that flags about devices and models are under Advanced, and that the
// descriptions of the other flags contain no jargon.
func TestEverydayFlags(t *testing.T) {
	expert := []string{"device", "clock", "threads", "arithmetic", "backbone", "embedding", "embeddings", "head", "layout", "keep-classes"}
	jargon := []string{"embedding", "tensor", "layout", "last layer", "backbone", "quantiz", "float", "logit"}
	eachCommand(func(path []string, cmd *cli.Command) {
		name := strings.Join(path, " ")
		for _, f := range cmd.Flags {
			flag, category := f.Names()[0], f.(cli.CategorizableFlag).GetCategory()
			if slices.Contains(expert, flag) && category != advanced {
				t.Errorf("%s --%s is not under %s", name, flag, advanced)
			}
			if category == advanced || name == "run" { // run is about tensors
				continue
			}
			for _, word := range jargon {
				if usage := f.(cli.DocGenerationFlag).GetUsage(); strings.Contains(usage, word) {
					t.Errorf("the text of %s --%s has the jargon %q: %s", name, flag, word, usage)
				}
			}
		}
	})
}

// TestOldFlagNames checks that former names of flags are replaced with their current names.
func TestOldFlagNames(t *testing.T) {
	app := newApp(strings.NewReader(""), io.Discard, io.Discard)
	for _, test := range []struct{ given, want string }{
		{"add --fit pad x", "add --resize=pad -- x"},
		{"add --fit=pad x", "add --resize=pad -- x"},
		{"eval -shots 1,2 --draws 3 set", "eval --support=1,2 --episodes=3 -- set"},
		{"compile m --template a --twin=b -o c", "compile --compiled=a --uncompiled=b --output=c -- m"},
		{"inspect --twin b m", "inspect --uncompiled=b -- m"},
		{"classify --twin b m", "classify --uncompiled=b -- m"},
	} {
		got, err := arrange(app, append([]string{"imprint"}, strings.Fields(test.given)...))
		if err != nil {
			t.Errorf("%s: %v", test.given, err)
			continue
		}
		if line := strings.Join(got[1:], " "); line != test.want {
			t.Errorf("%s: got %q, want %q", test.given, line, test.want)
		}
	}
	if _, err := arrange(app, []string{"imprint", "add", "--fit", "pad", "--resize", "crop"}); err == nil {
		t.Error("got no error for a flag given under its old and its new name")
	}
	eachCommand(func(path []string, cmd *cli.Command) {
		for _, f := range cmd.Flags {
			for old := range oldNames {
				if slices.Contains(f.Names(), old) {
					t.Errorf("%s still has a flag --%s", strings.Join(path, " "), old)
				}
			}
		}
	})
}

// TestFlagsOfAllCommands checks that every command takes -v and -q, that it takes --json unless it
// prints text for people or shells, and that docs/scripting.md describes its JSON.
func TestFlagsOfAllCommands(t *testing.T) {
	contract, err := os.ReadFile(filepath.Join("..", "..", "docs", "scripting.md"))
	if err != nil {
		t.Fatal(err)
	}
	eachCommand(func(path []string, cmd *cli.Command) {
		name := strings.Join(path, " ")
		for _, flag := range []string{"-v", "-q"} {
			printed(t, append(slices.Clone(path), flag, "--help")...)
		}
		switch json := flagNamed(cmd.Flags, "json") != nil; {
		case name == "help", name == "completion", name == "models", name == "detector": // models is models list, and detector prints help
		case !json:
			t.Errorf("%s has no --json", name)
		case !strings.Contains(string(contract), "| `imprint "+name+"` |"):
			t.Errorf("docs/scripting.md does not describe the JSON of %s", name)
		}
	})
}

// TestChoices checks that help and completion list exactly the values that are accepted.
func TestChoices(t *testing.T) {
	for _, test := range []struct {
		flag  cli.Flag
		parse func(string) error
	}{
		{headFlag(), func(s string) error { _, err := classifier.ParseMethod(s); return err }},
		{layoutFlag(), func(s string) error { _, err := classifier.ParseLayout(s); return err }},
		{resizeFlag(), func(s string) error { _, err := dataset.ParseResize(s); return err }},
		{deviceFlags()[2], func(s string) error { _, err := tpu.ParseClock(s); return err }},
		{deviceFlags()[3], func(s string) error { _, err := backbone.ParseArithmetic(s); return err }},
	} {
		name := test.flag.Names()[0]
		offered := values(test.flag, "", "")
		_, refused, _ := strings.Cut(test.parse("nonsense").Error(), `"nonsense"`)
		words := strings.FieldsFunc(refused, func(r rune) bool { return strings.ContainsRune(" ,:", r) })
		for _, word := range words { // the error lists the accepted values
			if test.parse(word) == nil && !slices.ContainsFunc(offered, func(c choice) bool { return c.value == word }) {
				t.Errorf("--%s %s is accepted but not listed", name, word)
			}
		}
		for _, c := range offered {
			if err := test.parse(c.value); err != nil {
				t.Errorf("--%s %s is listed but refused: %v", name, c.value, err)
			}
			if usage := test.flag.(cli.DocGenerationFlag).GetUsage(); !strings.Contains(usage, c.value) {
				t.Errorf("--%s: the help does not name %s", name, c.value)
			}
		}
		if name == "head" && len(offered) != len(classifier.Methods()) {
			t.Errorf("got %d heads, want %d", len(offered), len(classifier.Methods()))
		}
	}
}
