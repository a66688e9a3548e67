package main

import (
	"context"
	"fmt"
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
		&cli.StringFlag{Name: "workspace", Usage: "keep what is learned in `DIR`", DefaultText: defaultWorkspace},
		&cli.StringFlag{Name: "backbone", Usage: "embed photos with this model: `FILE`, or the NAME of a pulled one", DefaultText: "the workspace's; for a new one that in the program"},
		&cli.StringFlag{Name: "embedding", Usage: "take `TENSOR` (name or index) of the backbone as the embedding", DefaultText: "found"},
		&cli.IntFlag{Name: "threads", Usage: "use at most `N` cores", DefaultText: "all"},
	}
}

// withWorkspace adds the workspace's flags to a command's own.
func withWorkspace(own ...cli.Flag) []cli.Flag { return append(own, workspaceFlags()...) }

// withDevices adds those of the devices besides.
func withDevices(own ...cli.Flag) []cli.Flag { return withWorkspace(append(own, deviceFlags()...)...) }

func labelFlag(usage, otherwise string) cli.Flag {
	return &cli.StringFlag{Name: "label", Aliases: []string{"l"}, Usage: usage, DefaultText: otherwise}
}

func listFlag() cli.Flag {
	return &cli.StringFlag{Name: "list", Usage: "read paths of photos, one a line, with a label after a tab or comma, from `FILE`; - is the standard input", DefaultText: "none"}
}

func fitFlag() cli.Flag {
	return &cli.StringFlag{Name: "fit", Usage: "fit photos to the model by `WAY`: crop (central 87.5 % square), squash or pad; it is fixed once photos are taught", DefaultText: "the workspace's or the model's, or crop"}
}

// chosenFitFlag is fitFlag where photos can decide.
func chosenFitFlag() cli.Flag {
	f := fitFlag().(*cli.StringFlag)
	f.Usage = strings.Replace(f.Usage, "or pad;", "pad, or auto: squash if photos left out are clearly likelier so, else crop;", 1)
	return f
}

func layoutFlag() cli.Flag {
	return &cli.StringFlag{Name: "layout", Usage: "write the last layer as `LAYOUT`: float, coral for pycoral's ImprintingEngine, or tpu, into a compiled model", DefaultText: "the workspace's, or float"}
}

func templateFlag() cli.Flag {
	return &cli.StringFlag{Name: "template", Usage: "for the layout tpu, write the last layer into this compiled model, `FILE` or NAME; needs --twin", DefaultText: "the workspace's"}
}

func twinFlag() cli.Flag {
	return &cli.StringFlag{Name: "twin", Usage: "the model that --template was compiled from, `FILE` or NAME", DefaultText: "the workspace's"}
}

func headFlag() cli.Flag {
	return &cli.StringFlag{Name: "head", Usage: "make the last layer by `METHOD`: auto, mean (imprinting), ridge, lda, softmax (logistic regression), or coral-sgd, the baseline", DefaultText: "the workspace's, or auto"}
}

func keepFlag() cli.Flag {
	return &cli.BoolFlag{Name: "keep-classes", Usage: "keep the backbone's own classes before the taught ones", DefaultText: "the workspace's, or no"}
}

func jsonFlag(what string) cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print " + what + " as JSON", DefaultText: "as text"}
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

// workspaceOptions are the workspace that the flags name, and how to open it.
func workspaceOptions(c *cli.Context) (dir string, o imprint.Options, err error) {
	if o.Threads, err = threads(c); err != nil {
		return "", o, err
	}
	dir = workspace(c)
	if info, err := os.Stat(dir); err == nil && !info.IsDir() {
		return "", o, hinted{fmt.Errorf("open workspace %s: it is not a folder", dir), "name a folder, or one that is to be made, with --workspace DIR"}
	}
	o.Backbone, o.Embedding = text(c, "backbone"), text(c, "embedding")
	if o.Resize, err = fit(c); err != nil {
		return "", o, err
	}
	if o.Compiled, o.Uncompiled = c.String("template"), c.String("twin"); o.Compiled != "" && o.Uncompiled == "" {
		return "", o, usagef("--template needs --twin, the model that it was compiled from")
	}
	if o.Devices, err = devices(c); err != nil {
		return "", o, err
	}
	if o.Arithmetic, err = arithmetic(c); err != nil {
		return "", o, err
	}
	if l := c.String("layout"); l != "" {
		if o.Layout, err = classifier.ParseLayout(l); err != nil {
			return "", o, usageError{err}
		}
	}
	if h := c.String("head"); h != "" {
		if o.Head, err = classifier.ParseMethod(h); err != nil {
			return "", o, usageError{err}
		}
	}
	if err := unknownRate(c, &o); err != nil {
		return "", o, err
	}
	if c.IsSet("keep-classes") {
		keep := c.Bool("keep-classes")
		o.KeepClasses = &keep
	}
	return dir, o, nil
}

// open opens the workspace that the flags name and makes good what a killed
// process left undone.
func open(c *cli.Context, existing bool) (*imprint.Workspace, error) {
	dir, o, err := workspaceOptions(c)
	if err != nil {
		return nil, err
	}
	o.Existing = existing
	k, err := imprint.Open(dir, o)
	if err != nil {
		return nil, err
	}
	for _, w := range k.Warnings() {
		warn(c, "%s", w)
	}
	// Reading verbs work without it, such as on a disk that can't be written.
	if repaired, err := k.Repair(c.Context); err != nil {
		warn(c, "%s is not of the last change, and could not be written anew: %v", k.ModelPath(), err)
	} else if repaired {
		warn(c, "%s was not of the last change and has been written anew", k.ModelPath())
	}
	return k, nil
}

func warn(c *cli.Context, format string, a ...any) {
	fmt.Fprintf(c.App.ErrWriter, "imprint: warning: "+format+"\n", a...)
}

func fit(c *cli.Context) (dataset.Resize, error) {
	if c.String("fit") == "" {
		return "", nil
	}
	f, err := dataset.ParseResize(c.String("fit"))
	if name := c.Command.Name; name == "add" || name == "eval" {
		if c.String("fit") == string(imprint.AutoResize) {
			return imprint.AutoResize, nil
		}
		if err != nil {
			err = fmt.Errorf("%w, or auto", err)
		}
	}
	if err != nil {
		return "", usageError{err}
	}
	return f, nil
}

// items finds the photos that the arguments and --list name, and what it had to
// leave out; "-" is the standard input.
func items(c *cli.Context, label string) ([]dataset.Item, []imprint.Skipped, error) {
	list, args := c.String("list"), c.Args().Slice()
	found, skipped, err := tubItems(c, label)
	if err != nil {
		return nil, nil, err
	}
	if list == "" && len(args) == 0 && len(c.StringSlice("tub")) == 0 {
		return nil, nil, usagef("%s needs photos: %s", c.Command.Name, c.Command.ArgsUsage)
	}
	piped := func() ([]dataset.Item, error) { return dataset.ReadStdin(c.App.Reader, "", dataset.DefaultLimits()) }
	stdin := 0
	read := func(source func() ([]dataset.Item, error)) error {
		got, err := interruptible(c.Context, source)
		found = append(found, got...)
		return err
	}
	switch list {
	case "":
	case "-":
		stdin++
		if err := read(piped); err != nil {
			return nil, nil, err
		}
	default:
		if err := read(func() ([]dataset.Item, error) { return readList(list) }); err != nil {
			return nil, nil, err
		}
	}
	var paths []string
	for _, arg := range args {
		if arg != "-" {
			paths = append(paths, arg)
			continue
		}
		if stdin++; stdin > 1 {
			return nil, nil, usagef("the standard input, -, can be read only once")
		}
		if err := read(piped); err != nil {
			return nil, nil, err
		}
	}
	for i := range found {
		if found[i].Label == "" {
			found[i].Label = label
		}
		if found[i].Label == "" {
			return nil, nil, fmt.Errorf("photo %s: %w", found[i].Path, dataset.ErrNoLabel)
		}
	}
	walked, left, err := dataset.Walk(paths, label)
	if err != nil {
		return nil, nil, err
	}
	found = append(found, walked...)
	if len(found) == 0 {
		tellSkipped(c.App.ErrWriter, skipped)
		return nil, nil, fmt.Errorf("%s %s: %w found", c.Command.Name, strings.Join(append(args, c.StringSlice("tub")...), " "), imprint.ErrNoPhotos)
	}
	return found, append(skipped, leftOut(left)...), nil
}

func leftOut(left []dataset.Skipped) []imprint.Skipped {
	var skipped []imprint.Skipped
	for _, s := range left {
		skipped = append(skipped, imprint.Skipped{Path: s.Path, Reason: s.Err.Error()})
	}
	return skipped
}

func readList(path string) ([]dataset.Item, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read the list of photos: %w", err)
	}
	defer f.Close()
	items, err := dataset.ReadList(f, "")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return items, nil
}

// interruptible returns what read returns, or the error of ctx if that ends first.
// Nothing else can end a read of a terminal or a pipe, so read is then left behind
// for the end of the process, which follows.
func interruptible[T any](ctx context.Context, read func() (T, error)) (T, error) {
	var v T
	var err error
	done := make(chan struct{})
	go func() {
		defer close(done)
		v, err = read()
	}()
	select {
	case <-done:
		return v, err
	case <-ctx.Done():
		var none T
		return none, ctx.Err()
	}
}

// progress shows on a terminal how far a count has come; clear takes that away
// for other lines. Both do nothing elsewhere.
func progress(c *cli.Context, what string) (show func(done, total int), clear func()) {
	f, ok := c.App.ErrWriter.(*os.File)
	if ok {
		info, err := f.Stat()
		ok = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	if !ok {
		return nil, func() {}
	}
	show = func(done, total int) { fmt.Fprintf(f, "\r%s %d/%d", what, done, total) }
	return show, func() { fmt.Fprint(f, "\r\x1b[K") }
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
