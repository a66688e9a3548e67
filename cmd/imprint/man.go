package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
)

// These commands print files that packages contain.
const (
	manCommand  = "__man"
	udevCommand = "__udev"
)

// printMan writes the man page imprint(1) in roff's man macros. It uses the text of --help.
func printMan(w io.Writer, app *cli.App, b build) {
	date := ""
	if t, err := time.Parse(time.RFC3339, b.Date); err == nil {
		date = t.UTC().Format(time.DateOnly)
	}
	fmt.Fprintf(w, ".TH IMPRINT 1 %q %q %q\n", date, "imprint "+b.Version, "User Commands")
	fmt.Fprintf(w, ".SH NAME\nimprint \\- %s\n", roff(app.Usage))
	fmt.Fprintf(w, ".SH SYNOPSIS\n.B imprint\n.I COMMAND\n[\\fIOPTIONS\\fR] [\\fIARGUMENTS\\fR]\n")
	fmt.Fprintln(w, ".SH DESCRIPTION")
	manText(w, app.Description)
	manFlags(w, app.Flags)
	fmt.Fprintln(w, ".SH COMMANDS")
	manCommands(w, app.Name, app.Commands)
	fmt.Fprintln(w, ".SH EXIT STATUS")
	for _, s := range exitStatuses {
		fmt.Fprintf(w, ".TP\n%d\n%s\n", s.status, roff(s.meaning))
	}
	fmt.Fprint(w, ".SH FILES\n.TP\n.I .imprint\nthe workspace, with model.tflite and labels.txt\n")
}

func manCommands(w io.Writer, parent string, commands []*cli.Command) {
	for _, cmd := range commands {
		name := parent + " " + cmd.Name
		if len(cmd.Subcommands) > 0 {
			manCommands(w, name, cmd.Subcommands)
			continue
		}
		fmt.Fprintf(w, ".SS %s\n", roff(strings.TrimSpace(name+" [OPTIONS] "+cmd.ArgsUsage)))
		manText(w, cmd.Description)
		manFlags(w, cmd.Flags)
	}
}

// manText writes paragraphs. Indented lines are examples and stay as they are.
func manText(w io.Writer, text string) {
	example := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if indented := strings.HasPrefix(line, "  "); indented != example && line != "" {
			fmt.Fprintln(w, map[bool]string{true: ".PP\n.EX", false: ".EE\n.PP"}[indented])
			example = indented
		}
		if line == "" && !example {
			line = ".PP"
		} else {
			line = roff(line)
		}
		fmt.Fprintln(w, line)
	}
	if example {
		fmt.Fprintln(w, ".EE")
	}
}

// manFlags writes flags under the same titles as --help.
func manFlags(w io.Writer, flags []cli.Flag) {
	for _, group := range groupFlags(flags) {
		fmt.Fprintf(w, ".PP\n.B %s:\n", roff(group.title))
		for _, f := range group.flags {
			fmt.Fprintf(w, ".TP\n.B %s\n%s\n", roff(f.names), roff(f.usage))
		}
	}
}

// roff escapes a line of text.
func roff(s string) string {
	s = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(s)
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		s = `\&` + s
	}
	return s
}
