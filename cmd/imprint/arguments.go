package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// oldNames maps former names of flags to their current names. The former names still work, but help
// and completion don't show them.
var oldNames = map[string]string{
	"fit":      "resize",
	"template": "compiled",
	"twin":     "uncompiled",
	"shots":    "support",
	"draws":    "episodes",
}

// A level is the program, a command or a subcommand, with the flags given to it on the command
// line.
type level struct {
	name  string
	flags []cli.Flag
	given []string
}

// arrange rewrites the command line for the parser of app: each flag follows the command that
// defines it, and all arguments come last. People write flags anywhere, but package flag stops at
// the first argument. arrange also replaces former names of flags with their current names.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	levels := []*level{{name: args[0], flags: app.Flags}}
	commands, rest := app.Commands, []string(nil)
	seen := make(map[cli.Flag]bool)
	for args := args[1:]; len(args) > 0; {
		a := args[0]
		args = args[1:]
		if a == "--" {
			rest = append(rest, args...)
			break
		}
		deepest := levels[len(levels)-1]
		if len(a) < 2 || a[0] != '-' {
			if cmd := named(commands, a); cmd != nil && len(rest) == 0 {
				levels = append(levels, &level{name: a, flags: cmd.Flags})
				commands = cmd.Subcommands
			} else {
				rest = append(rest, a)
			}
			continue
		}
		name, value, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		if name == "help" || name == "h" {
			// Anything else on the line would count as a topic.
			var path []string
			for _, l := range levels {
				path = append(path, l.name)
			}
			return append(path, "--help"), nil
		}
		at := deepest
		f := flagNamed(deepest.flags, name)
		if f == nil {
			at = levels[0]
			f = flagNamed(app.Flags, name)
		}
		if f == nil {
			return nil, unknownFlag(append(slices.Clone(deepest.flags), app.Flags...), a)
		}
		if !hasValue && takesValue(f) {
			if len(args) == 0 {
				return nil, usagef("%s needs a value", a)
			}
			value, hasValue = args[0], true
			args = args[1:]
		}
		if hasValue {
			if err := checkValue(f, name, value); err != nil {
				return nil, err
			}
		}
		if seen[f] && !isSlice(f) {
			return nil, usagef("--%s is given twice", f.Names()[0])
		}
		seen[f] = true
		at.give(f, value, hasValue)
	}
	var out []string
	for _, l := range levels {
		out = append(append(out, l.name), l.given...)
	}
	if len(rest) > 0 {
		out = append(append(out, "--"), rest...)
	}
	return out, nil
}

// give appends a flag, with its value if it has one, to the level's flags.
func (l *level) give(f cli.Flag, value string, hasValue bool) {
	flag := "--" + f.Names()[0]
	if hasValue {
		flag += "=" + value
	}
	l.given = append(l.given, flag)
}

// wantsJSON reports whether --json is among args, even if they can't be parsed.
func wantsJSON(args []string) bool {
	for _, a := range args {
		switch a {
		case "--":
			return false
		case "--json", "-json", "--json=true", "--json=1":
			return true
		}
	}
	return false
}

// commandPath returns the names of the commands in args, such as "models pull", or ""
// if there are none.
func commandPath(app *cli.App, args []string) string {
	var path []string
	commands := app.Commands
	for _, a := range args[min(1, len(args)):] {
		if cmd := named(commands, a); cmd != nil {
			path = append(path, cmd.Name)
			commands = cmd.Subcommands
		}
	}
	return strings.Join(path, " ")
}

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// flagNamed returns the flag with the given current or former name, or nil.
func flagNamed(flags []cli.Flag, name string) cli.Flag {
	if now, ok := oldNames[name]; ok {
		name = now
	}
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

func takesValue(f cli.Flag) bool {
	_, isBool := f.(*cli.BoolFlag)
	return !isBool
}

func isSlice(f cli.Flag) bool {
	s, ok := f.(cli.DocGenerationSliceFlag)
	return ok && s.IsSliceFlag()
}

func checkValue(f cli.Flag, name, value string) error {
	switch f.(type) {
	case *cli.IntFlag, *cli.IntSliceFlag:
		if _, err := strconv.Atoi(value); err != nil {
			return usagef("--%s %q is not a whole number", name, value)
		}
	case *cli.Float64Flag:
		if _, err := strconv.ParseFloat(value, 64); err != nil {
			return usagef("--%s %q is not a number", name, value)
		}
	case *cli.BoolFlag:
		if _, err := strconv.ParseBool(value); err != nil {
			return usagef("--%s=%s is neither true nor false", name, value)
		}
	}
	return nil
}

// needArgs returns a usage error unless the number of arguments is between least and most. A
// negative most means no limit.
func needArgs(c *cli.Context, least, most int) error {
	n := c.NArg()
	switch {
	case n < least:
		return usagef("%s needs %s", c.Command.Name, c.Command.ArgsUsage)
	case most == 0 && n > 0:
		return usagef("%s takes no arguments, but got %q", c.Command.Name, c.Args().First())
	case most > 0 && n > most:
		return usagef("%s takes %s, but also got %q", c.Command.Name, c.Command.ArgsUsage, c.Args().Get(most))
	}
	return nil
}

// numbers parses the value of a flag as a list of positive numbers, such as "1,5,20".
func numbers(flag, list string) ([]int, error) {
	var v []int
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, usagef("--%s %q: %q is not a positive whole number", flag, list, s)
		}
		v = append(v, n)
	}
	return v, nil
}
