package main

import (
	"bytes"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"github.com/urfave/cli/v2"
)

// TestMan checks that the man page has every command and flag of the program, and only macros
// that man knows.
func TestMan(t *testing.T) {
	page := printed(t, manCommand)
	app := newApp(strings.NewReader(""), &bytes.Buffer{}, &bytes.Buffer{})
	sections := make(map[string]string) // by the command's name
	parts := strings.Split(page, "\n.SS ")
	for _, part := range parts[1:] {
		title, body, _ := strings.Cut(part, "\n")
		name, _, _ := strings.Cut(strings.ReplaceAll(title, `\-`, "-"), " [")
		sections[strings.TrimPrefix(name, "imprint ")] = body
	}
	hasFlags := func(name, section string, flags []cli.Flag) {
		for _, f := range flags {
			if want := roff("--" + f.Names()[0]); !strings.Contains(section, want) {
				t.Errorf("%s: the flag %s is missing", name, f.Names()[0])
			}
		}
	}
	hasFlags("imprint", parts[0], app.Flags)
	eachCommand(func(path []string, cmd *cli.Command) {
		if len(cmd.Subcommands) > 0 {
			return
		}
		name := strings.Join(path, " ")
		section, ok := sections[name]
		if !ok {
			t.Errorf("the man page has no section for %s", name)
		}
		hasFlags(name, section, cmd.Flags)
		delete(sections, name)
	})
	for name := range sections {
		t.Errorf("the man page describes %q, which is not a command", name)
	}
	for _, line := range regexp.MustCompile(`(?m)^[.'].*$`).FindAllString(page, -1) {
		if !regexp.MustCompile(`^\.(TH|SH|SS|TP|PP|B|I|EX|EE)\b`).MatchString(line) {
			t.Errorf("the man page has the macro line %q", line)
		}
	}
	for _, want := range []string{"\n.SH EXIT STATUS\n.TP\n0\nsuccess\n", "\n.EX\n   imprint add ./photos "} {
		if !strings.Contains(page, want) {
			t.Errorf("the man page lacks %q", want)
		}
	}

	if _, err := exec.LookPath("groff"); err != nil {
		return
	}
	groff := exec.Command("groff", "-man", "-Tutf8", "-Kutf8", "-ww", "-z")
	groff.Stdin = strings.NewReader(page)
	if out, err := groff.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("groff: %v: %s", err, out)
	}
}
