package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// arrange puts each flag behind the command that knows it, and all arguments at
// the end, because people write flags anywhere and the flag package stops at the
// first argument. What it lets pass can be parsed.
func arrange(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	type level struct {
		name  string
		flags []cli.Flag
		given []string
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
			deepest.given = append(deepest.given, a)
			continue
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
		at.given = append(at.given, a)
		if !hasValue && takesValue(f) {
			if len(args) == 0 {
				return nil, usagef("%s needs a value", a)
			}
			value, hasValue = args[0], true
			at.given = append(at.given, value)
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

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

func flagNamed(flags []cli.Flag, name string) cli.Flag {
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
			return usagef("--%s %q: it is not a whole number", name, value)
		}
	case *cli.BoolFlag:
		if _, err := strconv.ParseBool(value); err != nil {
			return usagef("--%s=%s: it is neither true nor false", name, value)
		}
	}
	return nil
}

func unknownFlag(flags []cli.Flag, given string) error {
	name, _, _ := strings.Cut(strings.TrimLeft(given, "-"), "=")
	var names []string
	for _, f := range flags {
		names = append(names, f.Names()...)
	}
	if near := nearest(name, names); near != "" {
		return usagef("unknown flag %s, did you mean --%s?", given, near)
	}
	return hinted{usagef("unknown flag %s", given), "put -- before names that begin with a dash; imprint help COMMAND shows the flags"}
}

func unknownCommand(commands []*cli.Command, given string) error {
	var names []string
	for _, c := range commands {
		names = append(names, c.Names()...)
	}
	err := usagef("unknown command %q", given)
	if near := nearest(given, names); near != "" {
		err = usagef("unknown command %q, did you mean %s?", given, near)
	}
	return hinted{err, "imprint --help lists the commands"}
}

// nearest returns the name that given was probably meant to be, or "": one that it
// begins, or one with at most a third of the letters wrong.
func nearest(given string, names []string) string {
	best, least := "", len(given)/3+2
	for _, name := range names {
		if len(name) < 2 || len(given) < 2 {
			continue
		}
		if strings.HasPrefix(name, given) {
			return name
		}
		if n := slips(given, name); n < least {
			best, least = name, n
		}
	}
	return best
}

// slips is how many letters have to be inserted, left out, replaced or swapped
// with their neighbour to turn a into b (optimal string alignment).
func slips(a, b string) int {
	rows := make([][]int, len(a)+1)
	for i := range rows {
		rows[i] = make([]int, len(b)+1)
		for j := range rows[i] {
			if i == 0 || j == 0 {
				rows[i][j] = i + j
				continue
			}
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			rows[i][j] = min(rows[i-1][j]+1, rows[i][j-1]+1, rows[i-1][j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				rows[i][j] = min(rows[i][j], rows[i-2][j-2]+1)
			}
		}
	}
	return rows[len(a)][len(b)]
}
