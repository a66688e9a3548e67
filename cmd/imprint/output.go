package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/urfave/cli/v2"
)

// output is the standard output. It keeps the first write error, so that imprint never exits with
// status 0 if a result was lost.
type output struct {
	w   io.Writer
	err error
}

func (o *output) Write(p []byte) (int, error) {
	if o.err != nil {
		return 0, o.err
	}
	n, err := o.w.Write(p)
	o.err = err
	return n, err
}

// outputFlags returns the flags that select how much a command prints.
func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "verbose", Aliases: []string{"v"}, Usage: "print the details too", DefaultText: "no"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "print nothing but errors", DefaultText: "no"},
	}
}

// checkOutputFlags returns an error if both --verbose and --quiet are given.
func checkOutputFlags(c *cli.Context) error {
	if verbose(c) && quiet(c) {
		return usagef("use --verbose or --quiet, not both")
	}
	return nil
}

func verbose(c *cli.Context) bool { return given(c, "verbose") }
func quiet(c *cli.Context) bool   { return given(c, "quiet") }
func asJSON(c *cli.Context) bool  { return given(c, "json") }

// given reports whether a boolean flag is set before or after the command's name.
func given(c *cli.Context, name string) bool {
	for _, l := range c.Lineage() {
		if l.IsSet(name) {
			return l.Bool(name)
		}
	}
	return false
}

// say prints lines to standard output, unless --quiet is given.
func say(c *cli.Context, lines ...string) {
	if !quiet(c) {
		printLines(c.App.Writer, lines)
	}
}

// detail prints lines to standard output if --verbose is given.
func detail(c *cli.Context, lines ...string) {
	if verbose(c) {
		say(c, lines...)
	}
}

// note prints lines to standard error, unless --quiet is given.
func note(c *cli.Context, lines ...string) {
	for _, line := range lines {
		switch {
		case quiet(c):
		case asJSON(c):
			printJSON(c.App.ErrWriter, warningObject{line})
		default:
			fmt.Fprintf(c.App.ErrWriter, "imprint: %s\n", printable(line))
		}
	}
}

func warn(c *cli.Context, format string, a ...any) {
	text := fmt.Sprintf(format, a...)
	if !asJSON(c) {
		text = "warning: " + text
	}
	note(c, text)
}

// With --json, each line of standard error is one of these objects.
type (
	errorObject struct {
		Error string `json:"error"`
		Hint  string `json:"hint"` // "" without a hint
		Code  int    `json:"code"` // the exit status
	}
	warningObject struct {
		Warning string `json:"warning"`
	}
)

func printLines(w io.Writer, lines []string) {
	for _, line := range lines {
		fmt.Fprintln(w, printable(line))
	}
}

// printable escapes control characters: file names may contain them, and terminals interpret them.
func printable(line string) string {
	control := func(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\t' }
	if !strings.ContainsFunc(line, control) {
		return line
	}
	var b strings.Builder
	for _, r := range line {
		if control(r) {
			fmt.Fprintf(&b, "\\x%02x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func printJSON(w io.Writer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// reportError prints err and its hint. command is the path of the command, such as "models pull",
// or "".
func reportError(w io.Writer, err error, command string, json bool) {
	if err == nil || errors.Is(err, errReported) {
		return
	}
	if json {
		printJSON(w, errorObject{err.Error(), hint(err, command), exitStatus(err)})
		return
	}
	fmt.Fprintf(w, "imprint: error: %s\n", printable(err.Error()))
	if h := hint(err, command); h != "" {
		fmt.Fprintf(w, "imprint: hint: %s\n", h)
	}
}

// progress returns functions that show a count on the terminal and clear it. With --quiet, or if
// standard error is not a terminal, show is nil and clear does nothing.
func progress(c *cli.Context, what string) (show func(done, total int), clear func()) {
	f, ok := c.App.ErrWriter.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok || quiet(c) {
		return nil, func() {}
	}
	show = func(done, total int) { fmt.Fprintf(f, "\r%s %d/%d", what, done, total) }
	return show, func() { fmt.Fprint(f, "\r\x1b[K") }
}
