package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/imprintkit/imprint/classifier"
	"github.com/imprintkit/imprint/dataset"
	"github.com/imprintkit/imprint/imprint"
)

const defaultWorkspace = ".imprint"

// workspaceFlags are understood before and after the command's name.
func workspaceFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "workspace", Usage: "keep what is learned in `DIR` (default: " + defaultWorkspace + ")", EnvVars: []string{"IMPRINT_WORKSPACE"}},
		&cli.StringFlag{Name: "backbone", Usage: "embed photos with this model: `FILE`, or the NAME of a pulled one (default: the workspace's; for a new one the only .tflite file here, or the only one pulled)", EnvVars: []string{"IMPRINT_BACKBONE"}},
		&cli.StringFlag{Name: "embedding", Usage: "take `TENSOR` (name or index) of the backbone as the embedding (default: found)"},
		&cli.IntFlag{Name: "threads", Usage: "use at most `N` cores (default: all)"},
	}
}

// withWorkspace adds the workspace's flags to a command's own.
func withWorkspace(own ...cli.Flag) []cli.Flag { return append(own, workspaceFlags()...) }

func fitFlag() cli.Flag {
	return &cli.StringFlag{Name: "fit", Usage: "how photos are fitted to the model: crop (central 87.5 % square), squash or pad; `WAY` is fixed once photos are taught (default: crop)"}
}

func layoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "layout", Usage: "write the last layer as `LAYOUT`: float, or coral for pycoral's ImprintingEngine (default: the workspace's, or float)"}
}

func keepFlag() cli.Flag {
	return &cli.BoolFlag{Name: "keep-classes", Usage: "keep the backbone's own classes before the taught ones (default: the workspace's, or no)"}
}

func jsonFlag(what string) cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print " + what + " as JSON (default: as text)"}
}

// text returns a string flag given after the command's name, or before it.
func text(c *cli.Context, name string) string {
	for _, l := range c.Lineage() {
		if l.IsSet(name) {
			return l.String(name)
		}
	}
	return ""
}

func threads(c *cli.Context) (int, error) {
	for _, l := range c.Lineage() {
		if l.IsSet("threads") {
			if n := l.Int("threads"); n < 1 || n > 1024 {
				return 0, usagef("--threads %d: it must be 1 to 1024", n)
			} else {
				return n, nil
			}
		}
	}
	return 0, nil
}

func workspace(c *cli.Context) string {
	if dir := text(c, "workspace"); dir != "" {
		return dir
	}
	return defaultWorkspace
}

// open opens the workspace that the flags name and makes good what a killed
// process left undone.
func open(c *cli.Context, existing bool) (*imprint.Kit, error) {
	n, err := threads(c)
	if err != nil {
		return nil, err
	}
	o := imprint.Options{Backbone: text(c, "backbone"), Embedding: text(c, "embedding"), Threads: n, Existing: existing}
	if o.Fit, err = fit(c); err != nil {
		return nil, err
	}
	if l := c.String("layout"); l != "" {
		if o.Layout, err = classifier.ParseLayout(l); err != nil {
			return nil, usageError{err}
		}
	}
	if c.IsSet("keep-classes") {
		keep := c.Bool("keep-classes")
		o.KeepClasses = &keep
	}
	k, err := imprint.Open(workspace(c), o)
	if err != nil {
		return nil, err
	}
	for _, w := range k.Warnings() {
		fmt.Fprintf(c.App.ErrWriter, "imprint: warning: %s\n", w)
	}
	return k, nil
}

func fit(c *cli.Context) (dataset.Fit, error) {
	if c.String("fit") == "" {
		return "", nil
	}
	f, err := dataset.ParseFit(c.String("fit"))
	if err != nil {
		return "", usageError{err}
	}
	return f, nil
}

// items finds the photos that the arguments and --list name; "-" is the standard
// input.
func items(c *cli.Context, label string) ([]dataset.Item, error) {
	var found []dataset.Item
	if list := c.String("list"); list != "" {
		f, err := os.Open(list)
		if err != nil {
			return nil, fmt.Errorf("read the list of photos: %w", err)
		}
		defer f.Close()
		listed, err := dataset.ReadList(f, "")
		if err != nil {
			return nil, fmt.Errorf("read the list of photos %s: %w", list, err)
		}
		found = append(found, listed...)
	}
	var paths []string
	for _, arg := range c.Args().Slice() {
		if arg != "-" {
			paths = append(paths, arg)
			continue
		}
		got, err := dataset.ReadStdin(c.App.Reader, "", dataset.DefaultLimits())
		if err != nil {
			return nil, err
		}
		found = append(found, got...)
	}
	for i := range found {
		if found[i].Label == "" {
			found[i].Label = label
		}
		if found[i].Label == "" && c.Command.Name == "add" {
			return nil, fmt.Errorf("photo %s: %w", found[i].Path, dataset.ErrNoLabel)
		}
	}
	walked, skipped, err := dataset.Walk(paths, label)
	if err != nil {
		return nil, err
	}
	for _, s := range skipped {
		fmt.Fprintf(c.App.ErrWriter, "imprint: skipped %s: %v\n", s.Path, s.Err)
	}
	return append(found, walked...), nil
}

// progress shows how far a count has come, on a terminal only.
func progress(w io.Writer, what string) func(done, total int) {
	f, ok := w.(*os.File)
	if !ok {
		return nil
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil
	}
	return func(done, total int) {
		end := ""
		if done == total {
			end = "\r\x1b[K"
		}
		fmt.Fprintf(f, "\r%s %d/%d%s", what, done, total, end)
	}
}

// numbers reads a list like 1,5,20.
func numbers(flag, list string) ([]int, error) {
	var v []int
	for _, s := range strings.Split(list, ",") {
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < 1 {
			return nil, usagef("--%s %q: %q is not a number of 1 or more", flag, list, s)
		}
		v = append(v, n)
	}
	return v, nil
}

// flagsFirst moves flags before arguments, for each command, because people write
// them in any order and the flag package stops at the first argument.
func flagsFirst(app *cli.App, args []string) []string {
	if len(args) == 0 {
		return args
	}
	out := args[:1:1]
	flags, commands := app.Flags, app.Commands
	var moved, rest []string
	for i := 1; i < len(args); i++ {
		a := args[i]
		switch {
		case a == "--":
			rest = append(rest, args[i:]...)
			i = len(args)
		case len(a) > 1 && a[0] == '-':
			moved = append(moved, a)
			if takesValue(flags, a) && i+1 < len(args) {
				i++
				moved = append(moved, args[i])
			}
		default:
			if cmd := named(commands, a); cmd != nil && len(rest) == 0 {
				out = append(append(out, moved...), a)
				moved, flags, commands = nil, cmd.Flags, cmd.Subcommands
				continue
			}
			commands = nil
			rest = append(rest, a)
		}
	}
	return append(append(out, moved...), rest...)
}

func named(commands []*cli.Command, name string) *cli.Command {
	for _, c := range commands {
		if c.HasName(name) {
			return c
		}
	}
	return nil
}

// takesValue reports whether the argument after flag a belongs to it.
func takesValue(flags []cli.Flag, a string) bool {
	if strings.Contains(a, "=") {
		return false
	}
	name := strings.TrimLeft(a, "-")
	for _, f := range flags {
		for _, n := range f.Names() {
			if n == name {
				_, isBool := f.(*cli.BoolFlag)
				return !isBool
			}
		}
	}
	return false
}
