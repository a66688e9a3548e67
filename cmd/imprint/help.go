package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"
)

const (
	helpWidth  = 80 // the width of wrapped lines, in characters
	helpColumn = 26 // the column of the text next to the flags
	// advanced is the category of the flags that most people never need.
	advanced = "Advanced"
)

func init() {
	// The templates of package cli sort flags by name and never wrap lines.
	cli.HelpPrinter = func(w io.Writer, _ string, data any) {
		switch d := data.(type) {
		case *cli.App:
			printLines(w, appHelp(d))
		case *cli.Command:
			printLines(w, commandHelp(d))
		}
	}
}

func helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show help for a command",
		ArgsUsage: "[COMMAND …]",
		Description: `Show help for imprint or one of its commands.

Examples:
   imprint help
   imprint help add
   imprint help models pull`,
		Action: func(c *cli.Context) error {
			commands := c.App.Commands
			for _, name := range c.Args().Slice() {
				cmd := named(commands, name)
				if cmd == nil {
					return unknownCommand(commands, name)
				}
				commands = cmd.Subcommands
			}
			args := append([]string{c.App.Name}, c.Args().Slice()...)
			return c.App.RunContext(c.Context, append(args, "--help"))
		},
	}
}

// appHelp returns the program's help: examples, commands by group, and flags.
func appHelp(app *cli.App) []string {
	lines := strings.Split(app.Description, "\n")
	lines = append(lines, "", "Usage: imprint COMMAND [OPTIONS] [ARGUMENTS]")
	group := ""
	for _, cmd := range app.Commands {
		if cmd.Category != group {
			group = cmd.Category
			lines = append(lines, "", group+":")
		}
		lines = append(lines, fmt.Sprintf("   %-12s%s", cmd.Name, cmd.Usage))
	}
	lines = append(lines, flagHelp(app.Flags)...)
	return append(lines, "",
		"Options may appear anywhere on the line. Arguments after -- are never options,",
		"even if they begin with a dash. A photo named - is read from standard input.", "",
		"Exit status: 0 success, 1 failure, 2 usage error, 3 device error,",
		"4 damaged file or wrong kind of file, 130 interrupted.", "",
		"imprint COMMAND --help shows the examples and options of a command.")
}

// commandHelp returns the help for one command.
func commandHelp(cmd *cli.Command) []string {
	usage := "Usage: " + cmd.HelpName
	if len(cmd.Subcommands) > 0 {
		usage += " COMMAND"
	}
	usage += " [OPTIONS]"
	if cmd.ArgsUsage != "" {
		usage += " " + cmd.ArgsUsage
	}
	lines := append(strings.Split(cmd.Description, "\n"), "", usage)
	if len(cmd.Subcommands) > 0 {
		lines = append(lines, "", "Commands:")
		for _, sub := range cmd.Subcommands {
			lines = append(lines, fmt.Sprintf("   %-12s%s", sub.Name, sub.Usage))
		}
	}
	return append(lines, flagHelp(cmd.Flags)...)
}

// flagHelp lists flags by category: first those without one, then the categories in order of
// appearance, with the advanced flags last.
func flagHelp(flags []cli.Flag) []string {
	categories := []string{""}
	byCategory := make(map[string][]string)
	for _, f := range flags {
		category := ""
		if c, ok := f.(cli.CategorizableFlag); ok && f != cli.HelpFlag {
			category = c.GetCategory()
		}
		if !slices.Contains(categories, category) {
			categories = append(categories, category)
		}
		byCategory[category] = append(byCategory[category], oneFlagHelp(f)...)
	}
	if i := slices.Index(categories, advanced); i >= 0 {
		categories = append(slices.Delete(categories, i, i+1), advanced)
	}
	var lines []string
	for _, category := range categories {
		if len(byCategory[category]) == 0 {
			continue
		}
		title := "Options"
		if category != "" {
			title = category
		}
		lines = append(append(lines, "", title+":"), byCategory[category]...)
	}
	return lines
}

// oneFlagHelp returns the help lines for a flag: its names, placeholder, text and default.
func oneFlagHelp(f cli.Flag) []string {
	d, ok := f.(cli.DocGenerationFlag)
	if !ok {
		return nil
	}
	usage, placeholder := splitUsage(d.GetUsage())
	var names []string
	for _, name := range f.Names() {
		if len(name) == 1 {
			names = append([]string{"-" + name}, names...)
		} else {
			names = append(names, "--"+name)
		}
	}
	left := "   " + strings.Join(names, ", ")
	if d.TakesValue() {
		left += " " + placeholder
	}
	if text := defaultText(d); text != "" {
		usage += " (default: " + text + ")"
	}
	if env := d.GetEnvVars(); len(env) > 0 {
		usage += " [$" + strings.Join(env, ", $") + "]"
	}
	var lines []string
	for _, part := range wrap(usage, helpWidth-helpColumn) {
		if utf8.RuneCountInString(left) > helpColumn-2 {
			lines = append(lines, left)
			left = ""
		}
		lines = append(lines, left+strings.Repeat(" ", helpColumn-utf8.RuneCountInString(left))+part)
		left = ""
	}
	return lines
}

// splitUsage returns a usage text without its backquotes, and the placeholder that they enclosed.
func splitUsage(usage string) (text, placeholder string) {
	before, rest, ok := strings.Cut(usage, "`")
	if !ok {
		return usage, "VALUE"
	}
	placeholder, after, _ := strings.Cut(rest, "`")
	return before + placeholder + after, placeholder
}

// defaultText returns the default to show for a flag, or "" if it is obvious.
func defaultText(f cli.DocGenerationFlag) string {
	text := f.GetDefaultText()
	if text == "" && f.TakesValue() {
		text = f.GetValue()
	}
	if text == "no" || text == "none" || text == "false" {
		return ""
	}
	return strings.Trim(text, `"`)
}

// wrap breaks text between words into lines of at most width characters; a longer word gets its own
// line.
func wrap(text string, width int) []string {
	var lines []string
	line := ""
	for _, word := range strings.Fields(text) {
		if line != "" && utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimSpace(line + " " + word)
	}
	return append(lines, line)
}
