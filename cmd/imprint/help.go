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

// exitStatuses lists the program's exit statuses and their meanings.
var exitStatuses = []struct {
	status  int
	meaning string
}{
	{0, "success"}, {1, "failure"}, {2, "usage error"}, {3, "device error"}, {4, "damaged file or wrong kind of file"}, {130, "interrupted"},
}

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
	lines = append(lines, "",
		"Options may appear anywhere on the line. Arguments after -- are never options,",
		"even if they begin with a dash. A photo named - is read from standard input.", "")
	var statuses []string
	for _, s := range exitStatuses {
		statuses = append(statuses, fmt.Sprintf("%d %s", s.status, s.meaning))
	}
	lines = append(lines, wrap("Exit status: "+strings.Join(statuses, ", ")+".", helpWidth)...)
	return append(lines, "", "imprint COMMAND --help shows the examples and options of a command.")
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

// A flagText is a flag as shown in the help and in the man page.
type flagText struct {
	names string // with a placeholder for the value
	usage string // with its default and environment variables
}

// A flagGroup contains the flags of one category.
type flagGroup struct {
	title string
	flags []flagText
}

// groupFlags groups flags by category: everyday flags first, then the other categories in the
// order in which they appear, and the advanced flags last.
func groupFlags(flags []cli.Flag) []flagGroup {
	groups := []flagGroup{{title: "Options"}}
	for _, f := range flags {
		d, ok := f.(cli.DocGenerationFlag)
		if !ok {
			continue
		}
		title := "Options"
		if c, ok := f.(cli.CategorizableFlag); ok && f != cli.HelpFlag && c.GetCategory() != "" {
			title = c.GetCategory()
		}
		i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.title == title })
		if i < 0 {
			i, groups = len(groups), append(groups, flagGroup{title: title})
		}
		groups[i].flags = append(groups[i].flags, describeFlag(d))
	}
	if i := slices.IndexFunc(groups, func(g flagGroup) bool { return g.title == advanced }); i >= 0 {
		last := groups[i]
		groups = append(slices.Delete(groups, i, i+1), last)
	}
	return slices.DeleteFunc(groups, func(g flagGroup) bool { return len(g.flags) == 0 })
}

func describeFlag(f cli.DocGenerationFlag) flagText {
	usage, placeholder := splitUsage(f.GetUsage())
	var names []string
	for _, name := range f.(cli.Flag).Names() {
		if len(name) == 1 {
			names = append([]string{"-" + name}, names...)
		} else {
			names = append(names, "--"+name)
		}
	}
	text := flagText{strings.Join(names, ", "), usage}
	if f.TakesValue() {
		text.names += " " + placeholder
	}
	if d := defaultText(f); d != "" {
		text.usage += " (default: " + d + ")"
	}
	if env := f.GetEnvVars(); len(env) > 0 {
		text.usage += " [$" + strings.Join(env, ", $") + "]"
	}
	return text
}

// flagHelp lists flags by category.
func flagHelp(flags []cli.Flag) []string {
	var lines []string
	for _, g := range groupFlags(flags) {
		lines = append(lines, "", g.title+":")
		for _, f := range g.flags {
			left := "   " + f.names
			for _, part := range wrap(f.usage, helpWidth-helpColumn) {
				if utf8.RuneCountInString(left) > helpColumn-2 {
					lines = append(lines, left)
					left = ""
				}
				lines = append(lines, left+strings.Repeat(" ", helpColumn-utf8.RuneCountInString(left))+part)
				left = ""
			}
		}
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
